"""Slides as a model with a known background would count them."""

import numpy as np

from ml.background import Background, Share

MANY = 10**9
"""Slides and cells enough that the background is known exactly."""


def known_share(mean: float, spread: float) -> Share:
    return Share(mean, spread, slides=MANY, cells=MANY * 1000)


def known_background(mean: float, spread: float, sensitivity: float = 0.9) -> Background:
    return Background(known_share(mean, spread), sensitivity, MANY, known_share(0.01, 0.5))


def slide_shares(mean: float, spread: float, size: int, random: np.random.Generator) -> np.ndarray:
    """The false-positive share of each slide: beta distributed, with that standard deviation."""
    if not spread:
        return np.full(size, mean)
    total = mean * (1 - mean) / (spread * mean) ** 2 - 1
    return random.beta(mean * total, (1 - mean) * total, size)


def counted(
    truth: float, shares: np.ndarray, sensitivity: float, random: np.random.Generator
) -> np.ndarray:
    """Of 1,000 cells on each slide: (true positives, false positives), each (slides,)."""
    infected = random.binomial(1000, truth, len(shares))
    return np.stack(
        (random.binomial(infected, sensitivity), random.binomial(1000 - infected, shares))
    )
