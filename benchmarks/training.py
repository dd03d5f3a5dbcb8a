"""`train_model`'s loop beside a plain one, and beside its own step on ready tensors.

    python -m benchmarks.training [FOLDER_OF_CLASSES] [--images N] [--passes N]

The plain loop is what a tutorial of torchvision does: ImageFolder, transforms of Pillow for each
sample, two loading processes, fp32. All three see the same images at the same size, in batches of
the same length, and train the same ResNet34 from random weights. The plain loop opens its files
anew each epoch, and is timed with that; train_model opens them once, before the clock starts.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet34

from benchmarks.cells import as_png
from benchmarks.figures import Figure, asked, at_least, in_turn, parser, ratios, show
from ml.augmentation import Augmentation
from ml.configuration import TrainingConfig
from ml.datasets import Pixels, find_examples, load
from ml.drawing import draw_cell
from ml.images import IMAGENET_MEAN, IMAGENET_STD
from ml.training import CHECKPOINT, Step, train

SIDES = ("plain", "ready", "ours")
LOADERS = 2
WARM_UP = 3
"""Steps that are thrown away."""
LEAST = TrainingConfig().batch_size * (WARM_UP + 2)
"""Images that leave a step to be timed."""


class Untouched(Augmentation):
    def __call__(self, batch: Tensor, generator: Generator) -> Tensor:
        return batch


def folder_of_classes(source: Path | None, count: int, folder: Path) -> Path:
    """As many cells of both classes, as PNG files: the source's, or drawn ones."""
    for parasitized, name in ((True, "Parasitized"), (False, "Uninfected")):
        (folder / name).mkdir(parents=True)
        if source is None:
            for number in range(count // 2):
                draw_cell(number, parasitized).save(folder / name / f"{number}.png")
        else:
            paths = sorted((source / name).glob("*"))[: count // 2]
            if len(paths) < LEAST // 2:
                sys.exit(f"{source / name} holds fewer than {LEAST // 2} cells.")
            for path in paths:
                as_png(path, folder / name / f"{path.stem}.png")
    return folder


def plain(folder: Path, config: TrainingConfig) -> float:
    """Images a second."""
    size = config.image_size
    prepare = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.8, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.ColorJitter(0.1, 0.1, 0.1),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    images = ImageFolder(str(folder), prepare)
    batches = DataLoader(
        images, config.batch_size, shuffle=True, num_workers=LOADERS, drop_last=True
    )
    network = resnet34(weights=None, num_classes=2).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    marks = []
    for batch, labels in batches:
        optimizer.zero_grad()
        criterion(network(batch), labels).backward()
        optimizer.step()
        marks.append(time.perf_counter())
    return _rate(marks, config)


def ours(folder: Path, config: TrainingConfig) -> float:
    return _trained(load(find_examples(folder), config), config)


def ready(folder: Path, config: TrainingConfig) -> float:
    """The same loop, but neither picked nor augmented: every batch is made of the same tensor."""
    from ml.training import _Run

    pixels = load(find_examples(folder)[: config.batch_size], config)
    batch = torch.randn(config.batch_size, 3, config.image_size, config.image_size)
    labels = torch.from_numpy(pixels.labels)

    def same(self: object, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return batch[: len(chosen)], labels[: len(chosen)]

    _Run._batch = same  # type: ignore[method-assign]
    config = replace(config, augmentation=Untouched())
    return _trained(load(find_examples(folder), config), config)


def _trained(pixels: Pixels, config: TrainingConfig) -> float:
    marks: list[float] = []

    def on_step(step: Step) -> None:
        marks.append(time.perf_counter())

    nothing = Pixels(pixels.images[:2], pixels.labels[:2], pixels.examples[:2], ())
    with tempfile.TemporaryDirectory() as output:
        train(config, pixels, nothing, Path(output), on_step=on_step)
        assert (Path(output) / CHECKPOINT).exists()
    return _rate(marks, config)


def _rate(marks: list[float], config: TrainingConfig) -> float:
    steps = len(marks) - 1 - WARM_UP
    return config.batch_size * steps / (marks[-1] - marks[WARM_UP])


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        source = options.paths[0] if options.paths else None
        folder = folder_of_classes(source, options.images, Path(name) / "cells")

        def side(which: str) -> Callable[[], float]:
            return lambda: asked("training", folder, "--side", which)["images_per_second"]

        rates = in_turn(options.passes, *(side(which) for which in SIDES))
        slow, fast, whole = zip(*rates, strict=True)
    yield Figure("training, plain loop, its decoding included", slow, "images/s")
    yield Figure("training, our step on ready tensors", fast, "images/s")
    yield Figure("training, train_model, decoded before", whole, "images/s")
    yield ratios("train_model by the plain loop", whole, slow, least=1.8)
    yield ratios("train_model by its step on ready tensors", whole, fast, least=0.9)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=at_least(LEAST), default=1280)
    made.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.side:
        action = {"plain": plain, "ours": ours, "ready": ready}[options.side]
        rate = action(options.paths[0], TrainingConfig(epochs=1, weights="none"))
        sys.stdout.write(json.dumps({"images_per_second": round(rate, 2)}))
        return
    show(measured(options), options)


if __name__ == "__main__":
    main()
