"""The plots that stand beside the figures. Drawn without a display and without global state.

One plot says one thing; blue is the model, orange what to look at (Okabe & Ito 2008: told apart
by every kind of colour vision), grey what to compare with.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from ml.decisions import LABEL_THRESHOLD, PARASITIZED, UNINFECTED
from ml.metrics import BINS, bin_of

if TYPE_CHECKING:
    from ml.field_evaluation import Curve

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8A8F98", "#1F2933"
FEW_CELLS = 30
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


def save_plots(
    folder: Path,
    result: Mapping[str, Any],
    probability: ArrayLike,
    truth: ArrayLike,
    history: Sequence[Mapping[str, Any]] = (),
) -> list[Path]:
    """confusion.png, roc.png, reliability.png and, with a history, curves.png in `folder`.

    `result` is what `ml.evaluation.evaluate` said of the same probabilities.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in ("confusion", "roc", "reliability")]
    plot_confusion(paths[0], result["confusion"])
    plot_roc(paths[1], probability, truth, result["intervals"].get("auc"))
    plot_reliability(paths[2], probability, truth)
    if history:
        paths.append(folder / "curves.png")
        plot_history(paths[3], history)
    return paths


def plot_confusion(path: Path, confusion: Mapping[str, int]) -> None:
    """Counts, and the share of each truth, shaded by that share."""
    tp, fn, fp, tn = (confusion[key] for key in ("tp", "fn", "fp", "tn"))
    counts = np.array([[tp, fn], [fp, tn]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _saved(path, 4.8, 4.4) as figure:
        axes = figure.add_subplot(title=f"Confusion of {counts.sum():,} cells")
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else INK
            place: dict[str, Any] = {"ha": "center", "color": colour}
            axes.text(column, row, f"{count:,}", va="bottom", size=19, weight="bold", **place)
            axes.text(column, row + 0.06, f"{shares[row, column]:.1%}", va="top", **place)
        names = [PARASITIZED, UNINFECTED]
        axes.set_xticks([0, 1], names)
        axes.set_yticks([0, 1], names, rotation=90, va="center")
        axes.set(xlabel="Label of the model", ylabel="Truth")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)


def plot_roc(
    path: Path,
    probability: ArrayLike,
    truth: ArrayLike,
    interval: Sequence[float] | None = None,
) -> None:
    """Sensitivity against false positives, the corner that matters enlarged."""
    from sklearn.metrics import auc, roc_curve

    probabilities, positive = _arrays(probability, truth)
    with _saved(path, 4.8, 4.8) as figure:
        axes = figure.add_subplot(title="ROC", xlabel="1 - specificity", ylabel="Sensitivity")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        if positive.all() or not positive.any():
            _say(axes, "Not defined:\nthe cells are all of one class")
            return
        false, true, _ = roc_curve(positive, probabilities)
        called = probabilities >= LABEL_THRESHOLD
        point = float(called[~positive].mean()), float(called[positive].mean())
        axes.set_title(f"ROC (AUC {auc(false, true):.4f})")
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.5)
        axes.plot(false, true, color=BLUE)
        axes.plot(*point, "o", color=ORANGE, markersize=8, label="threshold 0.5")
        axes.legend(loc="lower right", handletextpad=0.2, borderaxespad=0)
        if interval:
            ends = f"95 % interval of the AUC\n{interval[0]:.4f} to {interval[1]:.4f}"
            axes.text(0.98, 0.13, ends, ha="right", va="bottom", size=10)
        if np.interp(0.1, false, true) >= 0.9:
            corner = axes.inset_axes((0.44, 0.36, 0.53, 0.53), xlim=(0, 0.1), ylim=(0.9, 1))
            corner.plot(false, true, color=BLUE)
            corner.plot(*point, "o", color=ORANGE, markersize=8)
            corner.set_xticks([0, 0.05, 0.1])
            corner.set_yticks([0.9, 0.95, 1])
            corner.tick_params(labelsize=9)
            axes.indicate_inset_zoom(corner, edgecolor=GREY)


