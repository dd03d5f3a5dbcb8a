"""Models for tests: a real ResNet34 with random weights, exported as a trained one would be."""

from pathlib import Path

import numpy as np

from ml import artifact
from ml.artifact import Manifest
from ml.datasets import CLASSES
from ml.decisions import Thresholds
from ml.drawing import draw_cell
from ml.engines import OnnxRuntime
from ml.images import IMAGENET_MEAN, IMAGENET_STD, resized
from ml.predictor import Predictor

SIZE = 64


def drawn_pixels(count: int, size: int = SIZE) -> np.ndarray:
    """uint8 (count, size, size, 3): drawn cells, uninfected and parasitized in turn."""
    return np.stack([resized(draw_cell(seed, bool(seed % 2)), size) for seed in range(count)])


def bare_artifact(folder: Path, name: str = "bare", **files: bytes) -> Path:
    """A manifest that describes these files (`card_md` is card.md), without weights; at once."""
    folder.mkdir(parents=True)
    for key, content in files.items():
        (folder / key.replace("_", ".")).write_bytes(content)
    artifact.write_manifest(folder, _manifest(name))
    return folder


def random_artifact(folder: Path, seed: int = 0, name: str = "") -> Path:
    """Write an artifact whose answers mean nothing but never change; about 15 seconds."""
    import torch
    from safetensors.torch import save_file

    from ml.export import export_int8
    from ml.network import new_network

    torch.manual_seed(seed)
    network = new_network("none").eval()
    with artifact.writing(folder) as part:
        save_file(
            {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()},
            part / artifact.WEIGHTS,
        )
        pixels = drawn_pixels(32)
        export_int8(network, part / artifact.ONNX, pixels, IMAGENET_MEAN, IMAGENET_STD)
        manifest = _manifest(name or folder.name)
        predictor = Predictor(manifest, OnnxRuntime(part, 2))
        probability = np.array([p.probability for p in predictor.predict_pixels(pixels[:8])])
        np.savez_compressed(part / artifact.PROBE, pixels=pixels[:8], probability=probability)
        artifact.write_manifest(part, manifest)
    return folder


def _manifest(name: str) -> Manifest:
    return Manifest(
        name=name,
        architecture="resnet34",
        classes=CLASSES,
        image_size=SIZE,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        temperature=20.0,
        thresholds=Thresholds(0.4, 0.6),
        created="2026-01-01T00:00:00+00:00",
        data={"fingerprint": "0" * 64},
        training={},
    )
