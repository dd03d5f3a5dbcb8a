"""A trained network becomes an artifact: exported, compared, calibrated, measured, written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from PIL import Image
from torch import Tensor

from ml import artifact, card, plots
from ml.artifact import Manifest
from ml.augmentation import augmented
from ml.calibration import fit_temperature, fit_thresholds
from ml.configuration import TrainingConfig
from ml.datasets import CLASSES, DataError, Example, Pixels, fingerprint, has_slides
from ml.decisions import Thresholds
from ml.drawing import draw_cell
from ml.engines import OnnxRuntime, cores
from ml.export import Parity, export_int8, parity, require_parity
from ml.images import prepared
from ml.measurement import PREDICTIONS, background_of, measure, write_predictions
from ml.network import ARCHITECTURE, CellNet
from ml.outliers import drawn, spoilt
from ml.predictor import Predictor
from ml.rejection import fit as fit_rejector
from ml.training import HISTORY, Trained, predict_logits, write_history

CALIBRATION_CELLS = 512
PROBE_CELLS = 8


REAL_CELLS = 2000
"""Of each laboratory and class at most, to learn what a red cell looks like."""
DRAWN, SPOILT = 2100, 500
"""Pictures that are no cell; of the spoilt ones, of each kind."""


@dataclass(frozen=True)
class Data:
    training: Pixels
    validation: Pixels
    test: Pixels | None
    no_cells: Pixels | None = None
    """Photographs of what is no red cell."""


def pack(folder: Path, name: str, config: TrainingConfig, data: Data, trained: Trained) -> Manifest:
    """Fill an empty folder; ExportError or DataError where the model is not fit to be used."""
    _write_network(folder, trained.network, config, data.training.images)
    predictor = Predictor(_draft(name, config, data), OnnxRuntime(folder, cores()))
    logits = predictor.logits(data.validation.images)
    reference = _reference(trained.network, data.validation.images, config)
    found = parity(logits, reference, data.validation.labels)
    require_parity(found)
    predictor = _calibrated(predictor, logits, data.validation.labels)
    predictor = _rejecting(folder, predictor, config, data)
    _write_probe(folder, predictor, trained.network, config)
    if trained.history:
        write_history(folder / HISTORY, trained.history)
    _write_figures(folder, predictor, data, found, trained)
    card.write(folder, predictor.manifest)
    artifact.write_manifest(folder, predictor.manifest)
    return artifact.read_manifest(folder)


def _write_network(
    folder: Path, network: CellNet, config: TrainingConfig, images: np.ndarray
) -> None:
    (folder / artifact.WEIGHTS).write_bytes(safetensors.torch.save(_half(network)))
    sample = _sample(images, CALIBRATION_CELLS, config.seed)
    export_int8(network, folder / artifact.ONNX, sample, config.mean, config.std)


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
        cell_colour=config.cell_colour,
        mean=config.mean,
        std=config.std,
        temperature=1.0,
        thresholds=Thresholds(0.5, 0.5),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=_describe(data),
        training=config.as_dict(),
    )


def _describe(data: Data) -> dict[str, Any]:
    training = data.training.examples
    parts = {
        "training": [example for example in training if not example.origin],
        "validation": data.validation.examples,
        "test": data.test.examples if data.test is not None else (),
    }
    return {
        "fingerprint": fingerprint(training),
        "split_by": "slide" if has_slides(data.validation.examples) else "image",
        **{name: _counts(part) for name, part in parts.items() if part},
        "reviewed": _counts([e for e in training if e.reviewed]),
        "others": {
            "/".join(Path(name).parts[-2:]): _counts([e for e in training if e.origin == name])
            for name in sorted({e.origin for e in training if e.origin})
        },
        "training_slides": _slides([e for e in training if not e.reviewed]),
        "validation_slides": _slides(parts["validation"]),
        "test_slides": _slides(parts["test"]),
    }


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    classes = Counter(example.label for example in examples)
    counts = {name: classes[index] for index, name in enumerate(CLASSES)}
    return {"images": len(examples), "slides": len(_slides(examples)), **counts}


def _slides(examples: Sequence[Example]) -> list[str]:
    return sorted({example.slide for example in examples if example.slide})


def _reference(network: CellNet, images: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """Logits of parasitized (n,) of the network in full precision."""
    logits = predict_logits(network, images, replace(config, precision="fp32"))
    return logits[:, 1] - logits[:, 0]


def _calibrated(draft: Predictor, logits: np.ndarray, labels: np.ndarray) -> Predictor:
    try:
        temperature = fit_temperature(logits, labels)
    except ValueError as error:
        raise DataError(f"The probabilities cannot be calibrated: {error}") from None
    thresholds = fit_thresholds(Predictor.probabilities(logits, temperature), labels)
    manifest = replace(draft.manifest, temperature=temperature, thresholds=thresholds)
    return replace(draft, manifest=manifest)


def _rejecting(folder: Path, predictor: Predictor, config: TrainingConfig, data: Data) -> Predictor:
    """What a red cell is, from training cells as they are and as augmentation changes them.

    The limits come from cells held out, both as they are and changed: the validation slides, and
    a fifth of each other laboratory's cells. What no slide of ours shows is to be expected too.
    """
    groups, held_out = [], [_sample(data.validation.images, REAL_CELLS, config.seed)]
    examples = data.training.examples
    for origin, label in sorted({(e.origin, e.label) for e in examples}):
        images = data.training.where([(e.origin, e.label) == (origin, label) for e in examples])
        chosen = _sample(images.images, REAL_CELLS, config.seed)
        groups.append(chosen[len(chosen) // 5 :] if origin else chosen)
        held_out += [chosen[: len(chosen) // 5]] if origin and len(chosen) >= 5 else []
    cells = np.concatenate(groups)
    changed = _changed(cells, config)
    held_out += [_changed(images, config) for images in held_out]
    others = {
        "drawn": drawn(min(DRAWN, len(cells)), config.seed),
        **spoilt(cells, min(SPOILT, len(cells)), config.seed),
    }
    features = {
        kind: predictor.features(np.stack([prepared(picture, config) for picture in pictures]))
        for kind, pictures in others.items()
    }
    if data.no_cells is not None:
        features["other"] = predictor.features(data.no_cells.images)
    rejector = fit_rejector(
        predictor.features(np.concatenate([cells, changed])),
        features,
        [predictor.features(images) for images in held_out],
        config.seed,
    )
    rejector.save(folder / artifact.REJECTION)
    return replace(predictor, rejector=rejector)


def _changed(images: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """As another slide, stain or camera would show them, and levelled again."""
    views = augmented(images, config.augmentation, config.seed)
    return np.stack([prepared(Image.fromarray(view), config) for view in views])


def _write_probe(
    folder: Path, predictor: Predictor, network: CellNet, config: TrainingConfig
) -> None:
    """Drawn cells with the answers of this model, checked wherever it is loaded."""
    cells = [draw_cell(seed, bool(seed % 2)) for seed in range(PROBE_CELLS)]
    pixels = np.stack([prepared(image, config) for image in cells])
    temperature = predictor.manifest.temperature
    np.savez_compressed(
        folder / artifact.PROBE,
        pixels=pixels,
        probability=Predictor.probabilities(predictor.logits(pixels), temperature),
        reference=Predictor.probabilities(_reference(network, pixels, config), temperature),
    )


def _write_figures(
    folder: Path, predictor: Predictor, data: Data, found: Parity, trained: Trained
) -> None:
    """Plots and predictions are those of the test slides, where there are some; the background is
    that of all slides kept out of training."""
    thresholds = predictor.manifest.thresholds
    shown = measure(predictor, data.validation)
    result = validation = shown.figures(thresholds)
    slides = shown.slide_counts()
    if data.test is not None:
        shown = measure(predictor, data.test)
        result = shown.figures(thresholds)
        slides += shown.slide_counts(thresholds)
    if background := background_of(slides):
        artifact.write_json(folder / artifact.BACKGROUND, background.as_dict())
    figures = {
        "validation": validation,
        "test": result if data.test is not None else None,
        "best_epoch": trained.best_epoch,
        "int8": asdict(found),
    }
    artifact.write_json(folder / artifact.METRICS, figures)
    write_predictions(folder / PREDICTIONS, shown)
    plots.save_plots(folder, result, shown.probability, shown.truth, trained.history)
