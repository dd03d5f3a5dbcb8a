"""What the fields of a slide say together: parasitaemia and verdict, in numbers and in words."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ml.background import Background
from ml.parasitaemia import (
    BASIS,
    LEAST_CELLS,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    Parasitaemia,
    cells_needed,
    parasitaemia,
)

from . import counting
from .counting import Found
from .models import ModelVersion, Slide
from .words import between, in_percent, number

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
            said = self.parasitaemia.verdict
            return UNCERTAIN if said == NEGATIVE and self._is_doubted else said
        return POSITIVE if self.is_confirmed else UNCERTAIN

    @property
    def is_confirmed(self) -> bool:
        """A person saw a parasite."""
        return self.found.counted > 0 and self.found.counts.seen > 0

    @property
    def _is_doubted(self) -> bool:
        """A person called a cell parasitized that does not count, or is in doubt of one that does:
        no share of healthy slides explains that."""
        return self.found.aside > 0 or self.found.doubtful > 0

    @property
    def to_look_at(self) -> int:
        return self.found.counts.to_look_at

    @property
    def headline(self) -> str:
        if self.verdict == POSITIVE:
            return self._positive
        if self.found.aside and not self.to_look_at:
            words = ngettext(
                "Uncertain: %(cells)s cell called parasitized lies in a field that does not count",
                "Uncertain: %(cells)s cells called parasitized lie in fields that do not count",
                self.found.aside,
            )
            return words % {"cells": number(self.found.aside)}
        if self.verdict == NEGATIVE:
            words = ngettext(
                "Negative in %(cells)s red cell",
                "Negative in %(cells)s red cells",
                self.found.counted,
            )
            return words % {"cells": number(self.found.counted)}
        if self.to_look_at:
            words = ngettext(
                "Uncertain: %(cells)s cell to look at",
                "Uncertain: %(cells)s cells to look at",
                self.to_look_at,
            )
            return words % {"cells": number(self.to_look_at)}
        if self.found.doubtful:
            words = ngettext(
                "Uncertain: people cannot tell what %(cells)s cell is, or differ",
                "Uncertain: people cannot tell what %(cells)s cells are, or differ",
                self.found.doubtful,
            )
            return words % {"cells": number(self.found.doubtful)}
        if needed := cells_needed(self.found.counted):
            words = ngettext(
                "Uncertain: %(cells)s more red cell needed",
                "Uncertain: %(cells)s more red cells needed",
                needed,
            )
            return words % {"cells": number(needed)}
        return _("Uncertain")

    @property
    def _positive(self) -> str:
        if self.parasitaemia is None:
            return _("Positive") if self.is_confirmed else _("Parasites suspected")
        if self.is_confirmed:
            return _("Positive: parasitaemia %(percent)s") % {"percent": self._percent}
        return _("Parasites suspected: parasitaemia %(percent)s") % {"percent": self._percent}

    @property
    def lines(self) -> list[str]:
        """What stands under it, the most important first."""
        found = [*self._parasitaemia_lines(), *self._aside, *self._cell_lines()]
        if self.parasitaemia is None and self.found.counted:
            found.append(
                _(
                    "The false positives of this model at its thresholds have not been measured, "
                    "so neither a parasitaemia nor a negative result is given."
                )
            )
        return found

    @property
    def _percent(self) -> str:
        assert self.parasitaemia
        return in_percent(short(self.parasitaemia.percent.value))

    def _parasitaemia_lines(self) -> list[str]:
        if self.parasitaemia is None:
            return []
        percent, per_ul = self.parasitaemia.percent, self.parasitaemia.per_microlitre
        if self.is_measured:
            sentence = _(
                "Parasitaemia %(percent)s (95 %% interval %(range)s), %(per_ul)s per µL "
                "(%(range_per_ul)s), with %(basis)s red cells per µL as measured. "
                "It may include gametocytes."
            )
        else:
            sentence = _(
                "Parasitaemia %(percent)s (95 %% interval %(range)s), %(per_ul)s per µL "
                "(%(range_per_ul)s), with %(basis)s red cells per µL assumed, not measured. "
                "It may include gametocytes."
            )
        numbers = {
            "percent": self._percent,
            "range": in_percent(between(short(percent.low), short(percent.high))),
            "per_ul": whole(per_ul.value),
            "range_per_ul": between(whole(per_ul.low), whole(per_ul.high)),
            "basis": number(self.basis),
        }
        if percent.value <= HYPERPARASITAEMIA:
            return [sentence % numbers]
        much = _("More than %(percent)s is commonly called hyperparasitaemia.")
        return [sentence % numbers, much % {"percent": f"{short(HYPERPARASITAEMIA)} %"}]

    @property
    def _aside(self) -> list[str]:
        """A parasite in a field that does not count still keeps a slide from being negative."""
        if not self.found.aside or self.verdict == POSITIVE:
            return []
        sentence = ngettext(
            "%(cells)s cell called parasitized lies in a field that was set aside or rejected: "
            "the other fields alone do not make this slide negative.",
            "%(cells)s cells called parasitized lie in fields that were set aside or rejected: "
            "the other fields alone do not make this slide negative.",
            self.found.aside,
        )
        return [sentence % {"cells": number(self.found.aside)}]

    def _cell_lines(self) -> list[str]:
        lines = [self._counted, *self._needed]
        if self.to_look_at:
            sentence = ngettext(
                "%(cells)s cell a person has to look at.",
                "%(cells)s cells a person has to look at.",
                self.to_look_at,
            )
            lines.append(sentence % {"cells": number(self.to_look_at)})
        if self.found.doubtful:
            sentence = ngettext(
                "%(cells)s cell on which people differ, or which they cannot tell.",
                "%(cells)s cells on which people differ, or which they cannot tell.",
                self.found.doubtful,
            )
            lines.append(sentence % {"cells": number(self.found.doubtful)})
        if left_out := ", ".join(self._left_out):
            lines.append(_("Not counted: %(cells)s.") % {"cells": left_out})
        return lines

    @property
    def _counted(self) -> str:
        found, numbers = self.found, {"parasitized": number(self.found.parasitized)}
        numbers["cells"] = number(found.counted)
        if self.parasitaemia is None or not found.positives:
            sentence = ngettext(
                "%(parasitized)s of %(cells)s red cell counted as parasitized.",
                "%(parasitized)s of %(cells)s red cells counted as parasitized.",
                found.counted,
            )
            return sentence % numbers
        numbers["false"] = short(self.parasitaemia.expected_false)
        sentence = ngettext(
            "%(parasitized)s of %(cells)s red cell counted as parasitized; "
            "about %(false)s of them may be false positives of the model.",
            "%(parasitized)s of %(cells)s red cells counted as parasitized; "
            "about %(false)s of them may be false positives of the model.",
            found.counted,
        )
        return sentence % numbers

    @property
    def _needed(self) -> list[str]:
        needed = cells_needed(self.found.counted)
        if not needed:
            return []
        sentence = ngettext(
            "%(cells)s more red cell needed for a result: %(least)d are the least. "
            "Add fields of the same slide.",
            "%(cells)s more red cells needed for a result: %(least)d are the least. "
            "Add fields of the same slide.",
            needed,
        )
        return [sentence % {"cells": number(needed), "least": LEAST_CELLS}]

    @property
    def _left_out(self) -> list[str]:
        found = self.found
        edge = ngettext("%(cells)s cut by an edge", "%(cells)s cut by an edge", found.edge)
        rejected = ngettext("%(cells)s rejected", "%(cells)s rejected", found.rejected)
        removed = ngettext("%(cells)s removed", "%(cells)s removed", found.removed)
        out = [(edge, found.edge), (rejected, found.rejected), (removed, found.removed)]
        return [words % {"cells": number(cells)} for words, cells in out if cells]


def of_slide(slide: Slide) -> Result | None:
    """Nothing where no field of it counts, and none of the others holds a parasite."""
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


def short(value: float) -> str:
    """Two digits that say something: 0.034, 1.2, 23."""
    if value <= 0:
        return "0"
    if value >= 10:
        return number(value, ".0f")
    return number(value, ".2g" if value >= 0.01 else ".1g")


def whole(value: float) -> str:
    """Per µL, to two digits: what is counted says no more."""
    return number(float(f"{value:.2g}"), ".0f")
