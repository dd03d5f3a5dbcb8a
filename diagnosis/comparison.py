"""Two model versions side by side: their figures, and whether these can be compared at all."""

from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import figures, phrases
from .models import ModelVersion
from .words import number

MAY_BE_THE_SLIDES = gettext_noop("A difference may be that of the slides and not of the models.")


class Row(NamedTuple):
    word: str
    one: figures.Value
    other: figures.Value
    difference: str
    """Of the other to the one; in percentage points where both are shares."""


class Side(NamedTuple):
    """What one version was measured on, and how it came out."""

    version: ModelVersion
    part: str
    metrics: dict[str, Any]

    @property
    def slides(self) -> set[str]:
        return set((self.version.manifest.get("data") or {}).get(f"{self.part}_slides") or ())


def of(one: ModelVersion, other: ModelVersion) -> dict[str, Any]:
    sides = _sides(one, other)
    columns = [side.metrics for side in sides]
    rows = [
        Row(word, values[0], values[1], _difference(name, *columns))
        for name, word, values in figures.table(columns)
    ]
    return {"one": one, "other": other, "rows": rows, "ground": ground(*sides)}


def _sides(one: ModelVersion, other: ModelVersion) -> tuple[Side, Side]:
    """On the same kind of slides where both have figures of it, test slides before others."""
    first, second = figures.parts(one), figures.parts(other)
    if shared := [name for name in first if name in second]:
        name = shared[0]
        return Side(one, name, first[name]), Side(other, name, second[name])
    return Side(one, *figures.measured(one)), Side(other, *figures.measured(other))


def ground(one: Side, other: Side) -> str:
    """In words: were both measured on the same?"""
    for side in (one, other):
        if not side.metrics:
            return _("%(version)s came without measured figures.") % {"version": side.version}
    words = {"one": _on(one), "other": _on(other)}
    if one.part != other.part:
        return (
            _(
                "Not measured on the same kind of slides: %(one)s, %(other)s. Validation slides "
                "chose settings of the model, so their figures flatter."
            )
            % words
        )
    if not one.slides or not other.slides:
        unknown = _("Nobody noted whether both were measured on the same slides.")
        return f"{unknown} {_(MAY_BE_THE_SLIDES)}"
    if one.slides != other.slides:
        both = len(one.slides & other.slides)
        sentence = _(
            "Not measured on the same %(part)s slides: %(one)s, %(other)s, "
            "%(both)d of them in both."
        )
        return f"{sentence % {**words, **_same(one), 'both': both}} {_(MAY_BE_THE_SLIDES)}"
    return _same_slides(one, other)


def _same_slides(one: Side, other: Side) -> str:
    cells, others = one.metrics.get("n"), other.metrics.get("n")
    if cells == others:
        sentence = _("Both were measured on the same %(slides)d %(part)s slides, %(cells)s cells.")
        return sentence % {**_same(one), "cells": number(cells or 0)}
    sentence = _(
        "Measured on the same %(slides)d %(part)s slides, but not on the same cells: "
        "%(cells)s and %(others)s."
    )
    numbers = {"cells": number(cells or 0), "others": number(others or 0)}
    return f"{sentence % {**_same(one), **numbers}} {_(MAY_BE_THE_SLIDES)}"


def _same(side: Side) -> dict[str, object]:
    return {"slides": len(side.slides), "part": phrases.shown(side.part or "other")}


def _on(side: Side) -> str:
    slides = len(side.slides) or side.metrics.get("slides") or _("unknown")
    words = {"version": side.version, "slides": slides, "part": _same(side)["part"]}
    return _("%(version)s on %(slides)s %(part)s slides") % words


def _difference(name: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    if one.get(name) is None or other.get(name) is None:
        return "–"
    more = other[name] - one[name]
    if name not in figures.SHARES:
        return number(more, "+.3f").replace("-", "−")
    return _("%(number)s points") % {"number": number(100 * more, "+.1f").replace("-", "−")}
