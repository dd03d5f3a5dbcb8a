"""How well the machine and people agree on cells, beyond what chance would give.

Cohen's kappa (J. Cohen, A coefficient of agreement for nominal scales, Educational and
Psychological Measurement 20, 1960, 37-46). Cells of one slide resemble each other, so the interval
takes slides for the units that were drawn: kappa is linearised and what it gives is added up by
slide, which for slides of one cell each is the error of Fleiss, Cohen and Everitt (Psychological
Bulletin 72, 1969, 323-327).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

NORMAL = 1.96
LEAST_CELLS = 50
LEAST_SLIDES = 10
"""With fewer, an interval says more than is known."""


class Pairs(NamedTuple):
    """Cells by what the machine and people called them."""

    both_parasitized: int = 0
    machine_only: int = 0
    """Called parasitized by the machine alone."""
    people_only: int = 0
    both_uninfected: int = 0


@dataclass(frozen=True)
class Kappa:
    value: float
    low: float
    high: float


def total(slides: Mapping[Pairs, int]) -> Pairs:
    """`slides`: how many slides there are of each kind of pairs."""
    columns = zip(*([n * count for n in pairs] for pairs, count in slides.items()), strict=True)
    return Pairs(*(sum(column) for column in columns)) if slides else Pairs()


def is_enough(slides: Mapping[Pairs, int]) -> bool:
    """Both have used both words, often enough, on enough slides."""
    both, machine, people, neither = total(slides)
    used = min(both + machine, people + neither, both + people, machine + neither)
    cells = both + machine + people + neither
    return used > 0 and cells >= LEAST_CELLS and sum(slides.values()) >= LEAST_SLIDES


def kappa(slides: Mapping[Pairs, int]) -> Kappa | None:
    """With its 95 % interval; nothing where it `is_enough` for none."""
    if not is_enough(slides):
        return None
    pairs = total(slides)
    cells = sum(pairs)
    machine = (pairs.both_parasitized + pairs.machine_only) / cells
    people = (pairs.both_parasitized + pairs.people_only) / cells
    agreed = (pairs.both_parasitized + pairs.both_uninfected) / cells
    by_chance = machine * people + (1 - machine) * (1 - people)
    value = 1 - (1 - agreed) / (1 - by_chance)

    def influence(said: int, heard: int) -> float:
        """Of one cell on kappa."""
        of_chance = (said - machine) * (2 * people - 1) + (heard - people) * (2 * machine - 1)
        return ((said == heard) - agreed - (1 - value) * of_chance) / (1 - by_chance)

    weights = (influence(1, 1), influence(1, 0), influence(0, 1), influence(0, 0))
    return _with_interval(value, weights, slides, cells)


def _with_interval(
    value: float, weights: tuple[float, ...], slides: Mapping[Pairs, int], cells: int
) -> Kappa:
    number = sum(slides.values())
    squares = sum(
        count * sum(w * n for w, n in zip(weights, pairs, strict=True)) ** 2
        for pairs, count in slides.items()
    )
    reach = NORMAL * sqrt(number / (number - 1) * squares) / cells
    return Kappa(value, max(-1.0, value - reach), min(1.0, value + reach))
