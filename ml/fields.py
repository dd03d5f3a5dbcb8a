"""A whole field → the red cells in it, each with a box.

The finder's network knows cells of one size. How large they are in a photograph is estimated from
its dark objects, then read off the cells that were found, until both agree.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from ml.artifact import ArtifactError, digest
from ml.boxes import Box
from ml.engines import cores, onnx_session
from ml.kinds import dark

FINDERS = Path(__file__).parent / "finders"
FINDER = "finder.onnx"
MANIFEST = "manifest.json"
KINDS = ("red cell", "white cell", "platelet")
"""What the network finds; only red cells leave this room."""

STRIDE, GRAIN = 4, 16
"""Pixels between two places of the network's map; its input's sides are multiples of the grain."""
WHITE_PERCENTILE = 95
BEST = (0.8, 1.25)
"""A photograph is read again at another size unless its usual cell, in the network's input, is as
large as those it learnt from, within these factors."""
MORE_LOOKS = 3
EXPLAINED = 0.3
"""Of what is dark in a photograph: so much lies in boxes if it was read at its size. In 305
annotated fields at least 0.34 did; at a quarter of the size, or at four times, mostly below 0.1."""
FEWEST_ACROSS = 2.5
"""Cells side by side in the shorter side of a field."""
LEAST_SIDE = 16
"""Pixels of a cell that is looked for: half of what the network learnt from."""
SEARCH_SIDE = 640
MOST_PIXELS = 1600 * 1200
"""Of the network's input: more than 3,000 cells of its size."""


@dataclass(frozen=True)
class FoundCell:
    box: Box
    score: float
    """How sure the finder is that a red cell is there, 0 to 1."""
    edge: bool
    """Cut off by the edge of the image: shown, never counted."""


@dataclass(frozen=True)
class FinderManifest:
    name: str
    side: float
    """Of a usual cell's box in the network's input, in pixels."""
    threshold: float
    """The least score of a cell that counts as found."""
    overlap: float
    """Two boxes that share more than this (intersection over union) are one cell."""
    edge: float
    """A box that ends so close to the image's edge is cut off, as a share of a cell's side."""
    created: str
    data: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    """Of the network's file."""

    @classmethod
    def read(cls, folder: Path) -> "FinderManifest":
        """ArtifactError where it is missing or of another form."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"The finder in {folder} cannot be read: {error}.") from None

    def write(self, folder: Path) -> None:
        values = asdict(self) | {"sha256": digest(folder / FINDER)}
        (folder / MANIFEST).write_text(json.dumps(values, indent=2) + "\n")


class Session(Protocol):
    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 (1, 3, h, w) → logits of centres (1, kinds, h/4, w/4), sides (1, 4, h/4, w/4)."""


class OnnxSession:
    def __init__(self, path: Path, threads: int) -> None:
        self.session = onnx_session(path, threads)

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centres, sides = self.session.run(["centres", "sides"], {"field": batch})
        return centres, sides


@dataclass(frozen=True)
class Finder:
    """Finds the red cells of a field."""

    manifest: FinderManifest
    session: Session

    @classmethod
    def load(cls, folder: Path | None = None, threads: int | None = None) -> "Finder":
        """The finder in a folder, by default the one that comes with the project.

        ArtifactError where it is missing, altered or does not load.
        """
        folder = folder or shipped_finder()
        manifest = FinderManifest.read(folder)
        path = folder / FINDER
        if not path.is_file() or digest(path) != manifest.sha256:
            raise ArtifactError(f"{path} is missing or not the file its manifest describes.")
        try:
            return cls(manifest, OnnxSession(path, threads or cores()))
        except Exception as error:
            raise ArtifactError(f"The finder in {folder} cannot be loaded: {error}") from error

    @property
    def name(self) -> str:
        return self.manifest.name

    def find(self, image: Image.Image) -> list[FoundCell]:
        """The red cells of an upright RGB field, line by line."""
        pixels = np.asarray(image)
        look = self._best_look(pixels)
        for _ in range(MORE_LOOKS):
            seen = look.usual_side
            if (
                seen is None
                or 0.78 * self.manifest.side <= seen * look.scale <= 1.25 * self.manifest.side
            ):
                break
            again = self._look(pixels, seen)
            if again.covered <= look.covered:
                break
            look = again
        return self._cells(look, image.size)

    def _best_look(self, pixels: np.ndarray) -> "Look":
        """The first guess may be of something within the cells, so what is larger is tried as well;
        or of a crowd of them or a shadow: so is what is smaller, until the dark is explained."""
        mask, scale = shade(pixels)
        enough = EXPLAINED * float(mask.mean()) * pixels.shape[0] * pixels.shape[1]
        side, most = usual_side(mask, scale), min(pixels.shape[:2]) / FEWEST_ACROSS
        best = self._look(pixels, min(side, most))
        for larger in _doubled(side, most):
            look = self._look(pixels, larger)
            if look.covered > best.covered:
                best = look
            elif best.covered >= enough:
                return best
        for smaller in _halved(min(side, most)):
            if best.covered >= enough:
                break
            best = max(best, self._look(pixels, smaller), key=lambda look: look.covered)
        return best

    def _scale(self, pixels: np.ndarray, side: float) -> float:
        most = (MOST_PIXELS / (pixels.shape[0] * pixels.shape[1])) ** 0.5
        return min(self.manifest.side / side, most, 2.0)

    def _look(self, pixels: np.ndarray, side: float) -> "Look":
        scale = self._scale(pixels, side)
        centres, sides = self.session(as_input(rescaled(pixels, scale)))
        boxes, scores = decode(centres[0], sides[0], self.manifest)
        return Look(boxes / scale, scores, scale)

    def _cells(self, look: "Look", size: tuple[int, int]) -> list[FoundCell]:
        side = look.usual_side
        if side is None:
            return []
        limits = np.array([*size, *size], float)
        edge = np.minimum(look.boxes, limits - look.boxes).min(axis=1) < self.manifest.edge * side
        whole = np.clip(look.boxes, 0, limits).round().astype(int)
        order = sorted(range(len(whole)), key=lambda i: (look.boxes[i, 1] // side, whole[i, 0]))
        return [
            FoundCell(_box(whole[i]), round(float(look.scores[i]), 3), bool(edge[i]))
            for i in order
            if (whole[i, 2:] > whole[i, :2]).all()
        ]


@dataclass(frozen=True)
class Look:
    """What the network finds in a field that is shown to it at one size."""

    boxes: np.ndarray
    """(n, 4) left, top, right, lower in the image's pixels."""
    scores: np.ndarray
    scale: float

    @cached_property
    def areas(self) -> np.ndarray:
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1))

    @property
    def covered(self) -> float:
        """How much of the field it is sure to be cells: greatest at the size it was trained at."""
        return float((self.scores * self.areas).sum())

    @property
    def usual_side(self) -> float | None:
        """Of its cells in the image's pixels; None where there is none."""
        return float(np.sqrt(np.median(self.areas))) if len(self.areas) else None


