"""What a model says of labelled cells, as figures and cell by cell."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets import Pixels, has_slides
from ml.evaluation import evaluate
from ml.predictor import Predictor

PREDICTIONS = "predictions.csv"


def measure(predictor: Predictor, pixels: Pixels) -> tuple[dict[str, Any], np.ndarray]:
    """(figures with intervals by slide, calibrated probabilities) on labelled cells."""
    logits = predictor.logits(pixels.images)
    probability = Predictor.probabilities(logits, predictor.manifest.temperature)
    slides = [e.slide or "" for e in pixels.examples] if has_slides(pixels.examples) else None
    return evaluate(probability, pixels.labels, slides, predictor.manifest.thresholds), probability


def write_predictions(path: Path, pixels: Pixels, probability: np.ndarray) -> None:
    """One row an image: file name, slide, truth (1 is parasitized) and calibrated probability."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "slide", "truth", "probability"])
        for example, value in zip(pixels.examples, probability, strict=True):
            writer.writerow([example.path.name, example.slide or "", example.label, f"{value:.6f}"])
