"""Is this a stained red cell at all? Told from what the network's first layers saw.

Two views of the same features: how far they lie from those of red cells, which finds what nobody
thought of, and a small classifier that knows pictures of other things by kind, which finds what
lies close. Needs only numpy until something is fitted, so that a worker stays small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CELL = "cell"
REASONS = {
    "blurred": "Too blurred to read: focus, and photograph it again.",
    "many": "It shows many cells: send a crop of one red cell.",
    "part": "It shows no whole red cell.",
    "drawn": "This is not a photograph of a stained red cell.",
    "other": "This looks like a white cell, a platelet or an empty place, not like a red cell.",
}
"""For each kind of picture that is no red cell, what a person is told."""
UNKNOWN = "This does not look like any red cell the model was trained on."
HIDDEN = 32
LOST = 0.004
"""Of the held-out red cells of each laboratory, at most this share is rejected by each view."""
FAR = 8.0


@dataclass(frozen=True)
class Rejector:
    """Arrays of features (d), hidden units (h) and kinds (k), of which the first is the cell."""

    mean: np.ndarray
    scale: np.ndarray
    precision: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray
    kinds: np.ndarray
    limits: np.ndarray
    """Of the distance, and of the classifier's log odds against a cell."""

    @classmethod
    def load(cls, path: Path) -> "Rejector":
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def save(self, path: Path) -> None:
        np.savez(path, **vars(self))

    def reasons(self, features: np.ndarray) -> list[str]:
        """For each image (n, d) the sentence why it is rejected, or an empty one."""
        distance, odds, kind = self.views(features)
        far, other = distance > self.limits[0], odds > self.limits[1]
        names = self.kinds[1:][kind]
        return [
            REASONS[str(name)] if is_other else UNKNOWN if is_far else ""
            for name, is_far, is_other in zip(names, far, other, strict=True)
        ]

    def views(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n, d) → distance from red cells, log odds against a red cell, likeliest other kind.

        The squared Mahalanobis distance: Lee et al. 2018.
        """
        away = (features.astype(np.float64) - self.mean) / self.scale
        distance = np.einsum("ij,jk,ik->i", away, self.precision, away)
        active = np.maximum(np.clip(away, -FAR, FAR) @ self.hidden + self.hidden_bias, 0)
        scores = active @ self.output + self.output_bias
        rest = np.logaddexp.reduce(scores[:, 1:], axis=1)
        return distance, rest - scores[:, 0], scores[:, 1:].argmax(axis=1)


def fit(
    cells: np.ndarray, others: Mapping[str, np.ndarray], held_out: list[np.ndarray], seed: int = 0
) -> Rejector:
    """From features of red cells (n, d), of two or more kinds of other pictures, and of red cells
    held out.

    The limits are set so that of each held-out group at most `LOST` is rejected by each view.
    """
    from sklearn.covariance import LedoitWolf
    from sklearn.neural_network import MLPClassifier

    mean, scale = cells.mean(axis=0), cells.std(axis=0) + 1e-6
    kinds = [CELL, *sorted(others)]
    parts = [cells, *(others[kind] for kind in kinds[1:])]
    kind = np.repeat(np.arange(len(kinds)), [len(part) for part in parts])
    away = (np.concatenate(parts).astype(np.float64) - mean) / scale
    network = MLPClassifier((HIDDEN,), alpha=1.0, max_iter=60, random_state=seed)
    _quietly(network.fit, np.clip(away, -FAR, FAR), kind)
    draft = Rejector(
        mean=mean,
        scale=scale,
        precision=LedoitWolf().fit(away[kind == 0]).precision_,
        hidden=network.coefs_[0],
        hidden_bias=network.intercepts_[0],
        output=network.coefs_[1],
        output_bias=network.intercepts_[1],
        kinds=np.array(kinds),
        limits=np.zeros(2),
    )
    views = [draft.views(group)[:2] for group in held_out if len(group)]
    limits = np.max([np.quantile(pair, 1 - LOST, axis=1) for pair in views], axis=0)
    return Rejector(**vars(draft) | {"limits": limits})


def _quietly(fit: Any, *data: np.ndarray) -> None:
    """It is stopped before it converges, on purpose: that keeps it smooth."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(*data)
