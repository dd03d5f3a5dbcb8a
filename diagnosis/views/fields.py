"""A whole field: its page, its cells as JSON, what people say of them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import (
    access,
    again,
    audit,
    cells,
    crops,
    gallery,
    heatmap,
    opinions,
    phrases,
    readings,
    registry,
    texts,
)
from ..counting import Found, counts_as, of_predictions
from ..models import Cell, CellReview, Kind, Prediction, SmearImage
from .guard import Asked, signed_in
from .images import SECONDS

GROUPS = ("counted", "parasitized", "uninfected", "uncertain", "edge", "rejected", "removed")


@require_safe
@signed_in
def field(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image(request.user, pk)
    if _reading(image) is None:
        return redirect("slide", image.slide_id)
    audit.saw([image.slide])
    silence = readings.silence(image.slide, request.user, image)
    context = {
        "image": image,
        "slide": image.slide,
        "prediction": gallery.current(image, request.user),
        "cells_url": reverse("field_cells", args=[image.pk]),
        "may_review": access.may_review(request.user, image.slide) and not silence,
        "silence": silence,
        "place": "history",
    }
    return render(request, "diagnosis/field.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@gzip_page
@signed_in
def field_cells(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image(request.user, pk)
    if request.method != "POST":
        return _answer(request, image)
    if not access.may_review(request.user, image.slide):
        return _refused(_("Your role in this laboratory does not review cells."), 403)
    said = _said(request)
    words = said.get("label", ""), said.get("comment", "")
    try:
        if "box" in said:
            cells.add(image, request.user, said["box"], *words)
        else:
            cells.say(image, request.user, said.get("cell"), *words)
    except (cells.NoSuchCell, readings.NotNow) as error:
        return _refused(str(error), 409)
    except cells.CellError as error:
        return _refused(str(error), 400)
    return _answer(request, access.get_image(request.user, pk))


@require_POST
@signed_in
def image_kind(request: Asked, pk: UUID) -> HttpResponse:
    """A person says that it was taken for the wrong one: a crop of a cell, or a field."""
    image = access.get_image(request.user, pk)
    kind = request.POST.get("kind", "")
    if kind not in Kind.values:
        messages.error(request, _("An image shows one cell or a whole field."))
        return redirect("slide", image.slide_id)
    try:
        changed = again.read_as(image, kind)
    except (registry.NoModel, again.Closed) as error:
        messages.error(request, str(error))
    else:
        messages.info(request, _read_as(kind, changed) % {"image": image.name})
    return redirect("slide", image.slide_id)


def _read_as(kind: str, changed: bool) -> str:
    if kind == Kind.FIELD:
        if changed:
            return _("%(image)s is being read as a whole field.")
        return _("%(image)s was read as a whole field.")
    if changed:
        return _("%(image)s is being read as one cell.")
    return _("%(image)s was read as one cell.")


@require_safe
@signed_in
def cell_crop(request: Asked, pk: UUID, cell: int) -> HttpResponse:
    image = access.get_image(request.user, pk)
    try:
        picture = crops.of_cell(image, _cell(request, image, cell))
    except FileNotFoundError:
        raise Http404 from None
    return _picture(picture, "image/webp")


@require_safe
@signed_in
def cell_heatmap(request: Asked, pk: UUID, cell: int) -> HttpResponse:
    image = access.get_image(request.user, pk)
    found = _cell(request, image, cell)
    if not found.activation:
        raise Http404
    return _picture(heatmap.draw(found.activation, *crops.size(found, image)), "image/png")


def _picture(content: bytes, kind: str) -> HttpResponse:
    response = HttpResponse(content, content_type=kind)
    patch_cache_control(response, private=True, max_age=SECONDS)
    return response


def _cell(request: Asked, image: SmearImage, pk: int) -> Cell:
    try:
        return cells.get(image, request.user, pk)
    except cells.NoSuchCell:
        raise Http404 from None


def _reading(image: SmearImage) -> Prediction | None:
    found = image.predictions.filter(is_current=True, kind=Kind.FIELD)
    return found.select_related("model").first()


def _said(request: HttpRequest) -> dict[str, Any]:
    try:
        said = texts.read_json(request.body)
    except (ValueError, RawPostDataException):  # a form, say
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("label", ""), str):
        return {"label": "?"}
    return said


def _refused(error: str, status: int) -> JsonResponse:
    return JsonResponse({"error": error}, status=status)


def _answer(request: Asked, image: SmearImage) -> HttpResponse:
    prediction = _reading(image)
    if prediction is None:
        return _refused(_("This image is not read as a whole field."), 404)
    found = of_predictions([prediction]).get(prediction.pk, Found())
    context = gallery.summary(image.slide, here=image) | {"slide": image.slide}
    # For a page that was opened before the field was read.
    is_shown = request.method == "GET" and gallery.is_read(prediction)
    return JsonResponse(
        {
            "image": {
                "id": str(image.pk),
                "name": image.name,
                "width": image.width,
                "height": image.height,
                "url": reverse("image_photo", args=[image.pk]),
                "kind": image.kind,
                "state": prediction.state,
            },
            "cells": [
                _row(image, cell, request.user) for cell in cells.of_image(image, request.user)
            ],
            "counts": {name: getattr(found, name) for name in GROUPS},
            "field_html": whole_field(request, image) if is_shown else "",
            "verdict_html": render_to_string("diagnosis/verdict.html", context, request),
        }
    )


def whole_field(request: Asked, image: SmearImage) -> str:
    """What stands of it, and what can be said."""
    silence = readings.silence(image.slide, request.user, image)
    context = {
        "image": image,
        "prediction": gallery.current(image, request.user),
        "may_review": access.may_review(request.user, image.slide) and not silence,
    }
    return render_to_string("diagnosis/field_opinion.html", context, request)


def _row(image: SmearImage, cell: Cell, user: User) -> dict[str, Any]:
    standing: list[CellReview] = cell.standing  # type: ignore[attr-defined]
    mine = next((one for one in standing if one.reviewer_id == user.pk), None)
    return {
        "id": cell.pk,
        "box": cell.box,
        "edge": cell.is_cut,
        "label": cell.label,
        "probability": cell.probability,
        "decision": cell.decision,
        "reasons": [phrases.shown(reason) for reason in cell.reasons],
        "mine": mine is not None,
        "review": mine.label if mine else _of_others(standing),
        "comment": mine.comment if mine else "",
        "remarks": [_remark(one) for one in standing if one.comment and one != mine],
        "counts_as": counts_as(cell.is_cut, cell.decision, _heard(image, cell, standing)),
        "by": "machine" if cell.prediction_id else "person",
        "heatmap": reverse("cell_heatmap", args=[image.pk, cell.pk]) if cell.activation else None,
        "crop": reverse("cell_crop", args=[image.pk, cell.pk]),
    }


def _heard(image: SmearImage, cell: Cell, standing: list[CellReview]) -> str:
    """Whoever reads blind sees on the photograph what they said themselves."""
    if image.slide.counts_opinions:
        return cell.reviewed
    return opinions.together([one.label for one in standing])


def _remark(review: CellReview) -> str:
    return f"{review.reviewer or _('A former member')}: {review.comment}"


def _of_others(standing: list[CellReview]) -> str | None:
    """What the others say together, where they agree."""
    labels = {review.label for review in standing}
    return labels.pop() if len(labels) == 1 else ("cannot-tell" if labels else None)
