from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from .. import access, audit, dashboard
from ..models import Laboratory, Slide
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
    context = _tray(request, chosen, shown, slides) | {
        "laboratories": laboratories,
        # Asked where the template has not kept what it drew of them a moment ago.
        "charts": partial(dashboard.charts, slides),
        "agreement": partial(dashboard.agreement, slides),
        "scope": dashboard.scope(shown),
        "place": "today",
    }
    return render(request, "diagnosis/dashboard.html", context)


@require_safe
@signed_in
def tray(request: Asked) -> HttpResponse:
    """What the page asks anew now and then: what waits, and the machine."""
    chosen = dashboard.laboratory_of(request.user, request.GET.get("laboratory", ""))
    shown = [chosen] if chosen else list(access.laboratories_for(request.user))
    slides = dashboard.slides_of(request.user, chosen)
    return render(request, "diagnosis/tray.html", _tray(request, chosen, shown, slides))


def _tray(
    request: Asked,
    chosen: Laboratory | None,
    shown: list[Laboratory],
    slides: QuerySet[Slide],
) -> dict[str, Any]:
    return {
        "chosen": chosen,
        "waiting": dashboard.wait(request.user, chosen),
        "machine": dashboard.machine([laboratory.pk for laboratory in shown]),
        "has_slides": slides.exists(),
    }
