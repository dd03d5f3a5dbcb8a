"""How a model does on cells cut from annotated fields of a laboratory it never saw.

    python -m benchmarks.other_laboratory FOLDER [--model NAME_OR_DIR]

FOLDER holds `images/` and `annotations.json`, a list of
`{"image", "cells": [{"type", "box": [x, y, w, h]}]}` in pixels. Every whole box becomes one crop;
red blood cells count as uninfected, cells marked difficult are left out, the rest are parasitized
(gametocytes too). Intervals are by field.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ml.artifact import find_model
from ml.evaluation import evaluate, report
from ml.images import read_image, resized
from ml.predictor import Predictor

UNINFECTED, LEFT_OUT = "red blood cell", "difficult"
MARGIN = 0.1


def crops(folder: Path) -> Iterator[tuple[Image.Image, int, str]]:
    """(crop, 1 for parasitized, field) of every cell that lies whole in its field."""
    for field in json.loads((folder / "annotations.json").read_text()):
        image = read_image(folder / "images" / field["image"])
        for cell in field["cells"]:
            x, y, width, height = cell["box"]
            dx, dy = MARGIN * width, MARGIN * height
            box = (round(x - dx), round(y - dy), round(x + width + dx), round(y + height + dy))
            inside = min(box[:2]) >= 0 and box[2] <= image.width and box[3] <= image.height
            if inside and cell["type"] != LEFT_OUT:
                yield image.crop(box), int(cell["type"] != UNINFECTED), field["image"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="a trained model; by default the shipped one")
    options = parser.parse_args()
    predictor = Predictor.load(find_model(options.model))
    size = predictor.manifest.image_size
    cut = [(resized(crop, size), truth, field) for crop, truth, field in crops(options.folder)]
    logits = predictor.logits(np.stack([pixels for pixels, _, _ in cut]))
    probability = Predictor.probabilities(logits, predictor.manifest.temperature)
    truth, fields = [row[1] for row in cut], [row[2] for row in cut]
    result = evaluate(probability, truth, fields, predictor.manifest.thresholds)
    sys.stdout.write(f"{predictor.manifest.name}\n\n{report(result)}\n")


if __name__ == "__main__":
    main()
