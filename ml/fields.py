"""A whole field → the red cells in it, each with a box."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]
"""x, y, width, height in whole pixels of the upright image."""


@dataclass(frozen=True)
class FoundCell:
    box: Box
    score: float
    """How sure the finder is that a red cell is there, 0 to 1."""
    edge: bool
    """Cut off by the edge of the image: shown, never counted."""


class Finder:
    """Finds the red cells of a field."""

    name = "draft"

    @classmethod
    def load(cls, threads: int | None = None) -> "Finder":
        """The finder that comes with the project."""
        return cls()

    def find(self, image: Image.Image) -> list[FoundCell]:
        """The red cells of an upright RGB field, in reading order."""
        pixels = np.asarray(image)
        green = cv2.GaussianBlur(np.ascontiguousarray(pixels[..., 1]), (5, 5), 0)
        _, dark = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
        outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines]
        if not boxes:
            return []
        side = float(np.median([max(box[2:]) for box in boxes if max(box[2:]) > 20] or [1]))
        found = [box for box in boxes if 0.5 * side < max(box[2:]) < 2 * side]
        height, width = green.shape
        return [
            FoundCell(
                (x, y, w, h), 1.0, x <= 1 or y <= 1 or x + w >= width - 1 or y + h >= height - 1
            )
            for x, y, w, h in sorted(found, key=lambda box: (box[1] // max(1, int(side)), box[0]))
        ]
