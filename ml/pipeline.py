"""From a folder of cells to an artifact: train, export, calibrate, measure, write."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from ml import artifact, card, plots
from ml.artifact import ArtifactError, Manifest
from ml.calibration import fit_temperature, fit_thresholds
from ml.datasets import (
    CLASSES,
    DataError,
    Example,
    Pixels,
    find_examples,
    fingerprint,
    has_slides,
    hold_out,
    load,
    split,
)
from ml.decisions import Thresholds
from ml.drawing import draw_cell
from ml.engines import OnnxRuntime, cores
from ml.evaluation import evaluate
from ml.export import Parity, export_int8, parity, require_parity
from ml.images import resized
from ml.network import ARCHITECTURE, CellNet
from ml.predictor import Predictor
from ml.training import (
    HISTORY,
    OnEpoch,
    OnStep,
    Trained,
    TrainingConfig,
    predict_logits,
    train,
    write_history,
)

PREDICTIONS = "predictions.csv"
CALIBRATION_CELLS = 512
PROBE_CELLS = 8


@dataclass(frozen=True)
class Listener:
    """Who hears how it goes; each does nothing unless given."""

    on_stage: Callable[[str], None] = lambda sentence: None
    on_load: Callable[[int, int], None] = lambda done, total: None
    on_step: OnStep = lambda step: None
    on_epoch: OnEpoch = lambda row: None
    on_warning: Callable[[str], None] = lambda sentence: None


@dataclass(frozen=True)
class Data:
    training: Pixels
    validation: Pixels
    test: Pixels | None


@dataclass(frozen=True)
class Source:
    """Where the cells are, and what is done with some of their slides."""

    folder: Path
    groups: Path | None = None
    test: frozenset[str] = frozenset()
    """Slides that are only reported on."""
    unused: frozenset[str] = frozenset()
    """Slides that are left out altogether."""

    def examples(self) -> list[Example]:
        rest, _ = hold_out(find_examples(self.folder, self.groups), self.unused)
        return rest


def build(
    config: TrainingConfig,
    source: Source,
    output: Path,
    resume: bool = False,
    listener: Listener | None = None,
) -> Manifest:
    """Train on a folder of cells and write the artifact to `output`.

    The training keeps its checkpoints in `<output>.training` until the artifact is complete.
    Raises DataError, WeightsError, TrainingError, ExportError or ArtifactError with a sentence.
    """
    listener = listener or Listener()
    _refuse_to_overwrite(output)
    work = work_folder(output)
    if not resume and (work / "checkpoint.pt").exists():
        raise ArtifactError(
            f"{work} holds an unfinished training: go on with --resume, remove it, "
            "or choose another --output."
        )
    data = _load(config, source, listener)
    trained = train(
        config, data.training, data.validation, work, resume, listener.on_step, listener.on_epoch
    )
    listener.on_stage("Exporting to int8 and measuring")
    with artifact.writing(output) as folder:
        manifest = _write(folder, output.name, config, data, trained)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def work_folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.training")


def _refuse_to_overwrite(output: Path) -> None:
    if (output / artifact.MANIFEST).exists():
        raise ArtifactError(f"{output} already holds a trained model: choose another --output.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ArtifactError(f"{output} is not an empty folder: choose another --output.")


def _load(config: TrainingConfig, source: Source, listener: Listener) -> Data:
    examples = source.examples()
    if not has_slides(examples):
        listener.on_warning(
            "Not every file name tells its slide, so images of one patient may be on both sides "
            "of the split and the figures may flatter. Give the slides with --groups FILE "
            "(a CSV of file name, slide)."
        )
    rest, test = hold_out(examples, source.test)
    training, validation = split(rest, config.validation_share, config.seed)
    listener.on_stage(f"Reading {len(examples):,} images")
    parts = [_read(part, config.image_size, listener) for part in (training, validation, test)]
    return Data(parts[0], parts[1], parts[2] if test else None)


def _read(examples: Sequence[Example], size: int, listener: Listener) -> Pixels:
    pixels = load(examples, size, listener.on_load, cores())
    for path, reason in pixels.unreadable:
        listener.on_warning(f"Left out {path}: {reason}")
    return pixels


def _write(
    folder: Path, name: str, config: TrainingConfig, data: Data, trained: Trained
) -> Manifest:
    save_file(_half(trained.network), folder / artifact.WEIGHTS)
    export_int8(
        trained.network,
        folder / artifact.ONNX,
        _sample(data.training.images, CALIBRATION_CELLS, config.seed),
        config.mean,
        config.std,
    )
    draft = _draft(name, config, data)
    predictor = Predictor(draft, OnnxRuntime(folder, cores()))
    logits = score(predictor, data.validation.images)
    found = _require_same(logits, trained, data.validation, config)
    manifest = _calibrated(draft, logits, data.validation.labels)
    predictor = Predictor(manifest, predictor.engine)
    _write_probe(folder, predictor)
    write_history(folder / HISTORY, trained.history)
    _write_figures(folder, predictor, data, found, trained)
    card.write(folder, manifest)
    artifact.write_manifest(folder, manifest)
    return artifact.read_manifest(folder)


def _half(network: CellNet) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: v.half() if v.is_floating_point() else v for name, v in state.items()}


def _sample(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[np.sort(order)]


def _draft(name: str, config: TrainingConfig, data: Data) -> Manifest:
    """The manifest before calibration."""
    return Manifest(
        name=name,
        architecture=ARCHITECTURE,
        classes=CLASSES,
        image_size=config.image_size,
        mean=config.mean,
        std=config.std,
        temperature=1.0,
        thresholds=Thresholds(0.5, 0.5),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=_describe(data),
        training=config.as_dict(),
    )


def _describe(data: Data) -> dict[str, Any]:
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        "fingerprint": fingerprint(data.training.examples),
        **{name: _counts(part) for name, part in parts.items() if part is not None},
        "validation_slides": _slides(data.validation),
        "test_slides": _slides(data.test) if data.test is not None else [],
    }


def _counts(pixels: Pixels) -> dict[str, int]:
    classes = Counter(int(label) for label in pixels.labels)
    counts = {name: classes[index] for index, name in enumerate(CLASSES)}
    return {"images": len(pixels.labels), "slides": len(_slides(pixels)), **counts}


def _slides(pixels: Pixels) -> list[str]:
    return sorted({example.slide for example in pixels.examples if example.slide})


def score(predictor: Predictor, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """Logits of parasitized (n,) as the worker's engine computes them."""
    parts = [predictor.scores(images[i : i + batch])[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _require_same(
    logits: np.ndarray, trained: Trained, validation: Pixels, config: TrainingConfig
) -> Parity:
    reference = predict_logits(trained.network, validation.images, config)
    found = parity(logits, reference[:, 1] - reference[:, 0], validation.labels)
    require_parity(found)
    return found


def _calibrated(draft: Manifest, logits: np.ndarray, labels: np.ndarray) -> Manifest:
    try:
        temperature = fit_temperature(logits, labels)
    except ValueError as error:
        raise DataError(f"The probabilities cannot be calibrated: {error}") from None
    probability = Predictor.probabilities(logits, temperature)
    return replace(draft, temperature=temperature, thresholds=fit_thresholds(probability, labels))


def _write_probe(folder: Path, predictor: Predictor) -> None:
    """Drawn cells with the answers of this model, checked wherever it is loaded."""
    size = predictor.manifest.image_size
    drawn = [draw_cell(seed, bool(seed % 2)) for seed in range(PROBE_CELLS)]
    pixels = np.stack([resized(image, size) for image in drawn])
    probability = [prediction.probability for prediction in predictor.predict_pixels(pixels)]
    np.savez_compressed(folder / artifact.PROBE, pixels=pixels, probability=np.array(probability))


def measure(predictor: Predictor, pixels: Pixels) -> tuple[dict[str, Any], np.ndarray]:
    """(figures with intervals by slide, calibrated probabilities) on labelled cells."""
    logits = score(predictor, pixels.images)
    probability = Predictor.probabilities(logits, predictor.manifest.temperature)
    slides = [e.slide or "" for e in pixels.examples] if has_slides(pixels.examples) else None
    return evaluate(probability, pixels.labels, slides, predictor.manifest.thresholds), probability


def _write_figures(
    folder: Path, predictor: Predictor, data: Data, found: Parity, trained: Trained
) -> None:
    validation, probability = measure(predictor, data.validation)
    figures: dict[str, Any] = {"validation": validation, "test": None}
    shown, result, labels = probability, validation, data.validation.labels
    if data.test is not None:
        figures["test"], shown = measure(predictor, data.test)
        result, labels = figures["test"], data.test.labels
    figures["best_epoch"] = trained.best_epoch
    figures["int8"] = {
        "cells": found.cells,
        "label_agreement": found.agreement,
        "auc_difference": found.auc_difference,
    }
    artifact.write_json(folder / artifact.METRICS, figures)
    write_predictions(folder / PREDICTIONS, data.test or data.validation, shown)
    plots.save_plots(folder, result, shown, labels, trained.history)


def write_predictions(path: Path, pixels: Pixels, probability: np.ndarray) -> None:
    """One row an image: file name, slide, truth (1 is parasitized) and calibrated probability."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "slide", "truth", "probability"])
        for example, value in zip(pixels.examples, probability, strict=True):
            writer.writerow([example.path.name, example.slide or "", example.label, f"{value:.6f}"])
