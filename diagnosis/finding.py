"""What the fields of a slide say together: parasitaemia and verdict, in numbers and in words."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from ml.background import Background
from ml.parasitaemia import (
    BASIS,
    LEAST_CELLS,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    Estimate,
    Parasitaemia,
    cells_needed,
    parasitaemia,
)

from . import counting
from .counting import Found
from .models import ModelVersion, Slide

HYPERPARASITAEMIA = 5.0
"""Percent."""


@dataclass(frozen=True)
class Result:
    found: Found
    basis: int
    """Red cells per µL."""
    is_measured: bool
    """The basis, for this slide."""
    background: Background | None
    """Of the model that read the fields; without one there is no parasitaemia, nor a negative."""

    @cached_property
    def parasitaemia(self) -> Parasitaemia | None:
        if self.background is None or not self.found.counted:
            return None
        return parasitaemia(self.found.counts, self.background, self.basis)

    @property
    def verdict(self) -> str:
        if self.parasitaemia:
            return self.parasitaemia.verdict
        return POSITIVE if self.is_confirmed else UNCERTAIN

    @property
    def is_confirmed(self) -> bool:
        """A person saw a parasite."""
        return self.found.counted > 0 and self.found.counts.seen > 0

    @property
    def to_look_at(self) -> int:
        return self.found.positives + self.found.uncertain

    @property
    def headline(self) -> str:
        if self.verdict == POSITIVE:
            word = "Positive" if self.is_confirmed else "Parasites suspected"
            return f"{word}: parasitaemia {self._percent}" if self.parasitaemia else f"{word}"
        if self.verdict == NEGATIVE:
            return f"Negative in {counted(self.found.counted, 'red cell')}"
        if self.to_look_at:
            return f"Uncertain: {counted(self.to_look_at, 'cell')} to look at"
        if needed := cells_needed(self.found.counted):
            return f"Uncertain: {counted(needed, 'more red cell')} needed"
        return "Uncertain"

    @property
    def lines(self) -> list[str]:
        """What stands under it, the most important first."""
        found = [*self._parasitaemia_lines(), *self._cell_lines()]
        if self.parasitaemia is None and self.found.counted:
            found.append(
                "The false positives of this model at its thresholds have not been measured, so "
                "neither a parasitaemia nor a negative result is given."
            )
        return found

    @property
    def _percent(self) -> str:
        assert self.parasitaemia
        return f"{short(self.parasitaemia.percent.value)} %"

    def _parasitaemia_lines(self) -> list[str]:
        if self.parasitaemia is None:
            return []
        percent, per_ul = self.parasitaemia.percent, self.parasitaemia.per_microlitre
        how = "as measured" if self.is_measured else "assumed, not measured"
        lines = [
            f"Parasitaemia {self._percent} (95 % interval {_range(percent)} %), "
            f"{whole(per_ul.value)} per µL ({whole(per_ul.low)} to {whole(per_ul.high)}), "
            f"with {self.basis:,} red cells per µL {how}. It may include gametocytes."
        ]
        if percent.value > HYPERPARASITAEMIA:
            lines.append("More than 5 % is commonly called hyperparasitaemia.")
        return lines

    def _cell_lines(self) -> list[str]:
        found = self.found
        lines = [
            f"{found.parasitized:,} of {counted(found.counted, 'red cell')} counted as parasitized"
            f"{self._explained}."
        ]
        if needed := cells_needed(found.counted):
            lines.append(
                f"{counted(needed, 'more red cell')} needed for a result: "
                f"{LEAST_CELLS} are the least. Add fields of the same slide."
            )
        if self.to_look_at:
            lines.append(f"{counted(self.to_look_at, 'cell')} a person has to look at.")
        out = {"cut by an edge": found.edge, "rejected": found.rejected, "removed": found.removed}
        left_out = ", ".join(f"{number:,} {word}" for word, number in out.items() if number)
        return [*lines, f"Not counted: {left_out}."] if left_out else lines

    @property
    def _explained(self) -> str:
        if self.parasitaemia is None or not self.found.positives:
            return ""
        false = self.parasitaemia.expected_false
        return f"; about {short(false)} of them may be false positives of the model"


def of_slide(slide: Slide) -> Result | None:
    """Nothing where no field of it was read."""
    return of_slides([slide]).get(slide.pk)


def of_slides(slides: Collection[Slide]) -> dict[UUID, Result]:
    if not slides:
        return {}
    found = counting.of_slides([slide.pk for slide in slides])
    versions = ModelVersion.objects.in_bulk({one.version for one in found.values()})
    backgrounds = {pk: background_of(version) for pk, version in versions.items()}
    return {
        slide.pk: Result(
            found=found[slide.pk],
            basis=slide.red_cells_per_microlitre or BASIS,
            is_measured=slide.red_cells_per_microlitre is not None,
            background=_background(found[slide.pk], backgrounds),
        )
        for slide in slides
        if slide.pk in found
    }


def _background(found: Found, of_versions: dict[int, Background | None]) -> Background | None:
    """It was measured with the model's own thresholds, and says nothing of others."""
    return None if found.has_band else of_versions.get(found.version)


def background_of(version: ModelVersion) -> Background | None:
    """As it was measured when the model was made, on slides kept out of its training."""
    values = (version.metrics or {}).get("background")
    try:
        return Background.from_dict(values) if values else None
    except (AttributeError, ValueError):
        return None


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(value: float) -> str:
    """Two digits that say something: 0.034, 1.2, 23."""
    if value <= 0:
        return "0"
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 0.01 else f"{value:.1g}"


def whole(value: float) -> str:
    """Per µL, to two digits: what is counted says no more."""
    return f"{float(f'{value:.2g}'):,.0f}"


def _range(estimate: Estimate) -> str:
    return f"{short(estimate.low)} to {short(estimate.high)}"
