"""Annotated fields → crops of single cells, as training and measuring take them.

A folder of annotated fields holds `images/` and `annotations.json`, a list of
`{"image", "cells": [{"type", "box": [x, y, w, h]}]}` in pixels.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ml.datasets import DataError
from ml.images import UnreadableImage, read_image

ANNOTATIONS = "annotations.json"
UNINFECTED = "red blood cell"
PARASITIZED = ("gametocyte", "ring", "trophozoite", "schizont")
SAME_CELL = 0.5
"""Two boxes that overlap so much, as a share of both together, are one cell."""
LEAST_SIDE = 10
NO_RED_CELL = ("white blood cell", "platelet")
EMPTY_PLACES = 3
"""Of a field at most; a place is as large as a cell, no box touches it, and it is light."""
MOST_DARK = 0.05

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Crop:
    image: Image.Image
    parasitized: bool
    field: str
    number: int
    """Of the cell in its field."""


def read_annotations(folder: Path) -> list[dict[str, Any]]:
    """The fields in the order of their names; DataError where there are none."""
    path = folder / ANNOTATIONS
    try:
        fields = sorted(json.loads(path.read_text()), key=lambda field: str(field["image"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"The annotations {path} cannot be read: {error!r}.") from None
    if not fields:
        raise DataError(f"The annotations {path} name no field.")
    return fields


def read_photograph(folder: Path, field: dict[str, Any]) -> Image.Image:
    """DataError where it is missing or cannot be read."""
    path = folder / "images" / field["image"]
    try:
        return read_image(path, formats=None)
    except UnreadableImage as error:
        raise DataError(f"{path}, which {ANNOTATIONS} names: {error}") from None


def blocks(fields: Sequence[dict[str, Any]], count: int) -> list[list[dict[str, Any]]]:
    """Fields in a row, which may show neighbouring places of one slide, stay together."""
    if not 1 <= count <= len(fields):
        raise DataError(
            f"{len(fields)} fields cannot be dealt out to {count} blocks: choose --blocks from 1 "
            f"to {len(fields)}."
        )
    ends = np.linspace(0, len(fields), count + 1).round().astype(int)
    return [list(fields[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def of_blocks(
    fields: Sequence[dict[str, Any]], count: int, numbers: Collection[int] | None
) -> list[dict[str, Any]]:
    """The fields of these blocks, which are numbered from one; all of them without numbers."""
    if numbers is None:
        return list(fields)
    if unknown := set(numbers) - set(range(1, count + 1)):
        raise DataError(f"There is no block {min(unknown)} of {count}.")
    parts = blocks(fields, count)
    return [field for number in sorted(set(numbers)) for field in parts[number - 1]]


def crops(
    folder: Path,
    fields: Sequence[dict[str, Any]],
    margin: tuple[float, float] = (0.1, 0.1),
    seed: int = 0,
    parasitized: bool | None = None,
) -> Iterator[Crop]:
    """Every red cell (or only those that are parasitized or not) that lies whole in its field.

    The margin, drawn from that range, is a share of the box's sides. Gametocytes count as
    parasitized; other types and what is boxed a second time as a healthy cell are left out.
    """
    generator = np.random.default_rng(seed)
    for field in fields:
        image = read_photograph(folder, field)
        for number, (box, infected) in enumerate(_red_cells(field["cells"])):
            cut = _widened(box, generator.uniform(*margin))
            if _is_inside(cut, image) and parasitized in (None, infected):
                yield Crop(image.crop(cut), infected, Path(field["image"]).stem, number)


def other_crops(
    folder: Path, fields: Sequence[dict[str, Any]], seed: int = 0
) -> Iterator[tuple[Image.Image, str]]:
    """(crop, field) of what is no red cell: white cells, platelets and empty places."""
    generator = np.random.default_rng(seed)
    for field in fields:
        image = read_photograph(folder, field)
        boxes = [_box(cell) for cell in field["cells"] if cell["type"] in NO_RED_CELL]
        for box in [*boxes, *_empty_places(field["cells"], image, generator)]:
            cut = _widened(box, generator.uniform(0, 0.35))
            if min(box[2:]) >= LEAST_SIDE and _is_inside(cut, image):
                yield image.crop(cut), Path(field["image"]).stem


def _empty_places(
    cells: Sequence[dict[str, Any]], image: Image.Image, generator: np.random.Generator
) -> list[Box]:
    """Away from the edge, where cells that are cut off have no box; some others have none, too."""
    boxes = np.array([cell["box"] for cell in cells], float).reshape(-1, 4)
    side = float(np.median(boxes[:, 2:])) if len(boxes) else 0.0
    room = np.array(image.size) - 3 * side
    if side < LEAST_SIDE or room.min() <= 0:
        return []
    green = np.ascontiguousarray(np.asarray(image)[..., 1])
    _, dark = cv2.threshold(green, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    found: list[Box] = []
    for x, y in side + generator.random((200, 2)) * room:
        apart = (boxes[:, 0] > x + side) | (boxes[:, 0] + boxes[:, 2] < x)
        apart |= (boxes[:, 1] > y + side) | (boxes[:, 1] + boxes[:, 3] < y)
        place = dark[int(y) : int(y + side), int(x) : int(x + side)]
        if apart.all() and place.mean() <= MOST_DARK:
            found.append((x, y, side, side))
    return found[:EMPTY_PLACES]


def _red_cells(cells: Sequence[dict[str, Any]]) -> Iterator[tuple[Box, bool]]:
    infected = [_box(cell) for cell in cells if cell["type"] in PARASITIZED]
    for cell in cells:
        box = _box(cell)
        if min(box[2:]) < LEAST_SIDE:
            continue
        if cell["type"] in PARASITIZED:
            yield box, True
        elif cell["type"] == UNINFECTED and all(overlap(box, o) < SAME_CELL for o in infected):
            yield box, False


def _box(cell: dict[str, Any]) -> Box:
    x, y, width, height = cell["box"]
    return x, y, width, height


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _is_inside(cut: tuple[int, int, int, int], image: Image.Image) -> bool:
    return min(cut[:2]) >= 0 and cut[2] <= image.width and cut[3] <= image.height


def _widened(box: Box, margin: float) -> tuple[int, int, int, int]:
    x, y, width, height = box
    dx, dy = margin * width, margin * height
    return round(x - dx), round(y - dy), round(x + width + dx), round(y + height + dy)
