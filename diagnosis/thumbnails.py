"""A photograph as pages show it: small in a grid of many, or whole in far fewer bytes than kept."""

import io
from functools import lru_cache
from threading import Lock
from typing import IO

from django.core.files import File
from PIL import Image

from .models import SmearImage

SIDE = 320
LONGEST = 16_383
"""Pixels of a WebP's side."""
QUALITY = 94
"""At which 425 of the 426 parasites of the IML fields keep a PSNR above 40 dB."""

_one_at_a_time = Lock()


def is_needed(width: int, height: int) -> bool:
    return max(width, height) > 1.5 * SIDE


def has_view(width: int, height: int) -> bool:
    return is_needed(width, height) and max(width, height) <= LONGEST


def thumbnail(file: "IO[bytes] | File[bytes]") -> bytes:
    small = io.BytesIO()
    with Image.open(file) as image:
        image.thumbnail((SIDE, SIDE), reducing_gap=3)
        image.save(small, "WEBP", quality=88)
    return small.getvalue()


def view(image: SmearImage) -> bytes:
    """A WebP of its full size. Raises FileNotFoundError.

    To make one of 50 megapixels takes half a gigabyte, so there is never more than one in the
    making; whoever asks for the same one meanwhile gets it, too.
    """
    with _one_at_a_time:
        return _view(image)


@lru_cache(maxsize=8)
def _view(image: SmearImage) -> bytes:
    """Both readers of a slide ask for it, and it never changes."""
    whole = io.BytesIO()
    with image.file.open() as file, Image.open(file) as photo:
        photo.save(whole, "WEBP", quality=QUALITY, method=2)
    return whole.getvalue()
