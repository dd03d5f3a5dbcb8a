"""A photograph small enough for a grid of many."""

import io
from typing import IO

from django.core.files import File
from PIL import Image

SIDE = 320


def is_needed(width: int, height: int) -> bool:
    return max(width, height) > 1.5 * SIDE


def thumbnail(file: "IO[bytes] | File[bytes]") -> bytes:
    small = io.BytesIO()
    with Image.open(file) as image:
        image.thumbnail((SIDE, SIDE), reducing_gap=3)
        image.save(small, "WEBP", quality=88)
    return small.getvalue()