def plot_reliability(path: Path, probability: ArrayLike, truth: ArrayLike) -> None:
    """How often cells of a probability are parasitized, in the 15 bins of the ECE."""
    probabilities, positive = _arrays(probability, truth)
    bins = bin_of(probabilities)
    count = np.bincount(bins, minlength=BINS)
    filled = count > 0
    size = count[filled]
    said = np.bincount(bins, probabilities, BINS)[filled] / size
    seen = np.bincount(bins, positive, BINS)[filled] / size
    error = float((np.abs(said - seen) * size).sum() / size.sum())
    with _saved(path, 4.8, 5.6) as figure:
        top, bottom = figure.subplots(2, height_ratios=(3, 1), sharex=True)
        top.set(title=f"Reliability (ECE {error:.4f})", ylabel="Observed share parasitized")
        top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        top.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.5, label="perfect")
        top.plot(said, seen, color=BLUE, alpha=0.45)
        enough = size >= FEW_CELLS
        marks: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 7, "color": BLUE}
        top.plot(said[enough], seen[enough], **marks, label="cells of one bin")
        top.plot(
            said[~enough], seen[~enough], **marks, mfc="white", label=f"fewer than {FEW_CELLS}"
        )
        top.legend(loc="upper left")
        edges = np.arange(BINS) / BINS
        bottom.bar(edges, count, width=1 / BINS, align="edge", color=BLUE, edgecolor="white")
        bottom.set(xlabel="P(parasitized)", ylabel="Cells", yscale="log", ylim=(0.7, None))
        bottom.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        bottom.grid(visible=False, axis="x")


def plot_free_response(path: Path, curves: Mapping[str, "Curve"], limit: float = 0.5) -> None:
    """Sensitivity against the false positives in a field; marked where they reach the limit."""
    with _saved(path, 6.4, 4.4) as figure:
        axes = figure.add_subplot(title="Parasitized cells found in whole fields")
        axes.set(xlabel="False positives in a field", ylabel="Sensitivity")
        axes.set(xlim=(0, 4 * limit), ylim=(-0.01, 1.01))
        if not curves:
            _say(axes, "Not defined:\nno cell is parasitized")
            return
        axes.axvline(limit, color=GREY, linestyle=":", linewidth=1.5)
        styles = ("-", "--", "-.", ":")
        for (name, curve), style in zip(curves.items(), itertools.cycle(styles), strict=False):
            label = f"{name}: {curve.at(limit):.3f} at {limit:g}"
            ends = [0, *curve.false_positives], [0, *curve.sensitivity]
            axes.step(*ends, where="post", color=BLUE, linestyle=style, label=label)
            axes.plot(limit, curve.at(limit), "o", color=ORANGE, markersize=8)
        axes.legend(loc="lower right")


def plot_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Loss, accuracy and learning rate by epoch; numbers may be text, as CSV gives them."""
    epoch = _column(rows, "epoch")
    accuracy = _column(rows, "validation_accuracy")
    with _saved(path, 8.4, 4.2) as figure:
        grid = figure.add_gridspec(2, 2, height_ratios=(4, 1))
        for column, name in enumerate(("loss", "accuracy")):
            axes = figure.add_subplot(grid[0, column], title=name.capitalize())
            for part, colour in (("train", GREY), ("validation", BLUE)):
                values = _column(rows, f"{part}_{name}")
                axes.plot(epoch, values, marker=".", color=colour)
            _by_epoch(axes, epoch)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        figure.axes[0].legend(["training", "validation"], loc="upper right")
        if np.isfinite(accuracy).any():
            best = int(np.nanargmax(accuracy))
            label = f"best: {accuracy[best]:.2%}, epoch {epoch[best]:.0f}"
            mark = axes.plot(epoch[best], accuracy[best], "o", color=ORANGE, label=label)
            axes.legend(handles=mark, loc="lower right", handletextpad=0.2)
        rate = figure.add_subplot(grid[1, :], xlabel="Epoch", ylabel="Learning\nrate")
        rate.plot(epoch, _column(rows, "learning_rate"), marker=".", color=GREY)
        _by_epoch(rate, epoch)
        rate.set_ylim(bottom=0)


@contextmanager
def _saved(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in inches, written to `path` in its format by name, the same bytes each time."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "plots"}):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        yield figure
        date = {"Date": None} if Path(path).suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=160, metadata=date)


def _arrays(probability: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    return np.asarray(probability, dtype=np.float64), np.asarray(truth).astype(bool)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """What a row does not hold is a gap in the line."""
    values = (row.get(name) for row in rows)
    return np.array([np.nan if value in (None, "") else float(value) for value in values])


def _by_epoch(axes: Axes, epoch: NDArray[np.float64]) -> None:
    axes.set_xlim(epoch.min() - 0.5, epoch.max() + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _say(axes: Axes, sentence: str) -> None:
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", color=INK)
