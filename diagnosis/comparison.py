"""Two model versions side by side: their figures, and whether these can be compared at all."""

from typing import Any, NamedTuple

from . import figures
from .models import ModelVersion

MAY_BE_THE_SLIDES = "A difference may be that of the slides and not of the models."


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
            return f"{side.version} came without measured figures."
    if one.part != other.part:
        return f"Not measured on the same kind of slides: {_on(one)}, {_on(other)}. " + (
            "Validation slides chose settings of the model, so their figures flatter."
        )
    if not one.slides or not other.slides:
        return f"Nobody noted whether both were measured on the same slides. {MAY_BE_THE_SLIDES}"
    if one.slides != other.slides:
        both = len(one.slides & other.slides)
        return (
            f"Not measured on the same {one.part} slides: {_on(one)}, {_on(other)}, "
            f"{both} of them in both. {MAY_BE_THE_SLIDES}"
        )
    if one.metrics.get("n") != other.metrics.get("n"):
        return (
            f"Measured on the same {len(one.slides)} {one.part} slides, but not on the same cells: "
            f"{one.metrics.get('n'):,} and {other.metrics.get('n'):,}. {MAY_BE_THE_SLIDES}"
        )
    cells = one.metrics.get("n")
    return f"Both were measured on the same {len(one.slides)} {one.part} slides, {cells:,} cells."


def _on(side: Side) -> str:
    number = len(side.slides) or side.metrics.get("slides")
    return f"{side.version} on {number or 'unknown'} {side.part or 'other'} slides"


def _difference(name: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    if one.get(name) is None or other.get(name) is None:
        return "–"
    number = other[name] - one[name]
    text = f"{100 * number:+.1f} points" if name in figures.SHARES else f"{number:+.3f}"
    return text.replace("-", "−")
