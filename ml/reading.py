"""Many files in order → one line for each, with decoding beside the engine and flat memory."""

import os
import stat
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
from ml.images import UnreadableImage, read_image
from ml.kinds import kind_of
from ml.predictor import Predictor

CHUNK = 64
FIELD_NOT_READ = "A whole field: not read yet. Send crops of single red cells."

Line = dict[str, Any]


@dataclass(frozen=True)
class Decoded:
    """A file on its way: the network's pixels, or why there are none."""

    path: str
    kind: str | None
    """None where the file cannot be read."""
    pixels: np.ndarray | None = None
    reason: str = ""


def walk(paths: Iterable[str], on_skipped: Callable[[str], None]) -> Iterator[str]:
    """The files named, and those below the folders named, sorted within each.

    Left out, and told to `on_skipped`: hidden files, what file managers leave behind, what is
    neither file nor folder, and folders already being walked (a link to one of them).
    """
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path, on_skipped, frozenset())
        else:
            yield path


def _below(folder: str, on_skipped: Callable[[str], None], above: frozenset[str]) -> Iterator[str]:
    here = os.path.realpath(folder)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder  # reading it fails again, and that is said in its line
        return
    for entry in entries:
        if is_ignored(Path(entry.name)) or _is_special(entry):
            on_skipped(entry.path)
        elif not entry.is_dir():
            yield entry.path
        elif os.path.realpath(entry.path) in above | {here}:
            on_skipped(entry.path)
        else:
            yield from _below(entry.path, on_skipped, above | {here})


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Pipes, sockets and devices: opening one may never return. A broken link is a bad file."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def classify(paths: Iterable[str], predictor: Predictor, kind: str = "auto") -> Iterator[Line]:
    """One line for each file, in order; while a chunk is computed the next ones are decoded."""
    files = iter(paths)
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[list[Future[Decoded]]] = deque()

        def submit() -> None:
            chunk = [pool.submit(_decode, path, kind, predictor) for path in islice(files, CHUNK)]
            if chunk:
                waiting.append(chunk)

        submit()
        while waiting:
            submit()
            yield from _lines([future.result() for future in waiting.popleft()], predictor)


def _decode(path: str, kind: str, predictor: Predictor) -> Decoded:
    try:
        image = read_image(Path(path))
    except UnreadableImage as error:
        return Decoded(path, None, reason=str(error))
    found = kind_of(image) if kind == "auto" else kind
    return Decoded(path, found, predictor.prepare(image) if found == "cell" else None)


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
                "probability": said.probability,
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
    return line["kind"] is None
