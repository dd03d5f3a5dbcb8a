"""A cell cut out of its field, as the network saw it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from uuid import UUID

from PIL import Image

from ml.boxes import Box, surroundings

from .models import Cell, SmearImage

LONGEST = 256
LARGE = 16_000_000
"""Pixels: a larger field is not kept in memory, but opened for each cell."""


def box(cell: Cell, image: SmearImage) -> Box:
    """Left, top, right, lower."""
    return surroundings(cell.box, (image.width, image.height))


def size(cell: Cell, image: SmearImage) -> tuple[int, int]:
    left, top, right, lower = box(cell, image)
    return right - left, lower - top


def of_cell(image: SmearImage, cell: Cell) -> bytes:
    """A WebP. Raises FileNotFoundError."""
    with photograph(image) as photo:
        return _cut(photo, box(cell, image))


@contextmanager
def photograph(image: SmearImage) -> Iterator[Image.Image]:
    """Raises FileNotFoundError."""
    if image.width * image.height <= LARGE:
        yield _kept(image.pk)
        return
    with _opened(image) as photo:
        yield photo


@lru_cache(maxsize=2)
def _kept(pk: UUID) -> Image.Image:
    """A strip asks for a hundred cells of one photograph, which never changes."""
    with _opened(SmearImage.objects.get(pk=pk)) as photo:
        return photo.convert("RGB")


@contextmanager
def _opened(image: SmearImage) -> Iterator[Image.Image]:
    with image.file.open() as file, Image.open(file, formats=["PNG"]) as photo:
        yield photo


def _cut(photo: Image.Image, where: Box) -> bytes:
    part = photo.crop(where)
    part.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    part.save(file, "WEBP", quality=85)
    return file.getvalue()
