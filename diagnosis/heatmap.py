"""A small activation map, drawn over its photograph. Pillow only: the web process has no numpy."""

import io
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image

# From a logit difference that hardly counts to one that settles the matter alone. One scale for
# all images: a cell in which nothing was found stays clear.
FAINT, FULL = 2.0, 18.0
LONG_SIDE = 256
LEVELS = 256
# Lightness rises evenly along the ramp, so its order is seen with every colour vision.
RAMP = ((20, 122, 162), (24, 164, 153), (92, 200, 99), (180, 222, 44), (253, 231, 37))
OPACITY = 0.6
# What is below this share of an image's own strongest place is left clear.
CLEAR_BELOW = 0.4


def draw(grid: Sequence[Sequence[float]], width: int, height: int) -> bytes:
    """Rows of logit differences → a PNG with transparency, in the shape of the photograph.

    The network saw the photograph padded to a centred square, so the map covers that square.
    """
    scale = LONG_SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    levels = _levels(grid).resize((LONG_SIDE, LONG_SIDE), Image.Resampling.BICUBIC)
    left, top = (LONG_SIDE - size[0]) // 2, (LONG_SIDE - size[1]) // 2
    levels = levels.crop((left, top, left + size[0], top + size[1]))
    tables = [*_colour_tables(), _alpha_table(max(map(max, grid)))]
    file = io.BytesIO()
    Image.merge("RGBA", [levels.point(table) for table in tables]).save(file, "PNG", optimize=True)
    return file.getvalue()


def _levels(grid: Sequence[Sequence[float]]) -> Image.Image:
    image = Image.new("L", (len(grid[0]), len(grid)))
    image.putdata([_level(value) for row in grid for value in row])
    return image


def _level(value: float) -> int:
    share = (value - FAINT) / (FULL - FAINT)
    return round(min(max(share, 0.0), 1.0) * (LEVELS - 1))


def _colour_tables() -> list[list[int]]:
    """Level → red, green and blue."""
    colours = [_colour(level / (LEVELS - 1)) for level in range(LEVELS)]
    return [[colour[band] for colour in colours] for band in range(3)]


def _alpha_table(strongest: float) -> list[int]:
    """Level → how much of the colour lies over the photograph."""
    clear, full = _level(CLEAR_BELOW * strongest), max(_level(0.8 * strongest), 1)
    shares = ((level - clear) / max(full - clear, 1) for level in range(LEVELS))
    return [round(255 * OPACITY * min(max(share, 0.0), 1.0)) for share in shares]


def _colour(share: float) -> tuple[int, ...]:
    position = share * (len(RAMP) - 1)
    index = min(int(position), len(RAMP) - 2)
    first, second = list(pairwise(RAMP))[index]
    rest = position - index
    return tuple(round(a + (b - a) * rest) for a, b in zip(first, second, strict=True))
