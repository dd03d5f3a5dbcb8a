"""All that a report of a slide says, as plain values: the same slide gives the same ones.

A report that is signed keeps them as they were then; PDF and FHIR are made from them alone.
"""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet

from ml.parasitaemia import Estimate

from . import counting, disputes, finding, pictures, verdict
from .counting import Found
from .models import (
    READ_STATES,
    Cell,
    CellReview,
    Decision,
    FieldOpinion,
    Kind,
    Opinion,
    Prediction,
    Review,
    Slide,
    SlideReading,
)
from .words import english

FORMAT = 1
LIMITS = [
    verdict.TRAINED_ON,
    "It tells neither species nor stages apart: a parasitaemia may include gametocytes.",
]
FORMER_MEMBER = "a former member"
OF_IMAGES = ("image__created_at", "image_id", "created_at")
OF_CELLS = (
    "cell__image__created_at",
    "cell__image_id",
    F("cell__prediction").asc(nulls_last=True),
    "cell__number",
    "created_at",
)
"""The orders of what was said."""
DECISIONS = {str(name): str(name) for name in Decision} | {FieldOpinion.ASIDE: "set aside"}
COUNTS = ("parasitized", "uninfected", "uncertain", "edge", "rejected", "removed", "reviewed")


@english()
def of_slide(slide: Slide) -> dict[str, Any]:
    """As it stands now in the database. Neither "now" nor who asks has a part in it.

    So it is in English, whoever asks: its words are signed.
    """
    slide = Slide.objects.select_related("laboratory").get(pk=slide.pk)
    readings = _readings(slide)
    tally = verdict.tally(slide)
    result = finding.of_slide(slide) if tally.has_fields else None
    judged = list(slide.readings.all()) if slide.counts_opinions else []
    return {
        "format": FORMAT,
        "slide": str(slide.pk),
        "code": slide.code,
        "laboratory": slide.laboratory.name,
        "stain": slide.get_stain_display(),
        "note": slide.note,
        "added_at": slide.created_at.isoformat(),
        "read_at": max(_times(readings), default=""),
        "status": tally.status,
        "is_critical": tally.is_critical,
        "finding": result.verdict if result else "",
        "headline": _headline(tally, result),
        "advice": tally.advice,
        "lines": _lines(tally, result),
        "parasitaemia": _parasitaemia(result),
        "counts": _counts(result.found) if result else None,
        "crops": _crops(readings),
        "images": _images(readings),
        "pictures": pictures.chosen(slide, readings),
        "reviewers": _reviewers(slide, judged) if slide.counts_opinions else [],
        "fields": _said_of_fields(slide) if slide.counts_opinions else [],
        "cell_notes": _cell_notes(slide) if slide.counts_opinions else [],
        "conclusion": slide.get_concluded_display(),
        "readings": _readings_of(slide, judged) if slide.counts_opinions else [],
        "second_reading": _second_reading(slide),
        "models": _models(readings),
        "finders": sorted({row.finder for row in readings if row.finder}),
        "limits": LIMITS,
        "wording": verdict.RESEARCH_USE,
    }


def _readings(slide: Slide) -> list[Prediction]:
    found = Prediction.objects.filter(slide=slide, is_current=True)
    found = found.select_related("image", "model", "band").defer("activation", "model__metrics")
    return list(found.order_by("image__created_at", "image_id"))


def _times(readings: Iterable[Prediction]) -> list[str]:
    """When they were finished."""
    return [row.finished_at.isoformat() for row in readings if row.finished_at]


def _headline(tally: verdict.Tally, result: finding.Result | None) -> str:
    """What a person concludes comes first."""
    counted = result.headline if result else tally.counted.removesuffix(".")
    return " ".join(filter(None, (tally.conclusion, counted)))


def _lines(tally: verdict.Tally, result: finding.Result | None) -> list[str]:
    lines = [*(result.lines if result else []), *tally.remarks]
    return lines if result or not tally.cells else [*lines, verdict.NO_PARASITAEMIA]


def _parasitaemia(result: finding.Result | None) -> dict[str, Any] | None:
    """The basis is in red cells per µL."""
    if result is None or result.parasitaemia is None:
        return None
    return {
        "percent": _estimate(result.parasitaemia.percent),
        "per_microlitre": _estimate(result.parasitaemia.per_microlitre),
        "basis": result.basis,
        "is_measured": result.is_measured,
    }


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _counts(found: Found) -> dict[str, int]:
    """Red cells of the fields; those that count are `cells` in all."""
    names = {name: getattr(found, name) for name in COUNTS}
    return {"cells": found.counted, **names, "to_look_at": found.positives + found.uncertain}


def _crops(readings: Iterable[Prediction]) -> dict[str, int] | None:
    """Chosen cells, each an image: no share of them is a parasitaemia."""
    found = [_outcome(row) for row in readings if row.kind == Kind.CELL]
    counts = {str(name): found.count(name) for name in counting.COUNTED}
    total = sum(counts.values())
    return {"cells": total, **counts} if total else None


def _images(readings: list[Prediction]) -> list[dict[str, Any]]:
    """As they were uploaded."""
    cells = counting.of_predictions(readings)
    return [_image(row, cells.get(row.pk)) for row in readings]


