"""From a probability to a decision. Imports nothing, so a web process may read it too."""

from dataclasses import dataclass

PARASITIZED = "parasitized"
UNINFECTED = "uninfected"
UNCERTAIN = "uncertain"
REJECTED = "rejected"
LABEL_THRESHOLD = 0.5


@dataclass(frozen=True)
class Thresholds:
    """The band of probabilities, low <= p < high, in which a person must look.

    The band holds 0.5 (an empty one is 0.5, 0.5), so a confident decision never contradicts
    the label.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= LABEL_THRESHOLD <= self.high <= 1:
            raise ValueError(
                f"Thresholds need 0 <= low <= 0.5 <= high <= 1, not {self.low} and {self.high}."
            )


def label(probability: float) -> str:
    return PARASITIZED if probability >= LABEL_THRESHOLD else UNINFECTED


def decide(probability: float, thresholds: Thresholds) -> str:
    """A probability that is not a number is uncertain: every comparison with it is false."""
    if probability >= thresholds.high:
        return PARASITIZED
    if probability < thresholds.low:
        return UNINFECTED
    return UNCERTAIN
