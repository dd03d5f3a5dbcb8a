"""Control charts of shares: which week differs from what a baseline period explains?

Shewhart's p-chart (W. A. Shewhart, Economic Control of Quality of Manufactured Product, 1931;
NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.3.2): a week is out of control where its share
lies more than three standard errors above the baseline's mean. Images come slide by slide and vary
more than coins do, so the standard error is multiplied by Laney's factor, the variation that the
baseline's weeks themselves show (D. B. Laney, Improved Control Charts for Attributes, Quality
Engineering 14, 2002, 531-537); it widens the limits and never narrows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

SIGMAS = 3
BASELINE = 8
"""Weeks. More would be steadier, but a laboratory would wait long for its first limit."""
LEAST = 30
"""Of a week with fewer images nothing is said: a share of few is chance."""
FEW = 4
"""So many images are never out of control: the normal distribution fails for rare events."""
MOVING_RANGE = 1.128
"""Expected range of two standard normal values."""


@dataclass(frozen=True)
class Sample:
    """Of `total` images, `count` were so."""

    count: int
    total: int

    @property
    def share(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def is_enough(self) -> bool:
        return self.total >= LEAST


@dataclass(frozen=True)
class Limit:
    mean: float
    factor: float
    """Laney's: how much more the weeks vary than chance alone would have it."""

    def upper(self, total: int) -> float:
        """The share above which a week of so many images is out of control."""
        sigma = self.factor * _error(self.mean, total)
        return min(1.0, max(self.mean + SIGMAS * sigma, FEW / total))

    def is_exceeded(self, sample: Sample) -> bool:
        return sample.is_enough and sample.count > self.upper(sample.total) * sample.total


def limit(weeks: Sequence[Sample]) -> Limit | None:
    """From the first BASELINE weeks with enough images; nothing while there are fewer."""
    first = [week for week in weeks if week.is_enough][:BASELINE]
    if len(first) < BASELINE:
        return None
    # Half an image more: a baseline without any does not make the first one an alarm.
    mean = (sum(week.count for week in first) + 0.5) / (sum(week.total for week in first) + 1)
    scores = [(week.count / week.total - mean) / _error(mean, week.total) for week in first]
    ranges = [abs(later - earlier) for earlier, later in pairwise(scores)]
    return Limit(mean, max(1.0, sum(ranges) / len(ranges) / MOVING_RANGE))


def _error(mean: float, total: int) -> float:
    return sqrt(mean * (1 - mean) / total)
