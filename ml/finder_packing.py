"""A trained finder becomes an artifact: threshold chosen, measured, written."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ml.annotations import blocks, read_annotations
from ml.artifact import write_json, writing
from ml.datasets import DataError
from ml.detection import figures, match
from ml.engines import cores
from ml.export import write_float
from ml.fields import FINDER, Finder, FinderManifest, OnnxSession
from ml.finder_network import FinderNet
from ml.finder_training import SIDE, Field, FinderConfig, read_fields, train_finder

FIGURES = "metrics.json"
THRESHOLDS = np.arange(0.25, 0.65, 0.05).round(2).tolist()
OVERLAPS = (0.4, 0.5)
EDGE = 0.03
_SIDES = dict.fromkeys(("field", "centres", "sides"), {2: "height", 3: "width"})


@dataclasses.dataclass(frozen=True)
class Split:
    training: list[Field]
    validation: dict[str, list[Field]]
    test: dict[str, list[Field]]
    """By folder."""


def split_fields(
    folders: Sequence[Path], count: int, validation: set[int], test: set[int]
) -> Split:
    """Blocks of fields in a row stay together; their numbers start at one in each folder."""
    split = Split([], {}, {})
    for folder in folders:
        for number, block in enumerate(blocks(read_annotations(folder), count), 1):
            fields = read_fields(folder, block)
            if number in test:
                split.test.setdefault(folder.name, []).extend(fields)
            elif number in validation:
                split.validation.setdefault(folder.name, []).extend(fields)
            else:
                split.training.extend(fields)
    if not split.training:
        raise DataError("No block of fields is left to train on.")
    return split


def build_finder(
    output: Path, split: Split, config: FinderConfig, on_step: Callable[[int, float], None]
) -> dict[str, Any]:
    """Train, choose the threshold on the validation fields, measure on both; the figures.

    ArtifactError or OSError, before any training, where the output cannot be written.
    """
    output = output.resolve()
    with writing(output) as folder:
        network = train_finder(split.training, config, on_step)
        return pack_finder(folder, output.name, network, split, config)


def pack_finder(
    folder: Path, name: str, network: FinderNet, split: Split, config: FinderConfig
) -> dict[str, Any]:
    """Fill an empty folder."""
    write_float(network, folder / FINDER, torch.zeros(1, 3, 64, 96), _SIDES)
    session = OnnxSession(folder / FINDER, cores())
    manifest = FinderManifest(
        name=name,
        side=SIDE,
        threshold=0.3,
        overlap=0.5,
        edge=EDGE,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=_described(split, config),
    )
    finder = _chosen(Finder(manifest, session), split.validation)
    found = {
        part: {name: measured(finder, fields) for name, fields in fields_of.items()}
        for part, fields_of in (("validation", split.validation), ("test", split.test))
    }
    write_json(folder / FIGURES, found)
    finder.manifest.write(folder)
    return found


def _described(split: Split, config: FinderConfig) -> dict[str, Any]:
    return {
        "training_fields": [field.name for field in split.training],
        "test_fields": {name: [f.name for f in fields] for name, fields in split.test.items()},
        "training": dataclasses.asdict(config),
    }


def _chosen(finder: Finder, validation: Mapping[str, Sequence[Field]]) -> Finder:
    """With the threshold and overlap that find the cells best, parasitized ones above all, and as
    many as there are."""
    candidates = [
        dataclasses.replace(
            finder,
            manifest=dataclasses.replace(finder.manifest, threshold=threshold, overlap=overlap),
        )
        for threshold in THRESHOLDS
        for overlap in OVERLAPS
    ]
    return max(candidates, key=lambda one: np.mean([_merit(one, f) for f in validation.values()]))


def _merit(finder: Finder, fields: Sequence[Field]) -> float:
    found = measured(finder, fields)
    return found["f1"] - found["count_error_median"] + found.get("parasitized_found", 0.0)


def measured(finder: Finder, fields: Sequence[Field]) -> dict[str, float]:
    """Against the red cells that are boxed away from the edge."""
    matches = []
    for field in fields:
        found = finder.find(Image.fromarray(field.pixels))
        matches.append(match(found, field.truth, finder.manifest.edge * field.side))
    return figures(matches)
