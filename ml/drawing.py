"""Drawn red cells and fields: for the probes of an artifact, the tests and the documentation.

They are no substitute for real cells in training; they hold no one's blood.
"""

import math
import random

from PIL import Image, ImageDraw, ImageFilter

SCALE = 2


def draw_cell(
    seed: int, parasitized: bool, size: int = 132, background: tuple[int, int, int] = (0, 0, 0)
) -> Image.Image:
    """One stained red cell cut out on a plain background; RGB, size x size."""
    chance = random.Random(seed * 2 + parasitized)
    side = size * SCALE
    image = Image.new("RGB", (side, side), background)
    _cell(image, chance, (side / 2, side / 2), side * chance.uniform(0.36, 0.45), parasitized)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def draw_field(
    seed: int, cells: int = 60, parasitized: int = 2, size: tuple[int, int] = (1280, 960)
) -> Image.Image:
    """A microscope field with that many whole cells, none of which touch."""
    chance = random.Random(seed)
    image = Image.new("RGB", size, (226, 224, 214))
    columns = math.ceil(math.sqrt(cells * size[0] / size[1]))
    rows = math.ceil(cells / columns)
    width, height = size[0] / columns, size[1] / rows
    radius = 0.36 * min(width, height)
    for index in range(cells):
        x = (index % columns + 0.5) * width + chance.uniform(-0.1, 0.1) * radius
        y = (index // columns + 0.5) * height + chance.uniform(-0.1, 0.1) * radius
        _cell(image, chance, (x, y), radius * chance.uniform(0.9, 1.1), index < parasitized)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _cell(
    image: Image.Image,
    chance: random.Random,
    centre: tuple[float, float],
    radius: float,
    parasitized: bool,
) -> None:
    draw = ImageDraw.Draw(image)
    red, green, blue = 208 + chance.randint(-14, 14), 152 + chance.randint(-12, 12), 160
    outline = [
        _on_rim(centre, radius * chance.uniform(0.95, 1.05), step / 24) for step in range(24)
    ]
    draw.polygon(outline, fill=(red, green, blue))
    for step in range(12):  # the pale centre
        share = 0.55 * (1 - step / 12)
        light = 2 * step
        _disc(draw, centre, radius * share, (min(255, red + light), green + light, blue + light))
    if parasitized:
        _ring(draw, chance, centre, radius)


def _ring(
    draw: ImageDraw.ImageDraw,
    chance: random.Random,
    centre: tuple[float, float],
    radius: float,
) -> None:
    """A ring stage: a pale vacuole in a purple rim, with one dark chromatin dot."""
    turn = chance.random()
    place = _on_rim(centre, radius * chance.uniform(0.2, 0.5), turn)
    ring = radius * chance.uniform(0.18, 0.26)
    _disc(draw, place, ring, (112, 58, 132))
    _disc(draw, place, ring * 0.55, (196, 148, 170))
    _disc(draw, _on_rim(place, ring, chance.random()), ring * 0.45, (82, 20, 92))


def _on_rim(centre: tuple[float, float], radius: float, turn: float) -> tuple[float, float]:
    angle = 2 * math.pi * turn
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def _disc(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    radius: float,
    colour: tuple[int, int, int],
) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
