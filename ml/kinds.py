"""Whether a photograph is a whole microscope field or a crop of one red cell."""

import cv2
import numpy as np
from PIL import Image

FIELD_SIDE = 400
"""Pixels: no smaller photograph is taken for a field."""
FIELD_OBJECT = 0.2
"""In a field no object's inscribed circle has a larger radius, as a share of the shorter side."""
PAINTED_BLACK = 40


def kind_of(image: Image.Image) -> str:
    """`"field"` where an image is plainly a whole microscope field, else `"cell"`.

    A crop is filled by one object, a field by many small ones: the test is the largest circle
    that fits into what is darker than the background. A border painted black is that of a cell
    cut out by a program.
    """
    if min(image.size) < FIELD_SIDE:
        return "cell"
    small = image.copy()
    small.thumbnail((320, 320), Image.Resampling.BOX)
    pixels = np.asarray(small)
    if _border_brightness(pixels) < PAINTED_BLACK:
        return "cell"
    return "field" if _largest_radius(pixels) < FIELD_OBJECT * min(small.size) else "cell"


def _border_brightness(pixels: np.ndarray) -> float:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return float(np.median(border.max(axis=1)))


def _largest_radius(pixels: np.ndarray) -> float:
    return float(cv2.distanceTransform(np.pad(dark(pixels), 1), cv2.DIST_L2, 3).max())


def dark(pixels: np.ndarray) -> np.ndarray:
    """What is darker than the background, uint8 0 or 1 (h, w): Otsu's threshold on green, where
    stained cells absorb most."""
    green = cv2.GaussianBlur(np.ascontiguousarray(pixels[..., 1]), (5, 5), 0)
    _, mask = cv2.threshold(green, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    return np.asarray(mask)
