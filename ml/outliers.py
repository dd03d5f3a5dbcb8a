"""Pictures of what is no red cell, drawn or made from cells: to know such input when it comes.

Outlier exposure: Hendrycks, Mazeika & Dietterich 2019. What is drawn need not look real; it has to
lie around the red cells on all sides, so that what is no cell falls among it.
"""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 128
WORDS = "Name Date Result Total of the patient 12 mg/dl page invoice negative sum 3.40 blood report"

Draw = np.random.Generator
Pixels = np.ndarray


def drawn(count: int, seed: int = 0) -> list[Image.Image]:
    """Pictures of every kind that we can draw in turn, 128 x 128 RGB."""
    chance = np.random.default_rng(seed)
    return [Image.fromarray(_DRAWN[number % len(_DRAWN)](chance)) for number in range(count)]


def spoilt(cells: np.ndarray, count: int, seed: int = 0) -> dict[str, list[Image.Image]]:
    """uint8 cells (n, size, size, 3) → for each way, `count` pictures that cannot be read as one.

    Blurred beyond use, many small ones in one picture, and no more than a part of one.
    """
    chance = np.random.default_rng(seed)
    return {
        kind: [Image.fromarray(spoil(cells, chance)) for _ in range(count)]
        for kind, spoil in _SPOILT.items()
    }


def _colour(chance: Draw) -> Pixels:
    """Any, but often pale or pink, as paper and films are."""
    if chance.random() < 0.5:
        return chance.integers(0, 256, 3)
    return np.clip(chance.normal((215, 190, 200), 30), 0, 255).astype(int)


def _plain(chance: Draw) -> Pixels:
    """One colour, or one that fades into another, with a little noise."""
    first, second = _colour(chance), _colour(chance)
    slope = np.linspace(0, 1, SIDE) * (chance.random() < 0.6)
    angle = chance.random()
    share = (angle * slope[:, None] + (1 - angle) * slope)[..., None]
    picture = first * (1 - share) + second * share
    return _bytes(picture + chance.normal(0, chance.uniform(0, 6), (SIDE, SIDE, 3)))


def _noise(chance: Draw) -> Pixels:
    channels = int(chance.choice([1, 3]))
    values = chance.normal(chance.uniform(60, 200), chance.uniform(15, 90), (SIDE, SIDE, channels))
    return _bytes(np.repeat(values, 3 // channels, axis=2))


def _clouds(chance: Draw) -> Pixels:
    """Noise at every scale, as landscapes and tissue have it: 1/f spectra (Field 1987)."""
    picture = np.zeros((SIDE, SIDE, 3))
    shared = chance.uniform(0.3, 0.95)
    for octave in range(1, 7):
        grid = chance.normal(0, 1, (2**octave, 2**octave, 4))
        layer = cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        mixed = shared * layer[..., 3:] + (1 - shared) * layer[..., :3]
        picture += mixed * chance.uniform(0.5, 1.5) / octave ** chance.uniform(0, 1.5)
    return _bytes(_colour(chance) + picture * chance.uniform(15, 70))


def _writing(chance: Draw) -> Pixels:
    """A piece of a printed page or a screen."""
    paper, ink = _colour(chance), _colour(chance)
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in paper))
    draw = ImageDraw.Draw(image)
    size = int(chance.integers(7, 34))
    font = ImageFont.load_default(size)
    words = WORDS.split()
    for top in range(int(chance.integers(-size, 4)), SIDE, int(size * chance.uniform(1.1, 2))):
        line = " ".join(chance.choice(words, 8))
        draw.text((int(chance.integers(-40, 20)), top), line, tuple(int(v) for v in ink), font)
    return np.asarray(image.rotate(chance.uniform(-8, 8), fillcolor=tuple(int(v) for v in paper)))


def _shapes(chance: Draw) -> Pixels:
    """Things with straight and curved edges: rooms, objects, drawings."""
    picture = np.full((SIDE, SIDE, 3), _colour(chance), np.uint8)
    for _ in range(int(chance.integers(2, 14))):
        colour = tuple(int(v) for v in _colour(chance))
        points = chance.integers(-30, SIDE + 30, (int(chance.integers(3, 6)), 2)).astype(np.int32)
        if chance.random() < 0.5:
            cv2.fillPoly(picture, [points], colour)
        else:
            cv2.polylines(picture, [points], False, colour, int(chance.integers(1, 12)))
    return cv2.GaussianBlur(picture, (0, 0), chance.uniform(0.3, 2.5))


def _stripes(chance: Draw) -> Pixels:
    """Waves and checks, from rulers to textiles."""
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = [
        np.sin((x * np.cos(a) + y * np.sin(a)) / chance.uniform(1, 14))
        for a in chance.uniform(0, np.pi, int(chance.integers(1, 3)))
    ]
    share = (np.prod(waves, axis=0)[..., None] + 1) / 2
    if chance.random() < 0.5:
        share = share.round()
    return _bytes(_colour(chance) * share + _colour(chance) * (1 - share))


def _film(chance: Draw) -> Pixels:
    """A thick film, or a film between its cells: stained dirt and nuclei on a pale ground."""
    picture = _clouds(chance) * 0.25 + chance.normal((205, 190, 200), 15) * 0.75
    picture = np.ascontiguousarray(_bytes(picture))
    for _ in range(int(chance.integers(0, 30))):
        centre = tuple(int(v) for v in chance.integers(0, SIDE, 2))
        axes = tuple(int(v) for v in chance.integers(1, chance.choice([4, 8, 30]), 2))
        colour = tuple(int(v) for v in np.clip(chance.normal((105, 60, 140), 25), 0, 255))
        cv2.ellipse(picture, centre, axes, chance.uniform(0, 180), 0, 360, colour, -1)
    return cv2.GaussianBlur(picture, (0, 0), chance.uniform(0.5, 2.5))


_DRAWN: tuple[Callable[[Draw], Pixels], ...] = (
    _plain,
    _noise,
    _clouds,
    _writing,
    _shapes,
    _stripes,
    _film,
)


def _one(cells: np.ndarray, chance: Draw) -> Pixels:
    return cells[int(chance.integers(len(cells)))]


def _blurred(cells: np.ndarray, chance: Draw) -> Pixels:
    side = cells.shape[1]
    return cv2.GaussianBlur(_one(cells, chance), (0, 0), side * chance.uniform(0.07, 0.2))


def _many(cells: np.ndarray, chance: Draw) -> Pixels:
    """A mosaic, as a part of a field shows many cells."""
    side, across = cells.shape[1], int(chance.integers(3, 7))
    rows = [np.hstack([_one(cells, chance) for _ in range(across)]) for _ in range(across)]
    return cv2.resize(np.vstack(rows), (side, side), interpolation=cv2.INTER_AREA)


def _part(cells: np.ndarray, chance: Draw) -> Pixels:
    """A piece of a cell so enlarged that it shows no more of it."""
    side = cells.shape[1]
    piece = max(4, int(side * chance.uniform(0.08, 0.2)))
    top, left = chance.integers(side // 4, 3 * side // 4 - piece, 2)
    cut = _one(cells, chance)[top : top + piece, left : left + piece]
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC)


_SPOILT: dict[str, Callable[[np.ndarray, Draw], Pixels]] = {
    "blurred": _blurred,
    "many": _many,
    "part": _part,
}


def _bytes(picture: Pixels) -> Pixels:
    return np.clip(picture, 0, 255).astype(np.uint8)
