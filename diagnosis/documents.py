"""A slide as a file, for pages and programs; that somebody took it is noted.

A report is what was signed or, before that, how the slide stands.
"""

import json
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from . import access, audit, fhir, reports, signing, summary
from .models import Action, Report, Slide


def pdf_response(slide: Slide) -> HttpResponse:
    content, report = _report(slide)
    change = signing.change(report, slide) if report else None
    return _pdf(slide, content, report, change=change)


def signed_pdf_response(slide: Slide, number: int) -> HttpResponse:
    """Of any report of the slide; one that was amended says so.

    There is no FHIR of these: a system that takes it in would put it in the newest one's place.
    """
    report, newest = get_object_or_404(slide.reports, number=number), signing.current(slide)
    if newest is None or report == newest:
        return pdf_response(slide)
    return _pdf(slide, report.content, report, successor=newest.number)


def _pdf(slide: Slide, content: dict[str, Any], report: Report | None, **more: Any) -> HttpResponse:
    from . import pdf  # its library is loaded where a PDF is made

    page = pdf.of(content, report, timezone.now(), **more)
    return _exported(slide, "PDF", page, "application/pdf", "pdf")


def fhir_response(slide: Slide) -> HttpResponse:
    text = json.dumps(fhir.bundle(*_report(slide)), indent=1)
    return _exported(slide, "FHIR", text.encode(), "application/fhir+json", "json")


def csv_response(slide: Slide, user: access.Visitor) -> StreamingHttpResponse:
    """A row an image."""
    audit.note(Action.EXPORTED, slide)
    found = access.slides_for(user).filter(pk=slide.pk)
    return reports.csv_response(found, slide.code, user)


def cells_response(slide: Slide, user: access.Visitor) -> StreamingHttpResponse:
    """A row a red cell."""
    audit.note(Action.EXPORTED, slide)
    return reports.streamed(reports.cell_lines(slide, user), f"{slide.code}-cells")


def _report(slide: Slide) -> tuple[dict[str, Any], Report | None]:
    report = signing.current(slide)
    return (report.content if report else summary.of_slide(slide)), report


def _exported(slide: Slide, form: str, data: bytes, kind: str, ending: str) -> HttpResponse:
    audit.note(Action.EXPORTED, slide, form=(None, form))
    response = HttpResponse(data, content_type=kind)
    return reports.as_private_file(response, f"{slide.code}.{ending}")
