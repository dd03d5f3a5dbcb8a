"""Pointing game: does the peak of the activation map lie in the parasitized cell?

    python -m benchmarks.pointing FOLDER [--blocks N --test-blocks N...] [--model NAME_OR_DIR]

FOLDER holds annotated fields (see `ml.annotations`). Every parasitized cell is cut out with half
its size around it on each side, so that its neighbours show; its box is then the middle quarter
of the picture's area, which is the chance level. Zhang et al. 2018, "Top-down neural attention".
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from ml.annotations import crops, of_blocks, read_annotations
from ml.artifact import find_model
from ml.predictor import Predictor

MARGIN = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--test-blocks", type=int, nargs="+", help="by default all of them")
    parser.add_argument("--model", help="a trained model; by default the shipped one")
    options = parser.parse_args()
    predictor = Predictor.load(find_model(options.model))
    fields = of_blocks(read_annotations(options.folder), options.blocks, options.test_blocks)
    cut = [crop.image for crop in crops(options.folder, fields, (MARGIN, MARGIN), parasitized=True)]
    hits = [_hits(np.array(said.activation)) for said in predictor.predict(cut)]
    sys.stdout.write(
        f"{predictor.manifest.name}: the peak lies in the cell in {sum(hits)} of {len(hits)} "
        f"pictures, {np.mean(hits):.3f}; by chance in 0.250\n"
    )


def _hits(activation: np.ndarray) -> bool:
    """Whether the middle of the strongest place lies in the middle half of either side."""
    place = np.unravel_index(activation.argmax(), activation.shape)
    centre = (np.array(place) + 0.5) / activation.shape
    edge = MARGIN / (1 + 2 * MARGIN)
    return bool((centre >= edge).all() and (centre <= 1 - edge).all())


if __name__ == "__main__":
    main()
