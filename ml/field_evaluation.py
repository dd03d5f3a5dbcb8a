"""How well whole annotated fields are read: cells found, and parasitized ones among them.

The free-response curve (Bunch et al. 1977) gives the sensitivity for parasitized cells against the
false positives in a field, over all thresholds of the probability.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ml.annotations import NO_RED_CELL, PARASITIZED, SAME_CELL, UNINFECTED, read_photograph
from ml.datasets import DataError
from ml.decisions import LABEL_THRESHOLD
from ml.detection import SAME, Match, Truth, figures, match
from ml.field_reading import FieldReader, FieldReading
from ml.fields import FoundCell, overlaps

PER_FIELD = (0.1, 0.25, 0.5, 1.0, 2.0)
"""False positives at which the sensitivity is told."""
KNOWN = (UNINFECTED, *PARASITIZED, *NO_RED_CELL)
RED = (UNINFECTED, *PARASITIZED)
DIGITS = 6


@dataclass(frozen=True)
class FieldResult:
    """One field, as it was read, against its boxes."""

    match: Match
    hits: tuple[float, ...]
    """The probability of each parasitized cell, gametocytes included, that lies whole in the
    field, was found and not rejected."""
    alarms: tuple[float, ...]
    """Of each found cell that is no parasitized one: healthy, no red cell, or without a box."""
    rejected: bool


@dataclass(frozen=True)
class Curve:
    """From the highest threshold to the lowest; the sensitivity is 0 to 1."""

    thresholds: np.ndarray
    false_positives: np.ndarray
    """In a field on average."""
    sensitivity: np.ndarray

    def at(self, false_positives: float) -> float:
        """The best sensitivity with no more false positives than that."""
        return float(max(self.sensitivity[self.false_positives <= false_positives], default=0.0))


@dataclass(frozen=True)
class FieldResults:
    fields: tuple[FieldResult, ...]
    thresholds: tuple[float, ...] = (LABEL_THRESHOLD,)
    """Of the probability: those that a reader of the results acts on."""

    @property
    def parasitized(self) -> int:
        return sum(field.match.parasitized for field in self.fields)

    @cached_property
    def curve(self) -> Curve | None:
        """None where there is no parasitized cell."""
        if not self.parasitized:
            return None
        hits, alarms = self._called
        thresholds = np.unique(np.concatenate([hits, alarms]))[::-1]
        return Curve(
            thresholds,
            _at_least(alarms, thresholds) / len(self.fields),
            _at_least(hits, thresholds) / self.parasitized,
        )

    def at_threshold(self, threshold: float) -> dict[str, float | None]:
        hits, alarms = self._called
        found = int((hits >= threshold).sum())
        return {
            "threshold": threshold,
            "sensitivity": _rounded(found / self.parasitized) if self.parasitized else None,
            "false_positives": _rounded(int((alarms >= threshold).sum()) / len(self.fields)),
        }

    def figures(self) -> dict[str, Any]:
        """Ready for JSON."""
        curve = self.curve
        return {
            **{k: _rounded(v) for k, v in figures([f.match for f in self.fields]).items()},
            "rejected_fields": sum(field.rejected for field in self.fields),
            "parasitized": self.parasitized,
            "sensitivity_at_false_positives": {
                str(number): _rounded(curve.at(number)) if curve else None for number in PER_FIELD
            },
            "at_thresholds": [self.at_threshold(threshold) for threshold in self.thresholds],
        }

    @property
    def _called(self) -> tuple[np.ndarray, np.ndarray]:
        hits = [probability for field in self.fields for probability in field.hits]
        return np.array(hits), np.array([p for field in self.fields for p in field.alarms])


def evaluate_fields(
    reader: FieldReader, folder: Path, annotated: Iterable[dict[str, Any]]
) -> FieldResults:
    """Every annotated field that has a red cell is read, one at a time. DataError without any."""
    entries = (entry for entry in annotated if any(c["type"] in RED for c in entry["cells"]))
    fields = tuple(_evaluated(reader, folder, entry) for entry in entries)
    if not fields:
        raise DataError(f"{folder} has no field with a red cell.")
    band = reader.predictor.manifest.thresholds
    return FieldResults(fields, tuple(sorted({band.low, LABEL_THRESHOLD, band.high})))


def _evaluated(reader: FieldReader, folder: Path, entry: dict[str, Any]) -> FieldResult:
    image = read_photograph(folder, entry)
    truth, unsure = truth_of(entry["cells"], (image.height, image.width))
    reading = reader.read(image)
    return compare(reading, truth, unsure, reader.finder.manifest.edge * usual_side(truth))


def truth_of(cells: Sequence[dict[str, Any]], size: tuple[int, int]) -> tuple[Truth, np.ndarray]:
    """What is boxed in a field of that height and width, a parasitized cell once; and which boxes
    are no answer, such as "difficult" (n,)."""
    boxed = [cell for cell in cells if min(cell["box"][2:]) > 0]
    boxed.sort(key=lambda cell: cell["type"] not in PARASITIZED)
    boxes = _corners(cell["box"] for cell in boxed)
    kinds = np.array([cell["type"] for cell in boxed], str)
    parasitized, red = np.isin(kinds, PARASITIZED), np.isin(kinds, RED)
    earlier = np.tril(overlaps(boxes, boxes) >= SAME_CELL, -1)
    once = ~(red & (earlier & parasitized).any(axis=1))
    truth = Truth(boxes[once], red[once], parasitized[once], size)
    return truth, np.isin(kinds, KNOWN, invert=True)[once]


def compare(
    reading: FieldReading, truth: Truth, unsure: np.ndarray, margin: float = 0.0
) -> FieldResult:
    """Neither asked for nor held against it: cells that end within `margin` pixels of the edge,
    and `unsure` ones (n,)."""
    found = [FoundCell(cell.box, 1.0, cell.edge) for cell in reading.cells]
    matched = match(found, truth, margin)
    asked = truth.whole(margin) & truth.parasitized
    spared = unsure | (truth.parasitized & ~asked)
    shared = overlaps(_corners(cell.box for cell in found), truth.boxes[spared])
    alike: np.ndarray = np.any(shared >= SAME, axis=1)
    boxed = dict(matched.pairs)
    hits, alarms = [], []
    for index, cell in enumerate(reading.cells):
        if not cell.counts:
            continue
        if index in boxed and asked[boxed[index]]:
            hits.append(cell.said.probability)
        elif not alike[index]:
            alarms.append(cell.said.probability)
    rejected = reading.decision is not None
    return FieldResult(matched, tuple(hits), tuple(alarms), rejected)


def usual_side(truth: Truth) -> float:
    """Of a red cell's box, in pixels."""
    boxes = truth.boxes[truth.red]
    return float(np.median(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))))


