"""The plain way to predict one cell with a ResNet34, as the yardstick for speed.

Eager fp32 torch, one image at a time, Resize(256) and CenterCrop(224), ImageNet normalisation and
torch.max: what the project that this one grew from does. The weights are random, which changes
the time of nothing; its labels mean nothing.

    python -m benchmarks.seed IMAGE_OR_FOLDER... [--repeat N]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torchvision.models import resnet34
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from benchmarks.conditions import conditions
from benchmarks.figures import at_least

CLASSES = ("parasitized", "uninfected")
WARM_UP = 5


def seed_predictor() -> Callable[[Path], str]:
    """The predict function: an RGB image file to a label. Without gradients, in its favour."""
    torch.manual_seed(0)
    network = resnet34(weights=None)
    network.fc = torch.nn.Linear(network.fc.in_features, len(CLASSES))
    network.eval()
    prepare = Compose(
        [
            Resize(256),
            CenterCrop(224),
            ToTensor(),
            Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )

    @torch.no_grad()
    def predict(path: Path) -> str:
        with Image.open(path) as image:
            batch = prepare(image).unsqueeze(0)
        _, index = torch.max(network(batch), 1)
        return CLASSES[int(index)]

    return predict


def images_per_second(
    predict: Callable[[Path], str], paths: Sequence[Path], repeat: int
) -> list[float]:
    """One figure a pass over `paths`, files opened and decoded anew, after a warm-up."""
    for path in paths[:WARM_UP]:
        predict(path)
    rates = []
    for _ in range(repeat):
        start = time.perf_counter()
        for path in paths:
            predict(path)
        rates.append(len(paths) / (time.perf_counter() - start))
    return rates


def _files(paths: Sequence[Path]) -> list[Path]:
    found = (p.rglob("*") if p.is_dir() else [p] for p in paths)
    return sorted(file for group in found for file in group if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--repeat", type=at_least(1), default=3, help="passes over the images")
    options = parser.parse_args()
    paths = _files(options.paths)
    rates = images_per_second(seed_predictor(), paths, options.repeat)
    figures = {
        "images": len(paths),
        "images_per_second": round(statistics.median(rates), 1),
        "slowest": round(min(rates), 1),
        "fastest": round(max(rates), 1),
        "torch_threads": torch.get_num_threads(),
    }
    sys.stdout.write(json.dumps(figures | conditions(), indent=2) + "\n")


if __name__ == "__main__":
    main()
