"""From counted cells to the slide's parasitaemia, with its interval, and the slide's verdict.

A model counts some healthy cells as parasitized, so a raw count is no parasitaemia: what the
model's background explains is subtracted (Rogan & Gladen 1978), and the 95 % interval holds the
background's variation between slides (see `ml.belt`). The parasitaemia meant is the patient's, of
whose blood the cells are a sample.

**Reviewed cells.** A person's label replaces the machine's. Of the cells that the machine counted,
those a person has looked at have no background any more: if a part r of them is reviewed, 1 - r of
the background is left, and the refuted ones say how high it is on this slide (by Bayes). Infected
cells that only a person found raise the share detected, for they are among those which the machine
is known to miss. What people confirmed is the least that is reported.

**The verdict**, for one minute of a clinician's time:

1. `positive` if a person confirmed one parasitized cell; or if the machine counted so many as fewer
   than 1 of 200 healthy slides show (half of the 1 % of false positive slides that are allowed: the
   background is itself measured). While a person has looked at some of those and refuted all, the
   rest count by Laplace's rule of succession, 1 / (refuted + 1) of them.
2. `uncertain` ("look at these cells") with fewer than 500 cells; or if a cell that the machine
   counted as parasitized has not been looked at: no count tells the one parasite of a slide from
   one false positive, and a glance does; or if more cells are uncertain than 19 of 20 healthy
   slides show.
3. `negative` (in N cells) otherwise. A few uncertain cells do not stand against it: every healthy
   slide has some, and of the parasites the machine counts the share `sensitivity` without them, for
   which the interval's upper limit allows. So a slide with one infected cell that nobody has looked
   at is negative only where the machine missed that cell and counted no other.

Imports no arrays, so that a web process may compute with it.
"""

from dataclasses import dataclass
from typing import Literal

from ml.background import Background
from ml.belt import Belt

Verdict = Literal["positive", "negative", "uncertain"]
POSITIVE: Verdict = "positive"
NEGATIVE: Verdict = "negative"
UNCERTAIN: Verdict = "uncertain"

LEAST_CELLS = 500
"""A parasite count needs 500 to 2,000 red cells."""
BASIS = 5_000_000
"""Red cells per µL that are assumed where none were measured."""
POSSIBLE_BASIS = (100_000, 10_000_000)
"""Not what is normal: what is outside was given in another unit (4.5 million as 4.5)."""
FALSE_POSITIVE_SLIDES = 0.005
EXPLAINED = 0.05


@dataclass(frozen=True)
class Counts:
    """The red cells that count on a slide: not cut by an edge, not rejected."""

    cells: int
    """All of them, whoever judged them."""
    positives: int
    """Counted as parasitized by the machine, not reviewed."""
    uncertain: int = 0
    """Left to a person by the machine, not reviewed."""
    confirmed: int = 0
    """Counted by the machine, and a person says parasitized."""
    refuted: int = 0
    """Counted by the machine, and a person says uninfected."""
    found: int = 0
    """Not counted by the machine (or not seen at all), and a person says parasitized."""

    def __post_init__(self) -> None:
        parts = (self.positives, self.uncertain, self.confirmed, self.refuted, self.found)
        if min(self.cells, *parts) < 0:
            raise ValueError("A number of cells is negative.")
        if sum(parts) > self.cells:
            raise ValueError(f"The parts are {sum(parts)} cells, the whole is {self.cells}.")

    @property
    def parasitized(self) -> int:
        """As counted, background and all: never to be shown as a parasitaemia."""
        return self.positives + self.seen

    @property
    def to_look_at(self) -> int:
        """Counted by the machine or left to a person, and nobody has looked at them."""
        return self.positives + self.uncertain

    @property
    def seen(self) -> int:
        """Parasitized cells that a person has seen."""
        return self.confirmed + self.found

    @property
    def unreviewed_share(self) -> float:
        """Of the cells that the machine counted: 1 where it counted none."""
        counted = self.positives + self.confirmed + self.refuted
        return self.positives / counted if counted else 1.0


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Parasitaemia:
    """What a slide's cells say."""

    cells: int
    parasitized: int
    """As counted: never to be shown as a parasitaemia."""
    expected_false: float
    """How many of them the background explains."""
    percent: Estimate
    per_microlitre: Estimate
    basis: int
    """Red cells per µL."""
    verdict: Verdict
    to_look_at: int
    """As in Counts."""
    cells_needed: int


