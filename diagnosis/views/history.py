from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from .. import access, audit, overview, reports
from .. import history as slide_history
from ..forms import HistoryForm
from ..models import Action
from .guard import Asked, signed_in

PER_PAGE = 25


@require_safe
@gzip_page
@signed_in
def history(request: Asked) -> HttpResponse:
    form = HistoryForm(request.GET)
    chosen = form.narrowed()
    found = slide_history.search(access.slides_for(request.user), **chosen)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    audit.saw(access.laboratories_for(request.user))
    rows = overview.rows(page)
    context = {
        "form": form,
        "chosen": chosen,
        "page": page,
        "rows": rows,
        "reading": any(row.tally.pending for row in rows),
        "place": "history",
    }
    return render(request, "diagnosis/history.html", context)


@require_safe
@signed_in
def history_csv(request: Asked) -> HttpResponseBase:
    chosen = HistoryForm(request.GET).narrowed()
    found = slide_history.search(access.slides_for(request.user), **chosen)
    for laboratory in access.laboratories_for(request.user):
        audit.note(Action.EXPORTED, laboratory, narrowed=(None, chosen or None))
    return reports.csv_response(found, "slides", request.user)
