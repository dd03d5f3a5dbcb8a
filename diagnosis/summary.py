"""All that a report of a slide says, as plain values: the same slide gives the same ones.

A report that is signed keeps them as they were then; PDF and FHIR are made from them alone. Its
sentences are in the language of the laboratory's reports, which it names; what a program decides by
stands beside them in codes, the same in every language.
"""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from ml.parasitaemia import Estimate

from . import counting, disputes, finding, opinions, pictures, verdict
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
    ReportLanguage,
    Review,
    Slide,
    SlideReading,
    SmearImage,
)
from .words import spoken

FORMAT = 2
"""The first knew no language, and of what people said the words alone."""
LIMITS = [
    verdict.TRAINED_ON,
    gettext_noop(
        "It tells neither species nor stages apart: a parasitaemia may include gametocytes."
    ),
]
FORMER_MEMBER = gettext_noop("a former member")
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


def of_slide(slide: Slide, language: str = "") -> dict[str, Any]:
    """As it stands now in the database. Neither "now" nor who asks has a part in it.

    So it is in the language of the laboratory's reports, whoever asks: its words are signed.
    Another `language` is that of a report with which it is compared.
    """
    slide = Slide.objects.select_related("laboratory").get(pk=slide.pk)
    language = language or slide.laboratory.report_language
    with spoken(language):
        return {"format": FORMAT, "language": language, **_said_of(slide)}


def language_of(content: dict[str, Any]) -> str:
    """Of a summary; what was signed before there was a choice is in English."""
    return str(content.get("language", ReportLanguage.ENGLISH.value))


def concluded(content: dict[str, Any]) -> str:
    """What people conclude of the whole slide by a summary, a `Conclusion`; empty where nobody did.

    The first format says it in an English word.
    """
    word = str(content.get("conclusion", "")).lower().replace(" ", "-")
    return str(content.get("concluded", word))


def has_cells(content: dict[str, Any]) -> bool:
    """Red cells were counted in fields: chosen ones alone are never negative."""
    return bool(content["counts"] and content["counts"]["cells"])


def _said_of(slide: Slide) -> dict[str, Any]:
    readings = _readings(slide)
    tally = verdict.tally(slide)
    result = finding.of_slide(slide) if tally.has_fields else None
    judged = list(slide.readings.all()) if slide.counts_opinions else []
    settled = [one for one in disputes.of_slide(slide) if one.settlement]
    counts = slide.counts_opinions
    said = _of_images(slide, readings) if counts else []
    of_fields = [one for one in said if one.label in FieldOpinion.values]
    of_crops = [one for one in said if one.label in Opinion.values]
    of_cells = _of_cells(slide) if counts else CellReview.objects.none()
    notes = _notes(of_crops, of_cells)
    heads = _heads(tally, result)
    return {
        "slide": str(slide.pk),
        "code": slide.code,
        "laboratory": slide.laboratory.name,
        "stain": str(slide.get_stain_display()),
        "note": slide.note,
        "added_at": slide.created_at.isoformat(),
        "read_at": max(_times(readings), default=""),
        "status": tally.status,
        "is_critical": tally.is_critical,
        "finding": result.verdict if result else "",
        "is_confirmed": bool(result and result.is_confirmed),
        "headline": " ".join(filter(None, heads)),
        "heads": heads,
        "advice": tally.advice,
        "lines": _lines(tally, result),
        "parasitaemia": _parasitaemia(result),
        "counts": _counts(result.found) if result else None,
        "crops": _crops(readings),
        "images": _images(readings),
        "pictures": pictures.chosen(slide, readings),
        "reviewers": _reviewers(said, of_cells, judged),
        "fields": [_said_of_field(one) for one in of_fields],
        "notes": notes,
        "cell_notes": [_note(note) for note in notes],
        "concluded": slide.concluded,
        "conclusion": str(slide.get_concluded_display()),
        "said": _said(judged, settled),
        "readings": _readings_of(judged, settled),
        "second_reading": _second_reading(slide),
        "models": _models(readings),
        "finders": sorted({row.finder for row in readings if row.finder}),
        "limits": [_(limit) for limit in LIMITS],
        "wording": _(verdict.RESEARCH_USE),
    }


def _readings(slide: Slide) -> list[Prediction]:
    found = Prediction.objects.filter(slide=slide, is_current=True)
    found = found.select_related("image", "model", "band").defer("activation", "model__metrics")
    return list(found.order_by("image__created_at", "image_id"))


def _times(readings: Iterable[Prediction]) -> list[str]:
    """When they were finished."""
    return [row.finished_at.isoformat() for row in readings if row.finished_at]


def _heads(tally: verdict.Tally, result: finding.Result | None) -> list[str]:
    """What a person concludes comes first, or is empty; then what was counted."""
    counted = result.headline if result else tally.counted.removesuffix(".")
    return [tally.conclusion, tally.beside(counted)]


def _lines(tally: verdict.Tally, result: finding.Result | None) -> list[str]:
    lines = [*(result.lines if result else []), *tally.remarks]
    return lines if result or not tally.cells else [*lines, _(verdict.NO_PARASITAEMIA)]


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
    return {"cells": found.counted, **names, "to_look_at": found.counts.to_look_at}


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


def _reviewers(said: list[Review], of_cells: QuerySet[CellReview], judged: list[SlideReading]
               ) -> list[str]:  # fmt: skip
    """Whose opinions stand, of what is counted now, and who judged the whole slide."""
    names = {name or _(FORMER_MEMBER) for (name,) in of_cells.values_list("reviewer__username")}
    names |= {_who(one) for one in said}
    return sorted(names | {one.who for one in judged if one.closed_at or one.conclusion})


