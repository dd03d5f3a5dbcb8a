from functools import partial

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from .. import access, audit, dashboard
from .guard import Asked, signed_in


@require_safe
@gzip_page
@signed_in
def today(request: Asked) -> HttpResponse:
    laboratories = list(access.laboratories_for(request.user))
    chosen = dashboard.laboratory_of(request.user, request.GET.get("laboratory", ""))
    shown = [chosen] if chosen else laboratories
    slides = dashboard.slides_of(request.user, chosen)
    audit.saw(shown)
    context = {
        "laboratories": laboratories,
        "chosen": chosen,
        "waiting": dashboard.wait(request.user, chosen),
        # Asked where the template has not kept what it drew of them a moment ago.
        "charts": partial(dashboard.charts, slides),
        "agreement": partial(dashboard.agreement, slides),
        "scope": dashboard.scope(shown),
        "machine": dashboard.machine([laboratory.pk for laboratory in shown]),
        "has_slides": slides.exists(),
        "place": "today",
    }
    return render(request, "diagnosis/dashboard.html", context)
