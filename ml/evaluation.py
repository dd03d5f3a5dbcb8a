"""How good the probabilities of a model are, on slides it never saw."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.decisions import LABEL_THRESHOLD, PARASITIZED, UNINFECTED, Thresholds
from ml.metrics import SPECIFICITIES, Floats, Sample, intervals

FIGURES = (
    "accuracy",
    "auc",
    "sensitivity",
    "specificity",
    "f1",
    "mcc",
    "ece",
    "brier",
    "coverage",
    "accuracy_when_confident",
    "rejected",
)
FOLD_FIGURES = ("accuracy", "auc", "sensitivity", "specificity", "f1", "mcc", "ece", "brier")
AT_SPECIFICITY = "sensitivity_at_specificity"
DIGITS = 6  # beyond them sums differ from one processor to the next
BY_IMAGE = (
    "Intervals by image: the slide of each image is not known, so they are too narrow wherever "
    "images share a slide."
)
ONE_SLIDE = "No intervals: all images are of one slide."


def evaluate(
    probability: ArrayLike,
    truth: ArrayLike,
    slides: Sequence[str] | None,
    thresholds: Thresholds,
    bootstrap: int = 2000,
    seed: int = 0,
    rejected: ArrayLike | None = None,
) -> dict[str, Any]:
    """Figures, 95 % intervals and the slides one by one, ready for JSON.

    probability: n calibrated P(parasitized); truth: n of 0 and 1; slides: n names, or None.
    The label is parasitized where probability >= 0.5; `thresholds` only decide coverage and
    accuracy_when_confident. A red cell that was `rejected` (n of bool) counts as labelled wrongly.
    What one class alone cannot define is None. Intervals are percentiles
    of `bootstrap` draws of slides with replacement (cluster bootstrap, Field & Welsh 2007), ECE
    apart (see ml.metrics); draws in which a metric is undefined are left out of its interval.

    Raises ValueError for lists of different length, no cells, and values out of range.
    """
    probabilities, labels = _checked(probability, truth, slides)
    names, cluster = _clusters(slides, len(labels))
    lost = np.zeros(len(labels), bool) if rejected is None else np.asarray(rejected, bool)
    sample = Sample(probabilities, labels, cluster, thresholds, lost)
    correct = ((probabilities >= LABEL_THRESHOLD) == labels) & ~lost
    rows = _per_slide(names, cluster, labels, correct) if slides is not None else []
    return {
        "n": len(labels),
        "slides": len(names) if slides is not None else None,
        **_values(sample.estimate()),
        "confusion": _confusion(labels, correct),
        "thresholds": {"low": thresholds.low, "high": thresholds.high},
        "intervals": _intervals(sample, bootstrap, seed),
        "note": _note(slides, sample.clusters),
        "per_slide": rows,
        "worst_tenth": _worst_tenth(rows),
    }


def _checked(
    probability: ArrayLike, truth: ArrayLike, slides: Sequence[str] | None
) -> tuple[Floats, NDArray[np.bool_]]:
    probabilities, labels = np.asarray(probability, dtype=np.float64), np.asarray(truth)
    if probabilities.ndim != 1 or probabilities.shape != labels.shape:
        raise ValueError("Probabilities and truth must be two lists of one length.")
    if slides is not None and len(slides) != len(labels):
        raise ValueError("There must be one slide name for each image.")
    if not len(labels):
        raise ValueError("There is nothing to evaluate: no images.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("Probabilities must be numbers between 0 and 1.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("Truth must be 0 (uninfected) or 1 (parasitized).")
    return probabilities, labels.astype(bool)


def _clusters(slides: Sequence[str] | None, size: int) -> tuple[list[str], NDArray[np.int64]]:
    if slides is None:
        return [], np.arange(size)
    names, cluster = np.unique(np.asarray(slides, dtype=str), return_inverse=True)
    return names.tolist(), cluster


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


def _values(estimate: dict[str, float]) -> dict[str, Any]:
    values: dict[str, Any] = {name: _rounded(value) for name, value in estimate.items()}
    values[AT_SPECIFICITY] = {str(s): values.pop(f"{AT_SPECIFICITY}_{s}") for s in SPECIFICITIES}
    return values


def _intervals(sample: Sample, bootstrap: int, seed: int) -> dict[str, list[float | None] | None]:
    if sample.clusters < 2 or bootstrap < 1:
        return {}
    return {
        name: None if ends is None else [_rounded(end) for end in ends]
        for name, ends in intervals(sample, bootstrap, seed).items()
    }


def _note(slides: Sequence[str] | None, clusters: int) -> str:
    if slides is None:
        return BY_IMAGE
    return ONE_SLIDE if clusters == 1 else ""


def _confusion(labels: NDArray[np.bool_], correct: NDArray[np.bool_]) -> dict[str, int]:
    return {
        "tp": int((labels & correct).sum()),
        "fn": int((labels & ~correct).sum()),
        "fp": int((~labels & ~correct).sum()),
        "tn": int((~labels & correct).sum()),
    }


def _per_slide(
    names: list[str],
    cluster: NDArray[np.int64],
    labels: NDArray[np.bool_],
    correct: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """One row a slide, by name; `parasitized` counts the cells that truly are."""
    size = np.bincount(cluster)
    parasitized = np.bincount(cluster, labels)
    right = np.bincount(cluster, correct)
    return [
        {
            "slide": name,
            "n": int(size[i]),
            "parasitized": int(parasitized[i]),
            "accuracy": round(float(right[i] / size[i]), DIGITS),
        }
        for i, name in enumerate(names)
    ]


def _worst_tenth(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The tenth of the slides (rounded up) with the lowest accuracy, their cells pooled."""
    if not rows:
        return None
    ranked = sorted(rows, key=lambda row: (row["accuracy"], -row["n"], row["slide"]))
    worst = ranked[: -(-len(rows) // 10)]
    cells = sum(row["n"] for row in worst)
    right = sum(row["accuracy"] * row["n"] for row in worst)
    return {
        "slides": [row["slide"] for row in worst],
        "n": cells,
        "accuracy": round(right / cells, DIGITS),
    }


def report(result: dict[str, Any]) -> str:
    """The result of `evaluate` as text: classification report, figures with intervals, slides."""
    of_slides = f" of {result['slides']} slides" if result["slides"] is not None else ""
    parts = [
        f"{result['n']:,} cells{of_slides}; labelled {PARASITIZED} where probability >= 0.5",
        _classes_table(result["confusion"]),
        _figures_table(result),
    ]
    if worst := result["worst_tenth"]:
        line = (
            f"Worst tenth of slides: accuracy {_figure(worst['accuracy'])} on "
            f"{worst['n']:,} cells of {', '.join(worst['slides'])}"
        )
        parts.append(fill(line, width=80))
    if result["note"]:
        parts.append(result["note"])
    return "\n\n".join(parts) + "\n"


def report_folds(folds: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of each fold as text, a line each."""
    lines = [f"{'fold':<10}{'slides':>7}{'cells':>8}" + "".join(f"{n:>12}" for n in FOLD_FIGURES)]
    for name, result in folds.items():
        figures = "".join(f"{_figure(result[figure]):>12}" for figure in FOLD_FIGURES)
        lines.append(f"{name:<10}{result['slides'] or '-':>7}{result['n']:>8,}{figures}")
    return "\n".join(lines) + "\n"


def _classes_table(confusion: dict[str, int]) -> str:
    tp, fn, fp, tn = (confusion[key] for key in ("tp", "fn", "fp", "tn"))
    head = (
        f"{'truth':<14}{'labelled':>13}{'':>12}{'precision':>11}{'recall':>9}{'f1':>9}{'cells':>9}"
    )
    lines = [head, f"{'':<14}{PARASITIZED:>13}{UNINFECTED:>12}"]
    for name, right, missed, invented, row in (
        (PARASITIZED, tp, fn, fp, (tp, fn)),
        (UNINFECTED, tn, fp, fn, (fp, tn)),
    ):
        ratios = (
            _ratio(right, right + invented),
            _ratio(right, right + missed),
            _ratio(2 * right, 2 * right + missed + invented),
        )
        lines.append(
            f"{name:<14}{row[0]:>13,}{row[1]:>12,}{_figure(ratios[0]):>11}"
            f"{_figure(ratios[1]):>9}{_figure(ratios[2]):>9}{right + missed:>9,}"
        )
    return "\n".join(lines)


def _figures_table(result: dict[str, Any]) -> str:
    by = "slide" if result["slides"] is not None else "image"
    lines = [f"{'':<32}{'value':>8}   95 % interval by {by}"]
    flat = {name: result[name] for name in FIGURES} | {
        f"{AT_SPECIFICITY}_{s}": value for s, value in result[AT_SPECIFICITY].items()
    }
    for name, value in flat.items():
        interval = result["intervals"].get(name)
        ends = f"   {_figure(interval[0])} to {_figure(interval[1])}" if interval else ""
        lines.append(f"{_words(name):<32}{_figure(value):>8}{ends}")
    return "\n".join(lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
