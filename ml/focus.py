"""How sharp a field is, whatever its magnification: too blurred a parasite cannot be seen."""

import cv2
import numpy as np

from ml.fields import rescaled

SIDE = 32
"""Of a red cell, to which the field is scaled: finer detail than this no network is shown."""
FINE, COARSE = (0.6, 1.2), (2.4, 4.8)
"""Sigmas in pixels: edges and chromatin; the cells themselves."""
STRONG = 98
"""Percentile: blur flattens the strongest edges first, and a mostly empty field has few."""
LEAST = 0.2
"""The least of 426 sharp fields of IML and BCCD is 0.29; with a Gaussian blur of a twelfth of a
cell's side nearly all lie below 0.19, and a sixth fewer cells are found."""


def focus(pixels: np.ndarray, side: float) -> float:
    """The strongest fine detail of uint8 (h, w, 3) by the strongest coarse, in differences of
    Gaussians; `side` is that of its usual cell in pixels. Sharp fields lie near 0.45."""
    # Green, where stained blood differs most from its ground.
    green = rescaled(pixels[..., 1], min(1.0, SIDE / side)).astype(np.float32)
    fine, coarse = (_strength(green, *sigmas) for sigmas in (FINE, COARSE))
    return fine / max(coarse, 1.0)  # in grey levels: nothing there is not sharp


def _strength(grey: np.ndarray, narrow: float, wide: float) -> float:
    between = cv2.GaussianBlur(grey, (0, 0), narrow) - cv2.GaussianBlur(grey, (0, 0), wide)
    return float(np.percentile(np.abs(between), STRONG))
