"""Whether a new model may take the place of another: both judged on the same cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.artifact import TRAINED_ON, Manifest
from ml.datasets import Example, load
from ml.engines import cores
from ml.measurement import NO_BAND, Measured, measure
from ml.metrics import Sample
from ml.predictor import Predictor

MARGINS = {"auc": 0.002, "accuracy": 0.005}
"""What few slides cannot prove may still be a loss: 5 cells in 1,000 are too many to give away."""
WORDS = {"auc": "AUC", "accuracy": "accuracy"}
DRAWS, SEED = 2000, 0
ENGINE = "onnxruntime"
"""The int8 models that serve, wherever they are compared."""


@dataclass(frozen=True)
class Difference:
    """One figure of two models, and the 95 % interval of new - active from paired draws."""

    figure: str
    new: float
    active: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.new - self.active

    @property
    def is_worse(self) -> bool:
        """Surely worse, or by more than the margin; a figure that is no number too."""
        return not (self.high >= 0 and self.value >= -MARGINS[self.figure] - 1e-9)

    def __str__(self) -> str:
        return (
            f"{WORDS[self.figure]} {self.new:.4f} against {self.active:.4f} "
            f"(difference {self.value:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f})"
        )


@dataclass(frozen=True)
class Comparison:
    cells: int
    slides: int | None
    """None where not every cell's slide is known: then cells are drawn, not slides."""
    differences: tuple[Difference, ...]
    note: str = ""

    @property
    def is_worse(self) -> bool:
        return any(difference.is_worse for difference in self.differences)

    def __str__(self) -> str:
        of_slides = f" of {self.slides} slides" if self.slides is not None else ""
        figures = ", ".join(str(difference) for difference in self.differences)
        return f"on {self.cells:,} validation cells{of_slides}: {figures}.{self.note}"


def compare_models(new: Path, active: Path, examples: Sequence[Example]) -> Comparison:
    """Two artifacts on labelled cells. Raises ArtifactError or DataError with a sentence."""
    (_, said), (manifest, said_before) = (_judged(folder, examples) for folder in (new, active))
    return compare(said, said_before, advantage(manifest, said.slides))


def _judged(folder: Path, examples: Sequence[Example]) -> tuple[Manifest, Measured]:
    predictor = Predictor.load_checked(folder, ENGINE)
    pixels = load(examples, predictor.manifest, threads=cores())
    return predictor.manifest, measure(predictor, pixels)


def compare(new: Measured, active: Measured, note: str = "") -> Comparison:
    """Of what two models said of the same cells in the same order."""
    if new.files != active.files or (new.truth != active.truth).any():
        raise ValueError("The two models must have judged the same cells.")
    clusters = new.slides if new.slides is not None else tuple(map(str, range(len(new.files))))
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    truth = new.truth.astype(bool)
    samples = [Sample(m.probability, truth, cluster, NO_BAND, m.rejected) for m in (new, active)]
    differences = tuple(_difference(figure, *samples) for figure in MARGINS)
    slides = len(names) if new.slides is not None else None
    return Comparison(len(truth), slides, differences, note)


def _difference(figure: str, new: Sample, active: Sample) -> Difference:
    """Paired: with the same clusters and seed the two see the same draws."""
    drawn = new.bootstrap(DRAWS, SEED)[figure] - active.bootstrap(DRAWS, SEED)[figure]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    now, before = (sample.estimate()[figure] for sample in (new, active))
    return Difference(figure, now, before, float(low), float(high))


def advantage(active: Manifest, slides: Sequence[str] | None) -> str:
    """A sentence, after a space, where the active model may know the cells of the comparison."""
    if slides is None:
        return " Whether the active model was trained on some of them is not known."
    if active.data.get("training_slides") is not None:
        known, verb = active.slides(*TRAINED_ON) & set(slides), "was trained on"
    else:
        known = set(slides) - active.slides("validation", "test")
        verb = "may have been trained on"
    if not known:
        return ""
    return f" The active model {verb} {len(known)} of these slides, which would flatter it."
