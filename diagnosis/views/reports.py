from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from .. import access, documents
from .guard import Asked, signed_in


@require_safe
@signed_in
def report_pdf(request: Asked, pk: UUID) -> HttpResponse:
    return documents.pdf_response(access.get_slide(request.user, pk))


@require_safe
@signed_in
def signed_pdf(request: Asked, pk: UUID, number: int) -> HttpResponse:
    return documents.signed_pdf_response(access.get_slide(request.user, pk), number)


@require_safe
@signed_in
def signed_fhir(request: Asked, pk: UUID, number: int) -> HttpResponse:
    return documents.signed_fhir_response(access.get_slide(request.user, pk), number)


@require_safe
@signed_in
def report_fhir(request: Asked, pk: UUID) -> HttpResponse:
    return documents.fhir_response(access.get_slide(request.user, pk))
