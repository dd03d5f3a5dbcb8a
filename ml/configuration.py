"""All that decides a training run, and the only home of its defaults."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ml.augmentation import Augmentation
from ml.datasets import CLASSES
from ml.images import CELL_COLOUR, IMAGENET_MEAN, IMAGENET_STD

PEAK_FROM_RANDOM, PEAK_FINE_TUNING = 0.05, 0.01
PRECISIONS = ("auto", "bf16", "fp32")
LIMITS = {
    "epochs": (0, 10_000),
    "image_size": (32, 1024),
    "batch_size": (2, 4096),
    "learning_rate": (1e-9, 100),
    "validation_share": (0.01, 0.9),
    "others": (len(CLASSES), 10**7),  # both classes alike
    "mixup": (0, 100),
    "seed": (0, 2**32 - 1),
}


class TrainingError(RuntimeError):
    """Training that cannot go on; its text says why and what to do."""


def require_limits(config: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """TrainingError for the first value of a configuration that is none of those allowed."""
    for name, (least, most) in limits.items():
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            words = name.replace("_", " ")
            raise TrainingError(f"The {words} must be from {least} to {most}, not {value}.")


@dataclass(frozen=True)
class TrainingConfig:
    """Raises TrainingError for a value that no training can have."""

    epochs: int = 14
    weights: str = "imagenet"
    image_size: int = 128
    cell_colour: tuple[int, int, int] | None = CELL_COLOUR
    """What each cell's body is brought to before the network sees it; None leaves colours alone."""
    batch_size: int = 64
    learning_rate: float | None = None
    """Peak of the one-cycle schedule; by default 0.05 from random weights, else 0.01."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    mixup: float = 0.0
    """Pairs of images are mixed by shares drawn from Beta(mixup, mixup); 0 leaves them apart
    (Zhang et al. 2018)."""
    averaging: float = 0.998
    """Of the running average of weights: what each step keeps of it (500 steps' memory)."""
    validation_share: float = 0.15
    others: int = 4000
    """How many cells of each other laboratory an epoch takes, both classes alike."""
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        require_limits(self, LIMITS)

    @property
    def peak(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return PEAK_FROM_RANDOM if self.weights == "none" else PEAK_FINE_TUNING

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
