"""Many files in order → one line for each, with decoding beside the engine and flat memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets import is_ignored
from ml.engines import cores
from ml.fields import kind_of
from ml.images import UnreadableImage, read_image, resized
from ml.predictor import Predictor

CHUNK = 64
FIELD_NOT_READ = "A whole field: not read yet. Send crops of single red cells."

Line = dict[str, Any]


@dataclass(frozen=True)
class Decoded:
    """A file on its way: the network's pixels, or why there are none."""

    path: str
    kind: str | None
    pixels: np.ndarray | None
    reason: str = ""


def walk(paths: Iterable[str], on_skipped: Callable[[str], None]) -> Iterator[str]:
    """The files named, and those below the folders named, sorted within each."""
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path, on_skipped)
        else:
            yield path


def _below(folder: str, on_skipped: Callable[[str], None]) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_ignored(Path(entry.name)):
            on_skipped(entry.path)
        elif entry.is_dir():
            yield from _below(entry.path, on_skipped)
        else:
            yield entry.path


def classify(paths: Iterable[str], predictor: Predictor, kind: str = "auto") -> Iterator[Line]:
    """One line for each file, in order; while a chunk is computed the next ones are decoded."""
    size = predictor.manifest.image_size
    files = iter(paths)
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[list[Future[Decoded]]] = deque()

        def submit() -> None:
            chunk = [pool.submit(_decode, path, kind, size) for path in islice(files, CHUNK)]
            if chunk:
                waiting.append(chunk)

        submit()
        while waiting:
            submit()
            yield from _lines([future.result() for future in waiting.popleft()], predictor)


def _decode(path: str, kind: str, size: int) -> Decoded:
    try:
        image = read_image(Path(path))
        found = kind_of(image) if kind == "auto" else kind
        return Decoded(path, found, resized(image, size) if found == "cell" else None)
    except UnreadableImage as error:
        return Decoded(path, None if kind == "auto" else kind, None, str(error))


def _lines(chunk: list[Decoded], predictor: Predictor) -> list[Line]:
    cells = [decoded.pixels for decoded in chunk if decoded.pixels is not None]
    predictions = iter(predictor.predict_pixels(np.stack(cells)) if cells else [])
    lines = []
    for decoded in chunk:
        line = _empty_line(decoded, predictor.manifest.name)
        if decoded.pixels is not None:
            said = next(predictions)
            line |= {
                "label": said.label,
                "probability": round(said.probability, 6),
                "decision": said.decision,
                "reasons": list(said.reasons),
            }
        lines.append(line)
    return lines


def _empty_line(decoded: Decoded, model: str) -> Line:
    line: Line = {
        "path": decoded.path,
        "kind": decoded.kind,
        "label": None,
        "probability": None,
        "decision": "rejected",
        "reasons": [decoded.reason or FIELD_NOT_READ],
        "model": model,
    }
    if decoded.kind == "field":
        line |= {"cells": [], "cell_count": None, "parasitized_count": None}
    return line


def is_unreadable(line: Line) -> bool:
    return line["label"] is None and line["reasons"] != [FIELD_NOT_READ]
