"""The pictures of a report: the most suspicious cells of a slide, and the fields that hold most.

They are chosen for the summary, by id and box, so that a signed report keeps showing the same
ones; and drawn from there.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from PIL import Image

from ml.boxes import Box, surroundings

from . import counting, crops, verdict
from .models import Cell, Decision, Kind, Prediction, Slide, SmearImage

About = dict[str, Any]
"""A picture as a summary names it."""

SUSPICIOUS = (Decision.PARASITIZED, Decision.UNCERTAIN)
"""In this order, which is the alphabet's too."""
FIELDS, CELLS = 2, 8
MARKED = 200
"""Cells of one field."""
FIELD_SIDE, CELL_SIDE = 1000, 240
QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A small JPEG, what it counts as, and what is marked in it."""

    jpeg: bytes
    width: int
    height: int
    about: About
    marks: list[tuple[str, float, float, float, float]] = field(default_factory=list)
    """A decision; left, top, width and height as shares of the picture's."""


def chosen(slide: Slide, readings: list[Prediction]) -> dict[str, list[About]]:
    """`readings` are the current ones of all its images."""
    names = {row.image_id: row.image.name for row in readings}
    suspects = _suspects(slide)
    counts = (
        suspects.order_by()
        .values("image")
        .annotate(
            parasitized=Count("pk", Q(said=Decision.PARASITIZED)),
            uncertain=Count("pk", Q(said=Decision.UNCERTAIN)),
        )
    )
    order = ("-parasitized", "-uncertain", "image__created_at", "image")
    fields = [_field(of, suspects, names) for of in counts.order_by(*order)[:FIELDS]]
    cells = [_cell(cell, cell.said) for cell in suspects[:CELLS]]
    cells += [_crop(row) for row in readings if row.kind == Kind.CELL and _said(row) in SUSPICIOUS]
    return {"fields": fields, "cells": sorted(cells, key=_suspicion)[:CELLS]}


def _suspects(slide: Slide) -> QuerySet[Any]:
    """Cells, each with what it is `said` to be: the most suspicious first, and of those that are
    alike what a person has seen."""
    read = counting.fields_read().filter(slide=slide)
    in_fields = Q(prediction__in=read) | Q(prediction=None, image__in=read.values("image"))
    found = Cell.objects.filter(in_fields, is_cut=False)
    found = found.annotate(said=Case(When(reviewed="", then=F("decision")), default="reviewed"))
    is_left = Case(When(reviewed="", then=Value(1)), default=Value(0))
    by_probability = F("probability").desc(nulls_last=True)
    upload = ("image__created_at", "image", "number", "pk")
    return found.filter(said__in=SUSPICIOUS).order_by("said", is_left, by_probability, *upload)


def _suspicion(about: About) -> tuple[str, bool, float]:
    return about["decision"], not about["is_reviewed"], -(about["probability"] or 0)


def _field(of: Mapping[str, Any], suspects: QuerySet[Any], names: dict[Any, str]) -> About:
    marked = suspects.filter(image=of["image"])[:MARKED]
    return {
        "image": str(of["image"]),
        "name": names[of["image"]],
        "parasitized": of["parasitized"],
        "uncertain": of["uncertain"],
        "marks": [{"decision": cell.said, "box": list(cell.box)} for cell in marked],
    }


def _cell(cell: Cell, said: str) -> About:
    return {
        "image": str(cell.image_id),
        "box": list(cell.box),
        "decision": said,
        "probability": cell.probability,
        "is_reviewed": bool(cell.reviewed),
    }


def _crop(row: Prediction) -> About:
    return {
        "image": str(row.image_id),
        "box": None,
        "decision": _said(row),
        "probability": row.probability,
        "is_reviewed": bool(row.image.reviewed),
    }


def _said(row: Prediction) -> str:
    return verdict.of_image(row)


def drawn(content: dict[str, Any]) -> tuple[list[Picture], list[Picture]]:
    """Of a summary: its fields and its cells; without those whose photograph is gone."""
    about = content["pictures"]
    wanted = {one["image"] for kind in about.values() for one in kind}
    photos = {str(pk): image for pk, image in SmearImage.objects.in_bulk(wanted).items()}
    fields, cells = (
        [drawing for one in about[kind] if (drawing := _draw(one, photos.get(one["image"])))]
        for kind in ("fields", "cells")
    )
    return fields, cells


def _draw(about: About, image: SmearImage | None) -> Picture | None:
    try:
        return _of(about, image) if image else None
    except FileNotFoundError:
        return None


def _of(about: About, image: SmearImage) -> Picture:
    size = (image.width, image.height)
    box, marks = about.get("box"), about.get("marks")
    side = CELL_SIDE if marks is None else FIELD_SIDE
    with crops.photograph(image) as photo:
        small = _small(photo.crop(_square(box, size)) if box else photo, side)
    shares = [(mark["decision"], *_share(mark["box"], size)) for mark in marks or ()]
    return Picture(_jpeg(small), *small.size, about, shares)


def _square(box: list[int], size: tuple[int, int]) -> Box:
    """Left, top, right, lower: around a cell, as far as the image goes."""
    x, y, width, height = box
    side = max(width, height)
    return surroundings((x - (side - width) // 2, y - (side - height) // 2, side, side), size)


def _share(box: list[int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x / size[0], y / size[1], width / size[0], height / size[1]


def _small(photo: Image.Image, side: int) -> Image.Image:
    """Without a copy of the whole photograph, which may be large and is kept by others."""
    scale = min(1.0, side / max(photo.size))
    size = (max(1, round(scale * photo.width)), max(1, round(scale * photo.height)))
    return photo.resize(size, reducing_gap=2)


def _jpeg(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