def _doubled(side: float, most: float) -> Iterator[float]:
    while 2 * side <= most:
        side *= 2
        yield side


def _halved(side: float) -> Iterator[float]:
    while side / 2 >= LEAST_SIDE:
        side /= 2
        yield side


def _box(corners: np.ndarray) -> Box:
    left, top, right, lower = (int(value) for value in corners)
    return left, top, right - left, lower - top


def shipped_finder() -> Path:
    found = sorted(path.parent for path in FINDERS.glob(f"*/{MANIFEST}"))
    if not found:
        raise ArtifactError(f"No finder is shipped in {FINDERS}: train one with train_finder.")
    return found[-1]


def rescaled(pixels: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(GRAIN, round(side * scale)) for side in pixels.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how))


def as_input(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) → float32 (1, 3, h', w'): the background's light is brought to one, and the
    right and lower sides are filled up to the grain with it."""
    white = np.maximum(np.percentile(pixels[::4, ::4], WHITE_PERCENTILE, axis=(0, 1)), 1)
    values = (pixels * (4 / white).astype(np.float32) - 3).clip(-3, 1.5).astype(np.float32)
    height, width = (-side % GRAIN for side in pixels.shape[:2])
    filled = np.pad(values, ((0, height), (0, width), (0, 0)), constant_values=1)
    return np.ascontiguousarray(filled.transpose(2, 0, 1)[None])


def decode(
    centres: np.ndarray, sides: np.ndarray, manifest: FinderManifest
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of one field → corners of red cells (n, 4) in the network's pixels, scores (n,)."""
    best = centres.argmax(axis=0)
    score = 1 / (1 + np.exp(-centres.max(axis=0)))
    smooth = cv2.dilate(score, np.ones((3, 3), np.uint8))
    y, x = np.nonzero((score >= smooth) & (score >= manifest.threshold))
    kind, found = best[y, x], score[y, x]
    place = (np.stack([x, y, x, y], axis=1) + 0.5) * STRIDE
    boxes = place + sides[:, y, x].T * np.array([-1, -1, 1, 1]) * manifest.side
    kept = suppressed(boxes, found, manifest.overlap)
    kept = kept[kind[kept] == 0]
    return boxes[kept], found[kept]


def suppressed(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of the boxes that no surer box covers, surest first."""
    order = np.argsort(-scores, kind="stable")
    shared = overlaps(boxes[order], boxes[order])
    kept = np.ones(len(order), bool)
    for index in range(len(order)):
        if kept[index]:
            kept[index + 1 :] &= shared[index, index + 1 :] <= overlap
    return order[kept]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of corners (n, 4) with corners (m, 4): (n, m)."""
    least = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(least - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None).prod(axis=2)
    areas = [np.clip(c[:, 2:] - c[:, :2], 0, None).prod(axis=1) for c in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def shade(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """What is dark in a photograph, in a smaller picture of it, and that one's scale."""
    scale = min(1.0, SEARCH_SIDE / max(pixels.shape[:2]))
    return dark(rescaled(pixels, scale)), scale


def usual_side(mask: np.ndarray, scale: float) -> float:
    """A first guess of a cell's side in pixels, from what is darker than the background.

    The inscribed circles of the dark objects, holes filled: their radii at the ridges' tops.
    """
    mask = mask.copy()
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(mask, outlines, -1, 1, cv2.FILLED)
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)
    tops = depth[(depth >= cv2.dilate(depth, np.ones((7, 7), np.uint8))) & (depth > 2)]
    if not len(tops):
        return max(mask.shape) / scale / 12
    tops = tops[tops > 0.4 * np.percentile(tops, 90)]
    return float(2.3 * np.median(tops) / scale)
