"""Images: shown, read again after a failure, reviewed."""

from django.http import FileResponse, Http404, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from .. import access, again, audit, cells, gallery, intake, reviews
from ..models import Cell, SmearImage
from . import serializers
from .base import Asked, View


class Image(View):
    @extend_schema(
        summary="An image with its prediction and reviews", responses=serializers.ImageOut
    )
    def get(self, request: Asked, pk: str) -> Response:
        image = access.get_image(request.user, pk)
        audit.saw([image.slide])
        return shown(request, image)


def shown(request: Asked, image: SmearImage) -> Response:
    context = {"request": request}
    return Response(
        serializers.ImageOut(gallery.current(image, request.user), context=context).data
    )


class Photo(View):
    @extend_schema(
        summary="The picture itself", responses={(200, "image/png"): OpenApiTypes.BINARY}
    )
    def get(self, request: Asked, pk: str) -> HttpResponseBase:
        image = access.get_image(request.user, pk)
        audit.saw([image.slide])
        try:
            return FileResponse(image.file.open(), content_type="image/png")
        except FileNotFoundError:
            raise Http404 from None


class Retry(View):
    @extend_schema(
        summary="Try again to read an image that failed",
        request=None,
        responses=serializers.Queued,
    )
    def post(self, request: Asked, pk: str) -> Response:
        image = access.get_image(request.user, pk)
        return Response({"queued": int(intake.retry(image))})


class ImageKind(View):
    @extend_schema(
        summary="Say what an image shows, one cell or a whole field: it is read as that",
        request=serializers.NewKind,
        responses=serializers.Queued,
    )
    def put(self, request: Asked, pk: str) -> Response:
        image = access.get_image(request.user, pk)
        said = serializers.NewKind(data=request.data)
        said.is_valid(raise_exception=True)
        return Response({"queued": int(again.read_as(image, said.validated_data["kind"]))})


class ImageReview(View):
    @extend_schema(
        summary="Say what an image shows, in place of what you said before",
        description="Of a whole field: `aside` takes its cells out of the counts, the parasitaemia "
        "and the verdict; where one of them counts as parasitized a comment is required, and the "
        "slide is not negative by the other fields alone. `counts` takes in a field that the model "
        "rejected, if a cell of it can be counted, or agrees with the model.",
        request=serializers.NewReview,
        responses=serializers.ImageOut,
    )
    def put(self, request: Asked, pk: str) -> Response:
        image = access.get_image_to_review(request.user, pk)
        review = serializers.NewReview(data=request.data)
        review.is_valid(raise_exception=True)
        reviews.say(image, request.user, **review.validated_data)
        return shown(request, image)

    @extend_schema(summary="Take your review back", responses={200: serializers.ImageOut})
    def delete(self, request: Asked, pk: str) -> Response:
        image = access.get_image_to_review(request.user, pk)
        reviews.take_back(image, request.user)
        return shown(request, image)


class Cells(View):
    @extend_schema(
        summary="The red cells of a whole field, with what people say of them",
        description="Of two readings the other's is shown once you have closed your own.",
        responses=serializers.CellOut(many=True),
    )
    def get(self, request: Asked, pk: str) -> Response:
        image = access.get_image(request.user, pk)
        audit.saw([image.slide])
        pages, found = self.paged(cells.of_image(image, request.user))
        return pages.get_paginated_response(serializers.CellOut(found, many=True).data)

    @extend_schema(
        summary="Add a red cell that the machine missed",
        description="The same box sent again by the same person is the same cell.",
        request=serializers.NewCell,
        responses={201: serializers.CellOut},
    )
    def post(self, request: Asked, pk: str) -> Response:
        image = access.get_image_to_review(request.user, pk)
        new = serializers.NewCell(data=request.data)
        new.is_valid(raise_exception=True)
        return _cell(request, cells.add(image, request.user, **new.validated_data), 201)


class CellReview(View):
    @extend_schema(
        summary="Say what a cell of a field is, in place of what you said before",
        request=serializers.NewCellReview,
        responses=serializers.CellOut,
    )
    def put(self, request: Asked, pk: str, cell: str) -> Response:
        image = access.get_image_to_review(request.user, pk)
        review = serializers.NewCellReview(data=request.data)
        review.is_valid(raise_exception=True)
        return _said(request, image, cell, **review.validated_data)

    @extend_schema(summary="Take your review of a cell back", responses={200: serializers.CellOut})
    def delete(self, request: Asked, pk: str, cell: str) -> Response:
        return _said(request, access.get_image_to_review(request.user, pk), cell, "")


def _said(request: Asked, image: SmearImage, cell: str, label: str, comment: str = "") -> Response:
    found = cells.get(image, request.user, cell)
    cells.say(image, request.user, found.pk, label, comment)
    return _cell(request, found)


def _cell(request: Asked, cell: Cell, status: int = 200) -> Response:
    cell.refresh_from_db()
    cells.tell(cell, request.user)
    return Response(serializers.CellOut(cell).data, status)
