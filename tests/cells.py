"""Folders of drawn cells, named and sorted as data sets are."""

import json
from pathlib import Path

from PIL import Image, ImageChops

from ml.drawing import draw_cell

DEEP_STAIN = (90, 70, 150)
LIGHT = (230, 220, 210)


def write_cells(folder: Path, slides: int, each: int, size: int = 40, easy: bool = False) -> Path:
    """`each` cells of both classes on every slide, under names like those of the NIH.

    Parasitized ones are `easy` to tell when they are dark and colours are not levelled: some thirty
    steps of training are enough then.
    """
    for name, parasitized in (("Parasitized", True), ("Uninfected", False)):
        (folder / name).mkdir(parents=True)
        for number in range(slides * each):
            slide, cell = divmod(number, each)
            cell += each * parasitized
            file = f"C{slide}P{slide + 50}ThinF_IMG_20150918_{slide:06}_cell_{cell}.png"
            image = draw_cell(number, parasitized, size)
            if easy and parasitized:
                image = dark(image)
            image.save(folder / name / file)
    return folder


def write_other_lab(folder: Path, cells: int, no_cells: int, size: int = 40) -> Path:
    """Healthy cells on the light ground of a photograph, and places without any."""
    for name in ("Uninfected", "Other"):
        (folder / name).mkdir(parents=True)
    for number in range(cells):
        image = draw_cell(500 + number, False, size, LIGHT)
        image.save(folder / "Uninfected" / f"field_cell_{number}.png")
    for number in range(no_cells):
        image = Image.effect_noise((size, size), number + 1).convert("RGB")
        image.save(folder / "Other" / f"field_other_{number}.png")
    return folder


def write_fields(folder: Path, fields: int, size: int = 40) -> Path:
    """Annotated fields with four healthy and two parasitized cells each, none of which touch."""
    (folder / "images").mkdir(parents=True)
    annotations = []
    for number in range(fields):
        image = Image.new("RGB", (5 * size, 4 * size), LIGHT)
        cells = []
        for place in range(6):
            parasitized = place < 2
            x, y = (0.6 + place % 3 * 1.4) * size, (0.6 + place // 3 * 1.6) * size
            image.paste(draw_cell(10 * number + place, parasitized, size, LIGHT), (int(x), int(y)))
            kind = "ring" if parasitized else "red blood cell"
            cells.append({"type": kind, "box": [int(x), int(y), size, size]})
        image.save(folder / "images" / f"field_{number:02}.png")
        annotations.append({"image": f"field_{number:02}.png", "cells": cells})
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def dark(image: Image.Image) -> Image.Image:
    """The cell in a deep stain; what is black around it stays black."""
    return ImageChops.multiply(image, Image.new("RGB", image.size, DEEP_STAIN))
