"""Crops of annotated fields as files: one folder a class, one for what is no red cell, and
which field each cell is from."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ml.annotations import Crop, crops, other_crops
from ml.datasets import CLASSES, FOLDERS, OTHER, DataError

GROUPS = "groups.csv"
TEST_MARGIN = (0.1, 0.1)


def write_cells(
    folder: Path, fields: Sequence[dict[str, Any]], output: Path, margin: tuple[float, float]
) -> str:
    """Write the cells of some fields as PNG; how many there are of each class, in words."""
    least, most = margin
    if not 0 <= least <= most:
        raise DataError(f"No margin is drawn from {least:g} to {most:g}: 0 or more, least first.")
    counts: Counter[str] = Counter()
    rows = []
    for crop in crops(folder, fields, margin):
        name = CLASSES[crop.parasitized]
        counts[name] += 1
        rows.append((_write(crop, output / FOLDERS[name]), crop.field))
    if not rows:
        raise DataError(f"{folder} has no whole red cell in these fields.")
    for number, (image, field) in enumerate(other_crops(folder, fields)):
        counts[OTHER] += 1
        _save(image, output / OTHER / f"{field}_other_{number}.png")
    with (output / GROUPS).open("w", newline="") as file:
        csv.writer(file).writerows([("file", "field"), *rows])
    return ", ".join(f"{counts[name]:,} {name.lower()}" for name in (*CLASSES, OTHER))


def _write(crop: Crop, folder: Path) -> str:
    name = f"{crop.field}_cell_{crop.number}.png"
    _save(crop.image, folder / name)
    return name


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, compress_level=1)
