"""A slide as a file, for pages and programs; that somebody took it is noted.

A report is what was signed or, before that, how the slide stands.
"""

import json
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from . import access, audit, fhir, reports, signing, summary, words
from .models import Action, Report, Slide

KINDS = {"PDF": ("application/pdf", "pdf"), "FHIR": ("application/fhir+json", "json")}
"""Content type and ending of a file."""


def pdf_response(slide: Slide) -> HttpResponse:
    content, report = _report(slide)
    change = signing.change(report, slide) if report else None
    page = _pdf(content, report, change=change)
    return _exported(slide, content, "PDF", page, slide.code)


def fhir_response(slide: Slide) -> HttpResponse:
    content, report = _report(slide)
    return _exported(slide, content, "FHIR", _fhir(content, report), slide.code)


def signed_pdf_response(slide: Slide, number: int) -> HttpResponse:
    """Of any report of the slide, as it was signed; one that was amended says so."""
    report, successor = _signed(slide, number)
    if not successor:
        return pdf_response(slide)
    page = _pdf(report.content, report, successor=successor)
    return _exported(slide, report.content, "PDF", page, _name(report))


def signed_fhir_response(slide: Slide, number: int) -> HttpResponse:
    report, successor = _signed(slide, number)
    data = _fhir(report.content, report, successor)
    return _exported(slide, report.content, "FHIR", data, _name(report))


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


def _signed(slide: Slide, number: int) -> tuple[Report, int]:
    """With the number of the report that counts in its place, or 0."""
    report, newest = get_object_or_404(slide.reports, number=number), signing.current(slide)
    return report, newest.number if newest and newest != report else 0


def _name(report: Report) -> str:
    return f"{report.slide.code}-report-{report.number}"


def _pdf(content: dict[str, Any], report: Report | None, **more: Any) -> bytes:
    from . import pdf  # its library is loaded where a PDF is made

    return pdf.of(content, report, timezone.now(), **more)


def _fhir(content: dict[str, Any], report: Report | None, successor: int = 0) -> bytes:
    return json.dumps(fhir.bundle(content, report, successor), indent=1).encode()


def _exported(
    slide: Slide, content: dict[str, Any], form: str, data: bytes, name: str
) -> HttpResponse:
    audit.note(Action.EXPORTED, slide, form=(None, form))
    kind, ending = KINDS[form]
    response = HttpResponse(data, content_type=kind)
    response["Content-Language"] = words.code(summary.language_of(content))
    return reports.as_private_file(response, f"{name}.{ending}")
