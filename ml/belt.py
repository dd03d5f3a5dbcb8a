"""How many cells are counted as parasitized when a share is infected, and the way back.

A cell is infected with the share q and then counted with the chance s, or healthy and then
counted with the slide's own share f (Rogan & Gladen 1978): each with p = q s + (1 - q) f. As f
follows a beta distribution, so does p nearly (the one of the same mean and variance is taken), and
the count is beta-binomial (Skellam 1948): the background that varies is integrated out.

The 95 % interval holds the shares of which the count is not among the 5 % most unlikely. What is
unlikely is ordered by the ratio of the chance to that under the share which explains the count
best (Feldman & Cousins 1998), so that an interval goes over by itself from an upper limit to two
sides. Counts are whole: whether the last one belongs to the 95 % is decided by half its chance
(the mid-P of Lancaster 1961), which makes coverage as nearly 95 % as whole numbers allow, not at
least 95 %: 93 to 97 %, but up to 98 % where about three cells or fewer are counted.

In one thing the ordering differs: Feldman and Cousins would take few counts amid a high background
as proof of few parasites. Here no upper limit lies below that of n cells without one parasite
(0.05 = (1 - q s)^n; for 1,000 cells 0.30 % / s), and below it the test is one-sided.
"""

import math
from functools import cache

LEVEL = 0.95
LEAST = 0.93
"""Where whole numbers allow no coverage near 95 %, rather more than less than this."""
SMALL = 1e-6
"""Chances below this part of the one at the mean are left out."""
HALVINGS = 12
SURE = 1e9
"""Alpha + beta of a beta distribution that stands for a share that does not vary."""


class Belt:
    """Counts among `cells`, of which infected ones are counted with the chance `sensitivity`."""

    def __init__(
        self, cells: int, mean: float, variance: float = 0.0, sensitivity: float = 1.0
    ) -> None:
        """mean, variance: of the share of healthy cells that is counted."""
        self.cells, self.background, self.sensitivity = cells, mean, sensitivity
        self._variance = variance
        self._limit = (1 - (1 - LEVEL) ** (1 / cells)) / sensitivity
        self._best = cache(self._chance_at_best)

    def estimate(self, count: int) -> float:
        """Rogan & Gladen 1978, kept between 0 and 1."""
        excess = count / self.cells - self.background
        return min(1.0, max(0.0, excess / (self.sensitivity - self.background)))

    def interval(self, count: int) -> tuple[float, float]:
        return self._edge(count, -1), self._edge(count, +1)

    def at_least(self, count: int) -> float:
        """The chance of so many or more on a slide without parasites."""
        return sum(chance for k, chance in self.chances(0.0).items() if k >= count)

    def chances(self, share: float) -> dict[int, float]:
        """Of each count that is not next to impossible."""
        alpha, beta = self._beta(share)
        return beta_binomial(self.cells, alpha, beta)

    def _beta(self, share: float) -> tuple[float, float]:
        mean = share * self.sensitivity + (1 - share) * self.background
        variance = (1 - share) ** 2 * self._variance
        total = mean * (1 - mean) / variance - 1 if variance else SURE
        return mean * min(total, SURE), (1 - mean) * min(total, SURE)

    def _edge(self, count: int, direction: int) -> float:
        """From the estimate outwards: in growing steps, then by halving the last of them."""
        inside = self.estimate(count)
        step = (1 + math.sqrt(count)) / (self.cells * self.sensitivity)
        end = 0.0 if direction < 0 else 1.0
        outside = inside
        while self._holds(count, outside):
            if outside == end:
                return end
            inside, step = outside, step * 1.5
            outside = min(1.0, max(0.0, outside + direction * step))
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            if self._holds(count, middle):
                inside = middle
            else:
                outside = middle
        return outside

    def _holds(self, count: int, share: float) -> bool:
        """Whether the interval of this count holds the share."""
        if self._is_too_few(count, share):
            return True
        chances = self.chances(share)
        if count not in chances:
            return False
        own = self._ratio(count, chances[count], share)
        before = sum(p for k, p in chances.items() if self._ratio(k, p, share) > own)
        return before + chances[count] / 2 <= LEVEL or before < LEAST

    def _ratio(self, count: int, chance: float, share: float) -> float:
        return math.inf if self._is_too_few(count, share) else chance / self._best(count)

    def _is_too_few(self, count: int, share: float) -> bool:
        """Too few to speak against so small a share."""
        return share <= self._limit and self.estimate(count) < share

    def _chance_at_best(self, count: int) -> float:
        return math.exp(log_chance(count, self.cells, *self._beta(self.estimate(count))))


def log_chance(count: int, cells: int, alpha: float, beta: float) -> float:
    """Of a count that is beta-binomial (Skellam 1948)."""
    if alpha <= 0 or beta <= 0:
        return 0.0 if count == (cells if beta <= 0 else 0) else -math.inf
    ways = math.lgamma(cells + 1) - math.lgamma(count + 1) - math.lgamma(cells - count + 1)
    return ways + _log_beta(alpha + count, beta + cells - count) - _log_beta(alpha, beta)


def beta_binomial(cells: int, alpha: float, beta: float) -> dict[int, float]:
    """The chances from the mean outwards, each from its neighbour's."""
    mean = round(cells * alpha / (alpha + beta))
    if alpha <= 0 or beta <= 0:
        return {mean: 1.0}
    chances = {mean: math.exp(log_chance(mean, cells, alpha, beta))}
    least = chances[mean] * SMALL
    for k in range(mean, cells):
        odds = (cells - k) * (alpha + k) / ((k + 1) * (beta + cells - k - 1))
        chances[k + 1] = chances[k] * odds
        if chances[k + 1] < least:
            break
    for k in range(mean, 0, -1):
        odds = k * (beta + cells - k) / ((cells - k + 1) * (alpha + k - 1))
        chances[k - 1] = chances[k] * odds
        if chances[k - 1] < least:
            break
    return chances


def _log_beta(alpha: float, beta: float) -> float:
    return math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)