def write_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """As CSV, a row for each threshold."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("folder", "threshold", "false_positives_per_field", "sensitivity"))
        for name, curve in curves.items():
            columns = (curve.thresholds, curve.false_positives, curve.sensitivity)
            for row in zip(*columns, strict=True):
                rows.writerow((name, *(_rounded(float(value)) for value in row)))


def report(name: str, result: Mapping[str, Any]) -> str:
    """The figures of a folder as text."""
    lines = [
        f"{name}: {result['fields']:,} fields, {result['rejected_fields']:,} of them rejected",
        f"{result['cells']:,} red cells away from the edge: F1 {result['f1']:.4f}, "
        f"recall {result['recall']:.4f}, precision {result['precision']:.4f}",
        f"count of a field: off by {result['count_error_median']:.1%} on the median field, by "
        f"{result['count_error_95']:.1%} at most on 95 % of them, {result['count_bias']:+.1%} "
        "on average",
        f"{result['parasitized']:,} parasitized cells, gametocytes included",
        *(
            f"sensitivity {_figure(sensitivity)} at {number} false positives a field"
            for number, sensitivity in result["sensitivity_at_false_positives"].items()
        ),
        *(
            f"sensitivity {_figure(at['sensitivity'])}, {at['false_positives']:.2f} false "
            f"positives a field where P(parasitized) >= {at['threshold']:.3g}"
            for at in result["at_thresholds"]
        ),
    ]
    return "\n  ".join(lines) + "\n\n"


def _corners(boxes: Iterable[Sequence[float]]) -> np.ndarray:
    """x, y, width, height → left, top, right, lower (n, 4)."""
    found = np.array(list(boxes), float).reshape(-1, 4)
    found[:, 2:] += found[:, :2]
    return found


def _at_least(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many values reach each threshold."""
    return np.asarray(len(values) - np.searchsorted(np.sort(values), thresholds))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _rounded(value: float) -> float:
    return round(value, DIGITS)
