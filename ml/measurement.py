"""What a model says of labelled cells: cell by cell, kept in a file, and as figures."""

import csv
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.background import Background, SlideCounts, measure_background
from ml.calibration import fit_thresholds
from ml.datasets import DataError, Pixels, has_slides
from ml.decisions import PARASITIZED, REJECTED, UNCERTAIN, Thresholds, decide
from ml.evaluation import evaluate
from ml.predictor import Predictor

PREDICTIONS = "predictions.csv"
COLUMNS = ["file", "slide", "truth", "probability"]
FOLD = "fold"
NO_BAND = Thresholds(0.5, 0.5)
"""Where cells were judged by several models, each with an uncertain band of its own."""


@dataclass(frozen=True)
class Measured:
    """Labelled cells with what was said of them; all of one length.

    truth: int (n,), 1 is parasitized; probability: calibrated P(parasitized) (n,); slides: names,
    or None where not every one is known; folds: whose model judged, or None where one judged all.
    """

    files: tuple[str, ...]
    slides: tuple[str, ...] | None
    truth: np.ndarray
    probability: np.ndarray
    folds: tuple[str, ...] | None = None
    rejected: np.ndarray | None = None
    """Bool (n,): what was taken for no red cell; None where that was not asked."""

    def figures(self, thresholds: Thresholds = NO_BAND) -> dict[str, Any]:
        """As `ml.evaluation.evaluate`: figures with intervals by slide."""
        return evaluate(
            self.probability, self.truth, self.slides, thresholds, rejected=self.rejected
        )

    def slide_counts(self, thresholds: Thresholds | None = None) -> list[SlideCounts]:
        """What it says of healthy and infected cells by decision; none where slides are unknown.

        Without thresholds each slide is judged by those that the other slides would choose: a band
        that was fitted to cells has fewer errors outside it on these than on any others. Empty
        where there are no others.
        """
        slides = np.array(self.slides or ())
        names = sorted(set(slides))
        if not thresholds and len(names) < 2:
            return []
        return [self._slide_counts(slides == name, thresholds) for name in names]

    def _slide_counts(self, own: np.ndarray, thresholds: Thresholds | None) -> SlideCounts:
        """Rejected cells count on no slide, so they are left out."""
        chosen = thresholds or fit_thresholds(self.probability[~own], self.truth[~own])
        kept = own if self.rejected is None else own & ~self.rejected
        found: Counter[str] = Counter()
        for probability, truth in zip(self.probability[kept], self.truth[kept], strict=True):
            kind = "infected" if truth else "healthy"
            found.update([kind, f"{kind} {decide(float(probability), chosen)}"])
        return SlideCounts(
            healthy=found["healthy"],
            false_positives=found[f"healthy {PARASITIZED}"],
            uncertain=found[f"healthy {UNCERTAIN}"],
            infected=found["infected"],
            detected=found[f"infected {PARASITIZED}"],
        )

    def by_fold(self) -> dict[str, dict[str, Any]]:
        """The figures of each fold; empty where there are no folds."""
        names = sorted(set(self.folds or ()))
        return {name: self._where(np.array(self.folds) == name).figures() for name in names}

    def without(self, files: Set[str]) -> "Measured":
        """All but the named files, in whatever format; DataError where that is none or all."""
        names = {Path(name).stem for name in files}
        kept = np.array([Path(name).stem not in names for name in self.files])
        if kept.all():
            raise DataError("None of the listed files is among these cells.")
        if not kept.any():
            raise DataError("Nothing is left once the listed files are set aside.")
        return self._where(kept)

    def _where(self, mask: np.ndarray) -> "Measured":
        def some(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return names and tuple(n for n, kept in zip(names, mask, strict=True) if kept)

        files, slides, folds = some(self.files) or (), some(self.slides), some(self.folds)
        rejected = None if self.rejected is None else self.rejected[mask]
        return Measured(files, slides, self.truth[mask], self.probability[mask], folds, rejected)


def background_of(slides: Sequence[SlideCounts]) -> Background | None:
    """None where too few slides tell."""
    try:
        return measure_background(slides)
    except ValueError:
        return None


def measure(predictor: Predictor, pixels: Pixels) -> Measured:
    """What a model says of labelled cells."""
    probability, rejected = predictor.judge(pixels.images)
    examples = pixels.examples
    return Measured(
        files=tuple(example.path.name for example in examples),
        slides=tuple(e.slide or "" for e in examples) if has_slides(examples) else None,
        truth=pixels.labels,
        probability=probability,
        rejected=rejected,
    )


def together(parts: Sequence[Measured]) -> Measured:
    """One after the other; they must agree on whether slides and folds are known."""
    known = [part.rejected for part in parts if part.rejected is not None]
    return Measured(
        files=tuple(name for part in parts for name in part.files),
        slides=_joined([part.slides for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
        probability=np.concatenate([part.probability for part in parts]),
        folds=_joined([part.folds for part in parts]),
        rejected=np.concatenate(known) if len(known) == len(parts) else None,
    )


def _joined(parts: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(name for part in known for name in part) if len(known) == len(parts) else None


def write_predictions(path: Path, measured: Measured) -> None:
    """One row an image: file name, slide, truth (1 is parasitized), probability, and more.

    Whether it was rejected (1) where that was asked, and its fold where there are folds.
    """
    columns: dict[str, Sequence[Any]] = {
        "file": measured.files,
        "slide": measured.slides or [""] * len(measured.files),
        "truth": measured.truth.tolist(),
        "probability": [f"{value:.6f}" for value in measured.probability],
    }
    if measured.rejected is not None:
        columns[REJECTED] = measured.rejected.astype(int).tolist()
    if measured.folds is not None:
        columns[FOLD] = measured.folds
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_predictions(path: Path) -> Measured:
    """What `write_predictions` wrote; DataError where it is not that."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        truth = np.array([int(row["truth"]) for row in rows], np.int64)
        probability = np.array([float(row["probability"]) for row in rows])
        files, slides = (tuple(row[name] for row in rows) for name in ("file", "slide"))
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} does not hold predictions ({error}): its columns must be {', '.join(COLUMNS)}."
        ) from None
    if not rows:
        raise DataError(f"{path} holds no predictions.")
    sound = (probability >= 0) & (probability <= 1) & np.isin(truth, (0, 1))
    if not sound.all():
        row = rows[int(np.argmin(sound))]
        raise DataError(
            f"{path} holds no predictions: the truth must be 0 or 1 and the probability from 0 to "
            f"1, but {row['file']} has {row['truth']} and {row['probability']}."
        )
    # Folders of different classes or slides may each have an image of that name.
    images = Counter(zip(files, slides, truth.tolist(), strict=True))
    twice = [name for (name, *_), count in images.items() if count > 1]
    if twice:
        raise DataError(f"{path} holds {twice[0]} more than once.")
    folds = tuple(row[FOLD] for row in rows) if FOLD in rows[0] else None
    rejected = np.array([row[REJECTED] == "1" for row in rows]) if REJECTED in rows[0] else None
    return Measured(files, slides if all(slides) else None, truth, probability, folds, rejected)


def read_files(path: Path) -> set[str]:
    """A list of file names: the first column of a CSV; a header line does no harm."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {Path(row[0].strip()).name for row in csv.reader(file) if row}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The list of files {path} cannot be read: {error}.") from None
