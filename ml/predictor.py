"""Predictor: images of single red cells → what the model says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ml.artifact import PROBE, ArtifactError, Manifest, read_manifest, verify
from ml.calibration import sigmoid
from ml.decisions import decide, label
from ml.engines import Engine, engine_file, load_engine
from ml.images import normalised, resized

ANSWERS = ("probability", "reference")
"""In the probe: what the int8 model said, and what the network in full precision did."""
PROBE_TOLERANCE = 0.05


@dataclass(frozen=True)
class CellPrediction:
    label: str
    probability: float
    """P(parasitized), calibrated."""
    decision: str
    reasons: tuple[str, ...]
    model: str
    activation: tuple[tuple[float, ...], ...]
    """Rows of the class activation map; its mean is the calibrated logit of parasitized."""


@dataclass(frozen=True)
class Predictor:
    manifest: Manifest
    engine: Engine

    @classmethod
    def load(
        cls, path: Path | str, engine: str = "auto", threads: int | None = None
    ) -> "Predictor":
        """Load and verify an artifact; ArtifactError says in words what is wrong with it."""
        path = Path(path)
        manifest = read_manifest(path)
        verify(path, manifest, [engine_file(engine)])
        return cls(manifest, load_engine(engine, path, threads))

    @classmethod
    def load_checked(
        cls, path: Path | str, engine: str = "auto", threads: int | None = None
    ) -> "Predictor":
        """As `load`; ArtifactError also where this machine computes the model wrongly."""
        predictor = cls.load(path, engine, threads)
        predictor.check(path)
        return predictor

    def predict(self, images: Sequence[Image.Image]) -> list[CellPrediction]:
        """One prediction for each RGB image, in one batch."""
        if not images:
            return []
        return self.predict_pixels(np.stack([resized(i, self.manifest.image_size) for i in images]))

    def predict_pixels(self, pixels: np.ndarray) -> list[CellPrediction]:
        """As `predict`, from uint8 (n, size, size, 3) as `ml.images.resized` makes it."""
        logits, activations = self.scores(pixels)
        temperature = self.manifest.temperature
        probabilities = self.probabilities(logits, temperature)
        return [
            self._prediction(float(probability), activation)
            for probability, activation in zip(
                probabilities, activations / temperature, strict=True
            )
        ]

    @staticmethod
    def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
        """Calibrated P(parasitized) (n,) of logits (n,)."""
        return sigmoid(logits / temperature)

    def logits(self, pixels: np.ndarray, batch: int = 64) -> np.ndarray:
        """Of parasitized (n,), for any number of uint8 images (n, size, size, 3)."""
        starts = range(0, len(pixels), batch)
        parts = [self.scores(pixels[start : start + batch])[0] for start in starts]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def scores(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (n, size, size, 3) → logit of parasitized (n,), activation (n, h, w)."""
        batch = normalised(pixels, self.manifest.mean, self.manifest.std)
        logits, activation = self.engine(batch)
        return logits[:, 1] - logits[:, 0], activation

    def _prediction(self, probability: float, activation: np.ndarray) -> CellPrediction:
        return CellPrediction(
            label=label(probability),
            probability=probability,
            decision=decide(probability, self.manifest.thresholds),
            reasons=(),
            model=self.manifest.name,
            activation=tuple(tuple(round(float(v), 3) for v in row) for row in activation),
        )

    def check(self, path: Path | str) -> None:
        """Compare with what the model answered when it was made; ArtifactError where it differs.

        Some old processors overflow in int8 arithmetic and answer quietly wrong. An engine may
        answer as the int8 model did or as the network in full precision.
        """
        path = Path(path)
        verify(path, self.manifest, [PROBE])
        with np.load(path / PROBE) as probe:
            pixels, answers = probe["pixels"], [probe[name] for name in ANSWERS if name in probe]
        found = np.array([prediction.probability for prediction in self.predict_pixels(pixels)])
        difference = min(float(np.abs(found - answer).max()) for answer in answers)
        if not difference <= PROBE_TOLERANCE:  # nor is "not a number"
            raise ArtifactError(
                f"This machine computes the model wrongly (a probability is off by "
                f"{difference:.2f}): choose another engine, for example torch."
            )