def parasitaemia(counts: Counts, background: Background, basis: int = BASIS) -> Parasitaemia:
    """Raises ValueError, in words, where no cell was counted or the basis is impossible."""
    if not counts.cells:
        raise ValueError("No red cell was counted, so there is no parasitaemia.")
    check_basis(basis)
    share = infected_share(counts, background)
    return Parasitaemia(
        cells=counts.cells,
        parasitized=counts.parasitized,
        expected_false=min(counts.positives, counts.cells * _left(counts, background)[0]),
        percent=share.times(100),
        per_microlitre=share.times(basis),
        basis=basis,
        verdict=verdict(counts, background),
        to_look_at=counts.to_look_at,
        cells_needed=cells_needed(counts.cells),
    )


def cells_needed(cells: int) -> int:
    """How many more must be counted before a slide can be called negative."""
    return max(0, LEAST_CELLS - cells)


def check_basis(basis: int) -> None:
    lowest, highest = POSSIBLE_BASIS
    if not lowest <= basis <= highest:
        raise ValueError(
            f"{basis:,} red cells per µL are not possible: give the number in one microlitre, "
            f"for example {BASIS:,}."
        )


def infected_share(counts: Counts, background: Background) -> Estimate:
    """The share of infected red cells, between 0 and 1."""
    mean, variance = _left(counts, background)
    belt = Belt(counts.cells, mean, variance, _detected(counts, background.sensitivity, mean))
    value, (low, high) = belt.estimate(counts.parasitized), belt.interval(counts.parasitized)
    seen = Belt(counts.cells, 0.0)
    at_least = seen.estimate(counts.seen), *seen.interval(counts.seen)
    return Estimate(max(value, at_least[0]), max(low, at_least[1]), max(high, at_least[2]))


def verdict(counts: Counts, background: Background) -> Verdict:
    """By the rule above."""
    if counts.seen or _is_above_background(counts, background):
        return POSITIVE
    if cells_needed(counts.cells) or counts.positives or _has_many_uncertain(counts, background):
        return UNCERTAIN
    return NEGATIVE


def _left(counts: Counts, background: Background) -> tuple[float, float]:
    """Mean and variance of the share of cells that are false positives nobody has refuted."""
    left = counts.unreviewed_share
    share = background.false_positives
    mean, variance = share.after(counts.refuted, counts.cells * (1 - left))
    return left * mean, left**2 * variance


def _detected(counts: Counts, sensitivity: float, background: float) -> float:
    """The share of infected cells that was counted, by the machine or by the person who found more.

    The machine's true positives t are the share `sensitivity` of all, so that with f found ones
    sensitivity (t + f) / t are counted; all of them, if that is more.
    """
    true = counts.confirmed + max(0.0, counts.positives - counts.cells * background)
    if not counts.found:
        return sensitivity
    return min(1.0, sensitivity * (true + counts.found) / true) if true else 1.0


def _is_above_background(counts: Counts, background: Background) -> bool:
    believed = counts.positives // (counts.refuted + 1)
    if not believed:
        return False
    belt = Belt(counts.cells, *_left(counts, background), background.sensitivity)
    return belt.at_least(believed) <= FALSE_POSITIVE_SLIDES


def _has_many_uncertain(counts: Counts, background: Background) -> bool:
    share = background.uncertain
    if share is None or not counts.uncertain:
        return counts.uncertain > 0
    belt = Belt(counts.cells, share.mean, share.variance)
    return belt.at_least(counts.uncertain) <= EXPLAINED