def _said_of_field(said: Review) -> str:
    """Who set it aside or counts it, and why."""
    counts = said.label == FieldOpinion.COUNTS
    words = _("%(image)s: counts, says %(who)s") if counts else _("%(image)s: set aside by %(who)s")
    line = words % {"image": said.image, "who": _who(said)}
    return f"{line}: {said.comment}" if said.comment else line


def _who(said: Review) -> str:
    return said.reviewer.get_username() if said.reviewer else _(FORMER_MEMBER)


def _of_images(slide: Slide, readings: Iterable[Prediction]) -> list[Review]:
    """What stands of its images as they are read now."""
    current = {row.image_id: row for row in readings}
    said = opinions.with_readings(Review.objects.filter(image__slide=slide, is_standing=True))
    said = said.select_related("image", "reviewer").order_by(*OF_IMAGES)
    return [
        one
        for one in said
        if one.image_id in current and opinions.holds(one, current[one.image_id])
    ]


def _of_cells(slide: Slide) -> QuerySet[CellReview]:
    """What stands of the red cells of its fields."""
    fields = Prediction.objects.filter(slide=slide, is_current=True, kind=Kind.FIELD)
    added = Q(cell__prediction=None, cell__image__in=fields.values("image"))
    said = CellReview.objects.filter(Q(cell__prediction__in=fields) | added)
    return said.filter(is_standing=True).order_by(*OF_CELLS)


def _notes(said: list[Review], of_cells: QuerySet[CellReview]) -> list[dict[str, Any]]:
    """What people wrote beside their opinions. A chosen cell is an image of its own."""
    of_cells = of_cells.exclude(comment="").select_related("cell__image")
    return [
        *(_written(one.image, None, one.comment) for one in said if one.comment),
        *(_written(one.cell.image, one.cell, one.comment) for one in of_cells),
    ]


def _written(image: SmearImage, cell: Cell | None, comment: str) -> dict[str, Any]:
    """The machine's cells and those that people added have numbers of their own."""
    return {
        "image": image.name,
        "cell": cell.number if cell else None,
        "is_added": cell is not None and cell.prediction_id is None,
        "comment": comment,
    }


def _note(note: dict[str, Any]) -> str:
    if note["is_added"]:
        return _("%(image)s, added cell %(cell)d: %(comment)s") % note
    if note["cell"] is not None:
        return _("%(image)s, cell %(cell)d: %(comment)s") % note
    return _("%(image)s: %(comment)s") % note


def _said(judged: list[SlideReading], settled: list[disputes.Difference]) -> list[dict[str, Any]]:
    """Of the whole slide, and how what differed was settled: what `_readings_of` says in words."""
    return [
        *(
            {"who": one.who, "place": one.place, "label": one.conclusion, "comment": one.comment}
            for one in judged
            if one.conclusion
        ),
        *(_settled(one) for one in settled),
    ]


def _settled(one: disputes.Difference) -> dict[str, Any]:
    settlement = one.settlement
    assert settlement
    return {
        "of": one.key,
        "who": settlement.who,
        "is_third": settlement.is_third,
        "label": settlement.label,
        "reason": settlement.reason,
        "labels": [said.label for said in one.said],
    }


def _readings_of(judged: list[SlideReading], settled: list[disputes.Difference]) -> list[str]:
    said = [_reading(one) for one in judged if one.conclusion]
    return [*said, *(_settlement(one) for one in settled)]


def _reading(one: SlideReading) -> str:
    who = f"{one.get_place_display()} {one.who}" if one.place else one.who
    word = str(one.get_conclusion_display()).lower()
    said = _("%(who)s: %(conclusion)s.") % {"who": who, "conclusion": word}
    return f"{said} {one.comment}".strip()


def _settlement(one: disputes.Difference) -> str:
    settlement = one.settlement
    assert settlement
    if settlement.is_third:
        words = _("%(what)s: %(said)s. Settled as %(label)s by a third person, %(who)s: %(reason)s")
    else:
        words = _("%(what)s: %(said)s. Settled as %(label)s after discussion, %(who)s: %(reason)s")
    return words % {
        "what": one.name,
        "said": ", ".join(f"{said.who} {word}" for said, word in one.words),
        "label": one.settled_as,
        "who": settlement.who,
        "reason": settlement.reason,
    }


def _second_reading(slide: Slide) -> str:
    if slide.single_reading and not slide.is_read_twice:
        return " ".join((_("One reading is enough."), slide.single_reading))
    if not slide.is_read_twice:
        return ""
    if not slide.counts_opinions:
        return _("The two readings are not both closed; nothing that was said in them counts yet.")
    blind = _("Read by two people, each blind to the other.")
    if slide.second_asked_by:
        blind = _(
            "Read by two people. %(who)s asked for the second reader later; from then on each was "
            "blind to the other."
        ) % {"who": slide.second_asked_by}
    differences = sum(one.differs for one in disputes.of_slide(slide))
    return f"{blind} {_agreement(slide.disputed, differences)}"


def _agreement(disputed: int, differences: int) -> str:
    if disputed:
        words = ngettext(
            "They differ in %(number)d, of which %(open)d is not settled.",
            "They differ in %(number)d, of which %(open)d are not settled.",
            disputed,
        )
        return words % {"number": differences, "open": disputed}
    if differences:
        return _("They differed in %(number)d, settled below.") % {"number": differences}
    return _("They agreed.")


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
