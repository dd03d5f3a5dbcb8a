"""A whole field read: its red cells found, cut out and classified together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from PIL import Image

from ml.boxes import Box, surroundings
from ml.decisions import REJECTED, UNCERTAIN, UNINFECTED, decide
from ml.fields import Finder, FoundCell
from ml.focus import LEAST, focus
from ml.predictor import CellPrediction, Predictor

BATCH = 128
"""Cells at once: most fields hold fewer, and 3,000 would take gigabytes."""
NO_CELLS = "No red cell was found in this field."
BLURRED = "This field is out of focus: parasites cannot be seen in it."
NO_THIN_FILM = "Most of what was found is no red cell as in a stained thin film."
LEAST_READABLE = 0.5
"""Of what was found: the share that must not be rejected."""


@dataclass(frozen=True)
class FieldCell:
    """A red cell found in a field, and what the network says of it."""

    box: Box
    edge: bool
    said: CellPrediction

    @property
    def counts(self) -> bool:
        return not self.edge and self.said.decision != REJECTED


@dataclass(frozen=True)
class FieldReading:
    cells: tuple[FieldCell, ...]
    decision: str | None
    """`rejected` where it is no field that can be read, else None: a field has no label."""
    reasons: tuple[str, ...]
    model: str
    finder: str


@dataclass(frozen=True)
class FieldReader:
    predictor: Predictor
    finder: Finder

    def read(self, image: Image.Image) -> FieldReading:
        """Of an upright RGB image."""
        found = self.finder.find(image)
        said = self._classified(image, found)
        cells = tuple(FieldCell(f.box, f.edge, s) for f, s in zip(found, said, strict=True))
        names = (self.predictor.manifest.name, self.finder.name)
        if reason := why_unreadable(image, cells):
            return FieldReading(cells, REJECTED, (reason,), *names)
        return FieldReading(tuple(map(self._seen, cells)), None, (), *names)

    def _seen(self, cell: FieldCell) -> FieldCell:
        """What may hold a parasite is not set aside because it looks unlike the cells of the
        training: a person sees it. In 74 held-out fields these were 32 of 7,963 cells, and four of
        the 112 parasitized ones."""
        said = cell.said
        likely = decide(said.probability, self.predictor.manifest.thresholds)
        if said.decision != REJECTED or likely == UNINFECTED:
            return cell
        return replace(cell, said=replace(said, decision=UNCERTAIN))

    def _classified(self, image: Image.Image, found: list[FoundCell]) -> list[CellPrediction]:
        batches = (found[start : start + BATCH] for start in range(0, len(found), BATCH))
        return [
            said
            for batch in batches
            for said in self.predictor.predict([cut(image, cell) for cell in batch])
        ]


def why_unreadable(image: Image.Image, cells: Sequence[FieldCell]) -> str:
    """Why nothing may be counted in this field; empty where it can be read."""
    if not cells:
        return NO_CELLS
    side = median((cell.box[2] * cell.box[3]) ** 0.5 for cell in cells)
    if focus(np.asarray(image), side) < LEAST:
        return BLURRED
    readable = sum(cell.said.decision != REJECTED for cell in cells)
    return "" if readable >= LEAST_READABLE * len(cells) else NO_THIN_FILM


def cut(image: Image.Image, cell: FoundCell) -> Image.Image:
    """The cell with a little of what is around it, as far as the image goes."""
    return image.crop(surroundings(cell.box, image.size))
