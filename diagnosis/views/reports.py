"""The report of a slide as a file: what was signed or, before that, how the slide stands."""

from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from .. import access, audit, reports, summary
from ..models import Action
from .guard import Asked, signed_in


@require_safe
@signed_in
def report_pdf(request: Asked, pk: UUID) -> HttpResponse:
    from .. import pdf  # 20 MB of a library that no other page needs

    slide = access.get_slide(request.user, pk)
    audit.note(Action.EXPORTED, slide, form=(None, "PDF"))
    page = pdf.of(summary.of_slide(slide), None, timezone.now())
    response = HttpResponse(page, content_type="application/pdf")
    return reports.as_private_file(response, f"{slide.code}.pdf")
