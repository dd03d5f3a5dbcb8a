"""How well found cells agree with boxed ones: matches, F1, counts, free-response points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.fields import FoundCell, overlaps

SAME = 0.5
"""Intersection over union from which a found box is the boxed cell (Everingham et al. 2010)."""


@dataclass(frozen=True)
class Truth:
    """The boxed cells of one field."""

    boxes: np.ndarray
    """Corners (n, 4)."""
    red: np.ndarray
    """(n,) whether it is a red cell; others are neither asked for nor held against the finder."""
    parasitized: np.ndarray
    size: tuple[int, int]
    """Height and width of the field."""

    def whole(self, margin: float) -> np.ndarray:
        """(n,) red cells that end farther than `margin` pixels from the edge."""
        height, width = self.size
        limits = np.array([width, height, width, height])
        away = np.minimum(self.boxes, limits - self.boxes).min(axis=1)
        return np.asarray(self.red & (away > margin))


@dataclass(frozen=True)
class Match:
    """One field: which found cell is which boxed one, and what is left on either side."""

    pairs: tuple[tuple[int, int], ...]
    """(found, boxed)."""
    missed: int
    invented: int
    boxed: int
    counted: int
    parasitized: int = 0
    """Of the boxed ones."""
    parasitized_found: int = 0


def match(found: Sequence[FoundCell], truth: Truth, margin: float = 0.0) -> Match:
    """The surest cells choose first. Cells at the edge, on either side, are left out."""
    asked = truth.whole(margin)
    corners = np.array([cell.box for cell in found], float).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    shared = overlaps(corners, truth.boxes)
    free = np.ones(len(truth.boxes), bool)
    pairs, invented = [], 0
    for index in sorted(range(len(found)), key=lambda i: -found[i].score):
        fits = np.where(free, shared[index], 0.0)
        best = int(fits.argmax()) if len(fits) else -1
        if best >= 0 and fits[best] >= SAME:
            free[best] = False
            if asked[best]:
                pairs.append((index, best))
        elif not found[index].edge and not (shared[index][~truth.red] >= SAME).any():
            invented += 1
    infected = asked & truth.parasitized
    return Match(
        tuple(pairs),
        missed=int((asked & free).sum()),
        invented=invented,
        boxed=int(asked.sum()),
        counted=sum(not cell.edge for cell in found),
        parasitized=int(infected.sum()),
        parasitized_found=int((infected & ~free).sum()),
    )


def figures(matches: Sequence[Match]) -> dict[str, float]:
    """Recall, precision and F1 over all fields; relative errors of the counts; of parasitized cells
    the share found, where there are any."""
    right = sum(len(m.pairs) for m in matches)
    missed, invented = sum(m.missed for m in matches), sum(m.invented for m in matches)
    infected = sum(m.parasitized for m in matches)
    errors = np.array([(m.counted - m.boxed) / max(1, m.boxed) for m in matches])
    found = {
        "fields": len(matches),
        "cells": right + missed,
        "recall": right / max(1, right + missed),
        "precision": right / max(1, right + invented),
        "f1": 2 * right / max(1, 2 * right + missed + invented),
        "count_error_median": float(np.median(np.abs(errors))),
        "count_error_95": float(np.percentile(np.abs(errors), 95)),
        "count_bias": float(np.mean(errors)),
    }
    if infected:
        found["parasitized_found"] = sum(m.parasitized_found for m in matches) / infected
    return found
