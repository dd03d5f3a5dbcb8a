"""Metrics of weighted cells, many weightings at once.

The estimate is the weighting in which every cluster counts once, a bootstrap draw is one in
which it counts as often as it was drawn: one definition serves both, and 2,000 draws take
seconds, because sums are taken once per cluster and cells are sorted once.

A metric without a meaning (sensitivity without parasitized cells, say) is nan.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.decisions import LABEL_THRESHOLD, Thresholds

Floats = NDArray[np.float64]

BINS = 15
SPECIFICITIES = (0.98, 0.99)
CELLS_AT_ONCE = 2_000_000  # weights held in memory: 16 MB an array


def bin_of(probability: Floats) -> NDArray[np.int64]:
    """The bin, of 15 of equal width, of each probability; 1 belongs to the last."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


class Sample:
    """Cells with P(parasitized), truth (bool) and the cluster 0..k-1 that each belongs to.

    A cell that was rejected has been labelled wrongly, whatever its probability.
    """

    def __init__(
        self,
        probability: Floats,
        truth: NDArray[np.bool_],
        cluster: NDArray[np.int64],
        thresholds: Thresholds,
        rejected: NDArray[np.bool_] | None = None,
    ) -> None:
        self.clusters = int(cluster.max()) + 1
        rejected = np.zeros(len(truth), bool) if rejected is None else rejected
        columns = _columns(probability, truth, thresholds, rejected)
        sums = [np.bincount(cluster, column, self.clusters) for column in columns]
        self._sums: Floats = np.column_stack(sums)
        order = np.argsort(probability, kind="stable")
        self._truth, self._cluster = truth[order], cluster[order]
        # Cells of one probability rank together: only the last of each group is a cut.
        self._cuts = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)

    def metrics(self, weights: NDArray[np.int64]) -> dict[str, Floats]:
        """weights: (draws, clusters). Each metric: (draws,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return _metrics_of_sums(weights @ self._sums) | self._ranking(weights)

    def estimate(self) -> dict[str, float]:
        once = np.ones((1, self.clusters), dtype=np.int64)
        return {name: float(value[0]) for name, value in self.metrics(once).items()}

    def bootstrap(self, draws: int, seed: int) -> dict[str, Floats]:
        """Clusters drawn with replacement, whole: the cluster bootstrap of Field & Welsh 2007.

        Two samples with the same clusters and seed see the same draws, so their differences
        are paired.
        """
        at_once = max(1, CELLS_AT_ONCE // len(self._truth))
        parts = [self.metrics(w) for w in cluster_weights(self.clusters, draws, seed, at_once)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _ranking(self, weights: NDArray[np.int64]) -> dict[str, Floats]:
        cells = weights[:, self._cluster].astype(np.float64)
        # Columns are cuts, ascending: the weight of each class at or below the cut.
        positive = np.cumsum(cells * self._truth, axis=1)[:, self._cuts]
        negative = np.cumsum(cells * ~self._truth, axis=1)[:, self._cuts]
        positives, negatives = positive[:, -1], negative[:, -1]
        values = {"auc": _area(positive, negative) / (positives * negatives)}
        for specificity in SPECIFICITIES:
            enough = negative >= specificity * negatives[:, None] - 1e-9
            cut = enough.argmax(axis=1)[:, None]
            missed = np.take_along_axis(positive, cut, axis=1)[:, 0] / positives
            values[f"sensitivity_at_specificity_{specificity}"] = np.where(
                negatives > 0, 1 - missed, np.nan
            )
        return values


def intervals(sample: Sample, draws: int, seed: int) -> dict[str, tuple[float, float] | None]:
    """95 % intervals of each metric over the clusters; None where no draw defines it."""
    estimate = sample.estimate()["ece"]
    values = sample.bootstrap(draws, seed)
    return {name: _middle(drawn) for name, drawn in values.items()} | {
        "ece": _around(estimate, values["ece"])
    }


def _middle(draws: Floats) -> tuple[float, float] | None:
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


def _around(estimate: float, draws: Floats) -> tuple[float, float]:
    """An interval for a sum of absolute deviations, which every resampling inflates again.

    Plain percentiles of ECE lie above the estimate and often miss the truth altogether. This
    reaches down as the basic bootstrap does (Davison & Hinkley 1997, 5.2) and up by the spread
    of the draws about their own mean.
    """
    high = float(np.quantile(draws, 0.975))
    return max(0.0, 2 * estimate - high), estimate + high - float(draws.mean())


def cluster_weights(
    clusters: int, draws: int, seed: int, at_once: int
) -> Iterator[NDArray[np.int64]]:
    """How often each cluster was drawn: (at most `at_once`, clusters) at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        drawn = generator.integers(clusters, size=(rows, clusters))
        drawn += np.arange(rows)[:, None] * clusters
        yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)


def _area(positive: Floats, negative: Floats) -> Floats:
    """Pairs ranked the right way round, ties counting half (Mann & Whitney 1947)."""
    step = np.diff(positive, axis=1, prepend=0.0)
    below = negative - np.diff(negative, axis=1, prepend=0.0) / 2
    return np.einsum("ij,ij->i", step, below)


def _columns(
    probability: Floats,
    truth: NDArray[np.bool_],
    thresholds: Thresholds,
    rejected: NDArray[np.bool_],
) -> list[Any]:
    """8 + BINS columns (n,): what the metrics are made of, once summed."""
    called = np.where(rejected, ~truth, probability >= LABEL_THRESHOLD)
    confident = (probability >= thresholds.high) | (probability < thresholds.low)
    confident &= ~rejected
    residual = probability - truth
    return [
        called & truth,
        ~called & truth,
        called & ~truth,
        ~called & ~truth,
        residual**2,
        confident,
        confident & (called == truth),
        rejected,
        *(residual * (bin_of(probability) == b) for b in range(BINS)),
    ]


def _metrics_of_sums(sums: Floats) -> dict[str, Floats]:
    """Brier 1950; ECE in 15 bins of P(parasitized): Naeini, Cooper & Hauskrecht 2015;
    MCC: Matthews 1975, 0 where only one label was given (Chicco & Jurman 2020)."""
    tp, fn, fp, tn, squared, confident, confident_right, rejected = sums[:, :8].T
    n, positives, negatives = tp + fn + fp + tn, tp + fn, fp + tn
    labelled = np.maximum(tp + fp, 1) * np.maximum(fn + tn, 1)
    return {
        "accuracy": (tp + tn) / n,
        "sensitivity": tp / positives,
        "specificity": tn / negatives,
        "f1": np.where(positives > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
        "mcc": (tp * tn - fp * fn) / np.sqrt(positives * negatives * labelled),
        # |mean probability - observed fraction| x share of the cells, bin by bin.
        "ece": np.abs(sums[:, 8:]).sum(axis=1) / n,
        "brier": squared / n,
        "coverage": confident / n,
        "accuracy_when_confident": confident_right / confident,
        "rejected": rejected / n,
    }
