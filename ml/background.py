"""What a model counts as parasitized in healthy blood, measured on slides kept out of training.

Slides differ: dirt and stain give one slide three times the false positives of another. The share
is therefore a beta-binomial one (Skellam 1948): each slide has its own, drawn from a beta
distribution. Imports no arrays, so that a web process may compute with it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml.belt import log_chance

LEAST_SLIDES = 10
"""With fewer, too little is known of how slides differ. In simulation, with a spread of 0.8,
backgrounds from 10 or 15 slides of 1,000 cells called 1.0 to 1.1 % of healthy slides positive, from
30 such 0.6 %; with one of 0.5 all less than 0.7 %."""
USUAL_SPREAD = 1.5
"""The scale of what is expected before any slide was seen. In simulation, with a spread of 0.84,
backgrounds from 19 slides of 67 cells then called 0.6 % of healthy slides positive, with a scale of
1 they called 1.0 %."""
SPREADS = [step / 40 for step in range(1, 161)]


@dataclass(frozen=True)
class SlideCounts:
    """One slide read by the model, its truth known. `uncertain` are of the healthy cells."""

    healthy: int
    false_positives: int
    uncertain: int = 0
    infected: int = 0
    detected: int = 0
    """Of the infected cells: counted as parasitized, by the decision that counts them on slides."""

    def __post_init__(self) -> None:
        if min(self.healthy, self.false_positives, self.uncertain, self.detected) < 0:
            raise ValueError("A number of cells is negative.")
        if self.false_positives + self.uncertain > self.healthy:
            raise ValueError("More false positives and uncertain cells than healthy cells.")
        if self.detected > self.infected:
            raise ValueError("More infected cells detected than there are.")


@dataclass(frozen=True)
class Share:
    """A share of the healthy cells, and how it differs between slides."""

    mean: float
    spread: float
    """The standard deviation between slides, divided by the mean."""
    slides: int
    cells: int
    """How many it was measured on."""

    def __post_init__(self) -> None:
        if not 0 < self.mean < 1:
            raise ValueError(f"The mean share must lie between 0 and 1, not be {self.mean}.")
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"The spread must be 0 or more, not {self.spread}.")
        if self.slides < LEAST_SLIDES or self.cells < self.slides:
            raise ValueError(
                f"A share needs {LEAST_SLIDES} slides with cells; "
                f"it was measured on {self.slides} slides with {self.cells} cells."
            )
        if self.variance >= self.mean * (1 - self.mean):
            raise ValueError(f"A share of {self.mean} cannot spread by {self.spread}.")

    @property
    def variance(self) -> float:
        """Of the next slide's share about a mean and a spread that were measured on few.

        That of Student's t, which the next of J alike normal values follows, with J - 1 degrees
        of freedom (Geisser 1993, "Predictive Inference").
        """
        between = (self.spread * self.mean) ** 2
        few = (self.slides - 1) / (self.slides - 3)
        within = self.mean * (1 - self.mean) / self.cells
        return between * few * (1 + 1 / self.slides) + within

    def after(self, found: int, cells: float) -> tuple[float, float]:
        """Mean and variance of this slide's share, once `found` of `cells` are known: by Bayes.

        The beta distribution is conjugate, so what is found and what is not is added to it.
        """
        total = self.mean * (1 - self.mean) / self.variance - 1
        mean = (self.mean * total + found) / (total + cells)
        return mean, mean * (1 - mean) / (total + cells + 1)


@dataclass(frozen=True)
class Background:
    """What a model does to healthy and to infected cells, for the manifest and for counting."""

    false_positives: Share
    sensitivity: float
    infected: int
    """How many infected cells the sensitivity was measured on."""
    uncertain: Share | None = None
    """None where it was not measured: then every uncertain cell must be looked at."""

    def __post_init__(self) -> None:
        if not self.false_positives.mean < self.sensitivity <= 1:
            raise ValueError(
                f"A sensitivity of {self.sensitivity} is not above the share of healthy cells that "
                f"are counted as parasitized ({self.false_positives.mean}), or above 1."
            )
        if self.infected < 1:
            raise ValueError("The sensitivity was measured on no infected cell.")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Background":
        """Raises ValueError where the values are no background."""
        try:
            given = dict(values)
            uncertain = given.pop("uncertain")
            given["false_positives"] = Share(**given["false_positives"])
            return cls(**given, uncertain=Share(**uncertain) if uncertain else None)
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is no background of a model: {error}.") from None


def measure_background(slides: Sequence[SlideCounts]) -> Background:
    """Of slides kept out of training; those without healthy cells say only how much is detected."""
    infected = sum(slide.infected for slide in slides)
    if not infected:
        raise ValueError("A sensitivity needs infected cells; there are none.")
    detected = sum(slide.detected for slide in slides)
    healthy = [slide.healthy for slide in slides]
    return Background(
        false_positives=measure_share([slide.false_positives for slide in slides], healthy),
        sensitivity=detected / infected,
        infected=infected,
        uncertain=measure_share([slide.uncertain for slide in slides], healthy),
    )


def measure_share(counts: Sequence[int], cells: Sequence[int]) -> Share:
    """The beta-binomial of counts among the cells of each slide.

    To the mean the half count of Jeffreys' prior is added, for no false positive among few cells
    does not mean that there are never any.
    """
    pairs = [(x, n) for x, n in zip(counts, cells, strict=True) if n]
    total = sum(n for _, n in pairs)
    mean = (sum(x for x, _ in pairs) + 0.5) / (total + 1)
    return Share(mean, _spread(pairs, mean), len(pairs), total)


def _spread(pairs: Sequence[tuple[int, int]], mean: float) -> float:
    """The root mean square of what it may be, by Bayes, under a half-normal prior (Gelman 2006).

    The one value that explains the counts best is often 0 where they are few, and to count on
    slides that are all alike is to call healthy ones positive.
    """
    logs = {}
    for spread in SPREADS:
        total = (1 - mean) / (mean * spread**2) - 1
        if total > 0:
            alpha, beta = mean * total, (1 - mean) * total
            known = sum(log_chance(x, n, alpha, beta) for x, n in pairs)
            logs[spread] = known - (spread / USUAL_SPREAD) ** 2 / 2
    most = max(logs.values())
    weights = {spread: math.exp(log - most) for spread, log in logs.items()}
    squares = sum(weight * spread**2 for spread, weight in weights.items())
    return math.sqrt(squares / sum(weights.values()))
