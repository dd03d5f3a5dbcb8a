"""Predictor: images of single red cells → what the model says of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ml.artifact import PROBE, REJECTION, ArtifactError, Manifest, read_manifest, verify
from ml.calibration import sigmoid
from ml.decisions import REJECTED, decide, label
from ml.engines import Engine, Output, engine_file, load_engine
from ml.images import normalised, prepared
from ml.rejection import Rejector

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
    rejector: Rejector | None = None
    """None for a model of format 1, which takes every picture for a cell."""

    @classmethod
    def load(
        cls, path: Path | str, engine: str = "auto", threads: int | None = None
    ) -> "Predictor":
        """Load and verify an artifact; ArtifactError says in words what is wrong with it."""
        path = Path(path)
        manifest = read_manifest(path)
        rejects = REJECTION in manifest.files
        verify(path, manifest, [engine_file(engine), *([REJECTION] if rejects else [])])
        rejector = Rejector.load(path / REJECTION) if rejects else None
        return cls(manifest, load_engine(engine, path, threads), rejector)

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
        return self.predict_pixels(np.stack([self.prepare(image) for image in images]))

    def prepare(self, image: Image.Image) -> np.ndarray:
        """An RGB image → uint8 (size, size, 3), as `predict_pixels` takes it."""
        return prepared(image, self.manifest)

    def predict_pixels(self, pixels: np.ndarray) -> list[CellPrediction]:
        """As `predict`, from uint8 (n, size, size, 3) as `prepare` makes it."""
        output = self.output(pixels)
        temperature = self.manifest.temperature
        probabilities = self.probabilities(_difference(output.logits), temperature)
        rows = zip(
            probabilities, output.activation / temperature, self._reasons(output), strict=True
        )
        return [self._prediction(float(p), activation, reason) for p, activation, reason in rows]

    def _reasons(self, output: Output) -> list[str]:
        if self.rejector is None or output.features is None:
            return [""] * len(output.logits)
        return self.rejector.reasons(output.features)

    @staticmethod
    def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
        """Calibrated P(parasitized) (n,) of logits (n,)."""
        return sigmoid(logits / temperature)

    def logits(self, pixels: np.ndarray, batch: int = 64) -> np.ndarray:
        """Of parasitized (n,), for any number of uint8 images (n, size, size, 3)."""
        parts = [output.logits for output in self._outputs(pixels, batch)]
        return _difference(np.concatenate(parts)) if parts else np.empty(0, np.float32)

    def features(self, pixels: np.ndarray, batch: int = 64) -> np.ndarray:
        """(n, d), for any number of uint8 images (n, size, size, 3)."""
        found = [output.features for output in self._outputs(pixels, batch)]
        return np.concatenate([part for part in found if part is not None])

    def judge(self, pixels: np.ndarray, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated P(parasitized) (n,) and whether it is rejected (n,), for any number."""
        outputs = list(self._outputs(pixels, batch))
        logits = _difference(np.concatenate([output.logits for output in outputs]))
        rejected = [bool(reason) for output in outputs for reason in self._reasons(output)]
        return self.probabilities(logits, self.manifest.temperature), np.array(rejected)

    def _outputs(self, pixels: np.ndarray, batch: int) -> Iterator[Output]:
        for start in range(0, len(pixels), batch):
            yield self.output(pixels[start : start + batch])

    def output(self, pixels: np.ndarray) -> Output:
        """What the engine says of uint8 images (n, size, size, 3)."""
        return self.engine(normalised(pixels, self.manifest.mean, self.manifest.std))

    def _prediction(
        self, probability: float, activation: np.ndarray, reason: str
    ) -> CellPrediction:
        return CellPrediction(
            label=label(probability),
            probability=probability,
            decision=REJECTED if reason else decide(probability, self.manifest.thresholds),
            reasons=(reason,) if reason else (),
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


def _difference(logits: np.ndarray) -> np.ndarray:
    """(n, 2) → the logit of parasitized against uninfected (n,)."""
    return logits[:, 1] - logits[:, 0]
