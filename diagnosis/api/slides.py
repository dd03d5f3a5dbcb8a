"""Slides: found, made, filled with images, read again."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from .. import (
    access,
    again,
    audit,
    deletion,
    documents,
    finding,
    gallery,
    history,
    intake,
    limits,
    signing,
    verdict,
)
from ..models import Action, Slide
from . import serializers
from .base import Asked, View

FILES = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "binary"},
            "description": "One or several files, each as a part of this name.",
        }
    },
}


class Slides(View):
    @extend_schema(
        summary="The slides of your laboratories, newest first",
        parameters=[serializers.HistoryQuery],
        responses=serializers.SlideOut(many=True),
    )
    def get(self, request: Asked) -> Response:
        query = serializers.HistoryQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        slides = access.slides_for(request.user).select_related("created_by")
        audit.saw(access.laboratories_for(request.user))
        pages, found = self.paged(history.search(slides, **query.validated_data))
        return pages.get_paginated_response(shown(request, found))

    @extend_schema(
        summary="A new slide",
        request=serializers.NewSlide,
        responses={201: serializers.SlideOut, 409: serializers.SlideExists},
    )
    def post(self, request: Asked) -> Response:
        new = serializers.NewSlide(data=request.data, context={"request": request})
        new.is_valid(raise_exception=True)
        slide = _made(request.user, new.validated_data)
        if slide is None:
            return Response(_twin(new.validated_data), status.HTTP_409_CONFLICT)
        [made] = shown(request, [slide])
        return Response(made, status.HTTP_201_CREATED, headers={"Location": made["url"]})


def _made(user: User, values: dict[str, Any]) -> Slide | None:
    """Nothing where another slide has its code."""
    try:
        with transaction.atomic():
            slide = Slide.objects.create(created_by=user, **values)
            audit.note(Action.MADE, slide)
            return slide
    except IntegrityError:
        return None


def _twin(values: dict[str, Any]) -> dict[str, Any]:
    twin = Slide.objects.get(laboratory=values["laboratory"], code=values["code"], deleted_at=None)
    return {"detail": "A slide with this code exists already.", "slide": twin.pk}


def shown(request: Asked, slides: Iterable[Slide]) -> list[dict[str, Any]]:
    """Two queries for the verdicts of all."""
    slides = list(slides)
    tallies = verdict.tallies(slides)
    for slide in slides:
        slide.tally = tallies[slide.pk]  # type: ignore[attr-defined]
    return list(serializers.SlideOut(slides, many=True, context={"request": request}).data)


class OneSlide(View):
    @extend_schema(
        summary="A slide with its verdict: ask until `status` is not `reading`",
        responses=serializers.OneSlideOut,
    )
    def get(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        audit.saw([slide])
        return one_shown(request, slide)

    @extend_schema(
        summary="Delete a slide; an administrator can restore it for 30 days",
        responses={204: None},
    )
    def delete(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide_to_delete(request.user, pk)
        deletion.delete(slide, request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def one_shown(request: Asked, slide: Any) -> Response:
    slide.tally, slide.result = verdict.tally(slide), finding.of_slide(slide)
    return Response(serializers.OneSlideOut(slide, context={"request": request}).data)


class SlideBasis(View):
    @extend_schema(
        summary="The red cell count by which parasites per µL are worked out",
        request=serializers.NewBasis,
        responses=serializers.OneSlideOut,
    )
    def put(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        basis = serializers.NewBasis(data=request.data)
        basis.is_valid(raise_exception=True)
        verdict.set_basis(slide, **basis.validated_data)
        return one_shown(request, access.get_slide(request.user, pk))


class SlideImages(View):
    parser_classes = [MultiPartParser]

    @extend_schema(
        summary="The images of a slide with their predictions and reviews",
        parameters=[serializers.ImagesQuery],
        responses=serializers.ImageOut(many=True),
    )
    def get(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        audit.saw([slide])
        query = serializers.ImagesQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        chosen = {"show": "", **query.validated_data}
        pages, found = self.paged(gallery.predictions(slide, request.user, **chosen))
        context = {"request": request}
        images = serializers.ImageOut(found, many=True, context=context)
        return pages.get_paginated_response(images.data)

    @extend_schema(
        summary="Upload images: each file gets a receipt",
        description="A file that cannot be used is refused by name and reason; the others go on.",
        request={"multipart/form-data": FILES},
        responses=serializers.Receipts,
    )
    def post(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        upload = serializers.Upload(data=request.data)
        upload.is_valid(raise_exception=True)
        files = upload.validated_data["images"]
        limits.check(request.user, slide.laboratory_id, [file.size or 0 for file in files])
        receipts = intake.receive(slide, files, request.user)
        return Response(serializers.Receipts({"receipts": receipts}).data)


class SlideAgain(View):
    @extend_schema(
        summary="Read a slide again with the active model version",
        request=None,
        responses=serializers.Queued,
    )
    def post(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        return Response({"queued": again.analyse_again(slide)})


class SlideRetry(View):
    @extend_schema(
        summary="Try again to read all images of a slide that failed",
        request=None,
        responses=serializers.Queued,
    )
    def post(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        return Response({"queued": intake.retry_all(slide)})


class SlideReports(View):
    @extend_schema(
        summary="The signed reports of a slide, the newest first",
        responses=serializers.ReportOut(many=True),
    )
    def get(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        audit.saw([slide])
        pages, found = self.paged(slide.reports.all())
        context = {"request": request}
        reports = serializers.ReportOut(found, many=True, context=context)
        return pages.get_paginated_response(reports.data)

    @extend_schema(
        summary="Sign what the slide says now; with a reason, amend its report",
        request=serializers.NewReport,
        responses={201: serializers.ReportOut},
    )
    def post(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide_to_sign(request.user, pk)
        new = serializers.NewReport(data=request.data)
        new.is_valid(raise_exception=True)
        said = {name: text for name, text in new.validated_data.items() if text}
        sign = signing.amend if "reason" in said else signing.sign
        report = sign(slide, request.user, **said)
        made = serializers.ReportOut(report, context={"request": request}).data
        return Response(made, status.HTTP_201_CREATED)


class SlidePdf(View):
    @extend_schema(
        summary="The report of a slide as PDF: as it was signed, else as it stands",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
    )
    def get(self, request: Asked, pk: str) -> HttpResponseBase:
        return documents.pdf_response(access.get_slide(request.user, pk))


class SlideFhir(View):
    @extend_schema(
        summary="The same as a FHIR bundle around a DiagnosticReport",
        responses={(200, "application/fhir+json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Asked, pk: str) -> HttpResponseBase:
        return documents.fhir_response(access.get_slide(request.user, pk))


class SlideCsv(View):
    @extend_schema(
        summary="A slide as CSV, one row an image",
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Asked, pk: str) -> HttpResponseBase:
        return documents.csv_response(access.get_slide(request.user, pk), request.user)


class SlideCellsCsv(View):
    @extend_schema(
        summary="The red cells of a slide as CSV, one row a cell",
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Asked, pk: str) -> HttpResponseBase:
        return documents.cells_response(access.get_slide(request.user, pk), request.user)
