"""Fitted on validation cells: the temperature of the probabilities and the uncertain band.

Needs only numpy until something is fitted, so that a worker stays small.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.decisions import LABEL_THRESHOLD, Thresholds, decide

__all__ = ["Thresholds", "decide", "fit_temperature", "fit_thresholds", "sigmoid"]

TEMPERATURE_RANGE = (0.05, 20.0)


def sigmoid(logit: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow at either end."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logit, dtype=np.float64)))


def fit_temperature(logit: ArrayLike, truth: ArrayLike) -> float:
    """The T that minimises the negative log likelihood of sigmoid(logit / T).

    Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks". The
    likelihood has one optimum in T; it is sought between 0.05 and 20, and where no error
    bounds the confidence (or nothing was learned) the end of that range is returned.

    logit: n differences parasitized minus uninfected; truth: n of 0 and 1.
    Raises ValueError when a class is missing or a logit is not finite.
    """
    from scipy.optimize import minimize_scalar

    logits, positive = _checked(logit, truth)
    if positive.all() or not positive.any():
        raise ValueError("A temperature needs cells of both classes; one class is missing.")
    margin = np.where(positive, logits, -logits)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -margin * np.exp(-log_temperature)).mean())

    bounds = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=tuple(bounds), method="bounded", options={"xatol": 1e-7})
    candidates = [*bounds, float(found.x)]
    return float(np.exp(min(candidates, key=loss)))


def fit_thresholds(
    probability: ArrayLike, truth: ArrayLike, accuracy: float = 0.99, coverage: float = 0.90
) -> Thresholds:
    """The narrowest uncertain band around 0.5 that leaves `accuracy` on the cells outside it.

    At most 1 - `coverage` of the cells may be uncertain. Where no such band reaches the
    accuracy, the band with the best accuracy within that coverage is returned. Of bands that do
    equally well the one that leaves fewer errors, then the more even one, then the lower one is
    taken, so the result depends on nothing but the cells. Neither side of 0.5 is given up whole.
    The promise holds on the cells given here: ask for a margin where it must hold elsewhere.

    Selective classification: El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017.
    Raises ValueError for no cells, probabilities outside 0..1 and goals outside 0..1.
    """
    probabilities, positive = _checked(probability, truth)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError("Probabilities must lie between 0 and 1.")
    if not (0 <= accuracy <= 1 and 0 <= coverage <= 1):
        raise ValueError("Accuracy and coverage must lie between 0 and 1.")

    above = probabilities >= LABEL_THRESHOLD
    budget = int(np.floor((1 - coverage) * len(probabilities) + 1e-9))
    low = _Side.outwards(probabilities[~above], positive[~above], budget, descending=True)
    high = _Side.outwards(probabilities[above], ~positive[above], budget, descending=False)
    return min(_bands(low, high, budget, accuracy))[-1]


@dataclass(frozen=True)
class _Side:
    """The cells on one side of 0.5 and the cuts that set aside those nearest to it."""

    size: int
    errors: int
    set_aside: NDArray[np.int64]  # cells given up at each cut, ascending from 0
    caught: NDArray[np.int64]  # errors among them
    edge: NDArray[np.float64]  # the threshold of each cut

    @classmethod
    def outwards(
        cls,
        probability: NDArray[np.float64],
        wrong: NDArray[np.bool_],
        budget: int,
        descending: bool,
    ) -> "_Side":
        order = np.argsort(-probability if descending else probability, kind="stable")
        values = probability[order]
        # Equal probabilities cannot be parted, and the last group stays.
        cuts = np.flatnonzero(np.diff(values)) + 1
        cuts = cuts[cuts <= budget]
        edges = values[cuts - 1] if descending else values[cuts]
        caught = np.cumsum(wrong[order])[cuts - 1]
        return cls(
            size=len(values),
            errors=int(wrong.sum()),
            set_aside=np.concatenate(([0], cuts)),
            caught=np.concatenate(([0], caught)),
            edge=np.concatenate(([LABEL_THRESHOLD], edges)),
        )


def _bands(
    low: _Side, high: _Side, budget: int, accuracy: float
) -> Iterator[tuple[bool, float, float, int, int, Thresholds]]:
    """For each cut below 0.5 the best one above it: a key that sorts, and the band."""
    errors, size = low.errors + high.errors, low.size + high.size
    for below, caught, edge in zip(low.set_aside, low.caught, low.edge, strict=True):
        allowed = np.searchsorted(high.set_aside, budget - below, side="right")
        given_up = below + high.set_aside[:allowed]
        left = errors - caught - high.caught[:allowed]
        rate = left / (size - given_up)
        kept_promise = rate <= 1 - accuracy + 1e-12
        best = int(np.argmax(kept_promise) if kept_promise.any() else np.argmin(rate))
        cost = (float(given_up[best]), float(rate[best]))
        reached = bool(kept_promise[best])
        uneven = abs(int(below - high.set_aside[best]))
        band = Thresholds(float(edge), float(high.edge[best]))
        yield (not reached, *(cost if reached else cost[::-1]), uneven, -int(below), band)


def _checked(score: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, labels = np.asarray(score, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 1 or scores.shape != labels.shape or not scores.size:
        raise ValueError("Scores and truth must be two lists of one length, not empty.")
    if not np.isfinite(scores).all():
        raise ValueError("A score is not a finite number.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("Truth must be 0 (uninfected) or 1 (parasitized).")
    return scores, labels.astype(bool)
