"""The report of a slide as a file: what was signed or, before that, how the slide stands."""

import json
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from .. import access, audit, fhir, reports, summary
from ..models import Action, Slide
from .guard import Asked, signed_in


@require_safe
@signed_in
def report_pdf(request: Asked, pk: UUID) -> HttpResponse:
    from .. import pdf  # its library is loaded where a PDF is made

    slide = access.get_slide(request.user, pk)
    page = pdf.of(summary.of_slide(slide), None, timezone.now())
    return _exported(slide, "PDF", page, "application/pdf", "pdf")


@require_safe
@signed_in
def report_fhir(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide(request.user, pk)
    text = json.dumps(fhir.bundle(summary.of_slide(slide), None), indent=1)
    return _exported(slide, "FHIR", text.encode(), "application/fhir+json", "json")


def _exported(slide: Slide, form: str, data: bytes, kind: str, ending: str) -> HttpResponse:
    audit.note(Action.EXPORTED, slide, form=(None, form))
    response = HttpResponse(data, content_type=kind)
    return reports.as_private_file(response, f"{slide.code}.{ending}")