def _image(row: Prediction, found: Found | None) -> dict[str, Any]:
    return {
        "id": str(row.image_id),
        "name": row.image.name,
        "kind": row.kind,
        "state": row.state,
        "decision": DECISIONS.get(_outcome(row), ""),
        "is_reviewed": bool(row.image.reviewed) and row.state in READ_STATES,
        "cells": found.counted if found else None,
        "model": row.model.name,
    }


def _outcome(row: Prediction) -> str:
    return verdict.of_image(row)


def _reviewers(slide: Slide, judged: list[SlideReading]) -> list[str]:
    """Whose opinions stand, of what is counted now, and who judged the whole slide."""
    names = {
        name or FORMER_MEMBER
        for said in _standing(slide)
        for name in said.values_list("reviewer__username", flat=True)
    }
    return sorted(names | {one.who for one in judged if one.closed_at or one.conclusion})


def _said_of_fields(slide: Slide) -> list[str]:
    """Who set a whole field aside or counts it, and why."""
    found = _standing(slide)[1].select_related("image", "reviewer")
    return [_said_of_field(said) for said in found.order_by(*OF_IMAGES)]


def _said_of_field(said: Review) -> str:
    who = said.reviewer.get_username() if said.reviewer else FORMER_MEMBER
    words = f"{said.image}: {said.get_label_display().lower()} by {who}"
    if said.label == FieldOpinion.COUNTS:
        words = f"{said.image}: counts, says {who}"
    return f"{words}: {said.comment}" if said.comment else words


def _standing(slide: Slide) -> tuple[QuerySet[Review], QuerySet[Review], QuerySet[CellReview]]:
    """Of chosen cells, of whole fields and of the red cells of these."""
    crops = Prediction.objects.filter(slide=slide, is_current=True, kind=Kind.CELL)
    fields = Prediction.objects.filter(slide=slide, is_current=True, kind=Kind.FIELD)
    added = Q(cell__prediction=None, cell__image__in=fields.values("image"))
    standing = Review.objects.filter(is_standing=True)
    of_crops = standing.filter(image__in=crops.values("image"), label__in=Opinion.values)
    of_fields = standing.filter(image__in=fields.values("image"), label__in=FieldOpinion.values)
    of_cells = CellReview.objects.filter(Q(cell__prediction__in=fields) | added)
    return of_crops, of_fields, of_cells.filter(is_standing=True)


def _cell_notes(slide: Slide) -> list[str]:
    """What people wrote beside their opinions. A chosen cell is an image of its own."""
    of_images, _, of_cells = _standing(slide)
    of_images = of_images.exclude(comment="").select_related("image")
    of_cells = of_cells.exclude(comment="").select_related("cell__image")
    return [
        *(f"{said.image}: {said.comment}" for said in of_images.order_by(*OF_IMAGES)),
        *(f"{_name_of(said.cell)}: {said.comment}" for said in of_cells.order_by(*OF_CELLS)),
    ]


def _name_of(cell: Cell) -> str:
    """The machine's cells and those that people added have numbers of their own."""
    return str(cell) if cell.prediction_id else f"{cell.image}, added cell {cell.number}"


def _readings_of(slide: Slide, judged: list[SlideReading]) -> list[str]:
    """What people concluded of the whole slide, and how what differed was settled."""
    said = [_reading(one) for one in judged if one.conclusion]
    return [*said, *(_settled(one) for one in disputes.of_slide(slide) if one.settlement)]


def _reading(one: SlideReading) -> str:
    place = f"{one.get_place_display()} {one.who}" if one.place else one.who
    return f"{place}: {one.get_conclusion_display().lower()}. {one.comment}".strip()


def _settled(one: disputes.Difference) -> str:
    settlement = one.settlement
    assert settlement
    how = "by a third person" if settlement.is_third else "after discussion"
    said = ", ".join(f"{said.who} {word}" for said, word in one.words)
    return (
        f"{one.name}: {said}. Settled as {one.settled_as} {how}, "
        f"{settlement.who}: {settlement.reason}"
    )


def _second_reading(slide: Slide) -> str:
    if slide.single_reading:
        return f"One reading was enough. {slide.single_reading}"
    if not slide.is_read_twice:
        return ""
    if not slide.counts_opinions:
        return "The two readings are not both closed; nothing that was said in them counts yet."
    number = len(disputes.of_slide(slide))
    agreed = f"They differed in {number}, settled below" if number else "They agreed"
    if slide.disputed:
        are = "is" if slide.disputed == 1 else "are"
        agreed = f"They differ in {number}, of which {slide.disputed} {are} not settled"
    return f"Read by two people, each blind to the other. {agreed}."


def _models(readings: Iterable[Prediction]) -> list[dict[str, Any]]:
    """The versions that read the images, each with the thresholds it decided with."""
    read = [row for row in readings if row.state in READ_STATES]
    known = {(row.model.name, row.model.fingerprint, row.band_id or 0): row for row in read}
    return [_model(known[key]) for key in sorted(known)]


def _model(row: Prediction) -> dict[str, Any]:
    thresholds = row.thresholds
    return {
        "name": row.model.name,
        "fingerprint": row.model.fingerprint,
        "low": thresholds.low if thresholds else None,
        "high": thresholds.high if thresholds else None,
    }
