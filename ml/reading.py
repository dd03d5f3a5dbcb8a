"""Many files in order → one line for each, with decoding beside the engine and flat memory."""

import math
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
from PIL import Image

from ml.datasets import is_ignored
from ml.decisions import PARASITIZED, REJECTED
from ml.engines import cores
from ml.field_reading import FieldCell, FieldReader
from ml.images import UnreadableImage, read_image
from ml.kinds import kind_of
from ml.predictor import CellPrediction, Predictor

CHUNK = 64
FIELDS_AHEAD = 2
"""Decoded and waiting: a photograph of 50 megapixels takes 150 MB."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Decoded:
    """A file on its way: a cell's pixels for the network, a field's photograph, or neither."""

    path: str
    kind: str | None
    """None where the file cannot be read."""
    pixels: np.ndarray | None = None
    field: Image.Image | None = None
    reason: str = ""


class Turns:
    """Files are decoded far ahead, but a field goes on only when few files are before it."""

    def __init__(self) -> None:
        self.turn: float = 0
        self.changed = Condition()

    def wait(self, number: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: number <= self.turn + FIELDS_AHEAD)

    def reached(self, number: float) -> None:
        with self.changed:
            self.turn = number
            self.changed.notify_all()


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
        elif not _is_folder(entry):
            yield entry.path
        elif os.path.realpath(entry.path) in above | {here}:
            on_skipped(entry.path)
        else:
            yield from _below(entry.path, on_skipped, above | {here})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Of a link to itself nobody can say it: it is a bad file, as a broken one is."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Pipes, sockets and devices: opening one may never return. A broken link is a bad file."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def classify(paths: Iterable[str], reader: FieldReader, kind: str = "auto") -> Iterator[Line]:
    """One line for each file, in order: up to `CHUNK` cells at once, a field by itself."""
    cells: list[Decoded] = []
    for decoded in _decoded(paths, kind, reader.predictor):
        if decoded.field is None:
            cells.append(decoded)
        if cells and (decoded.field is not None or len(cells) == CHUNK):
            yield from _lines(cells, reader.predictor)
            cells = []
        if decoded.field is not None:
            yield _field_line(decoded.path, decoded.field, reader)
    yield from _lines(cells, reader.predictor)


def _decoded(paths: Iterable[str], kind: str, predictor: Predictor) -> Iterator[Decoded]:
    """In order; while one is worked on, others are decoded."""
    turns, numbered = Turns(), enumerate(paths)
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[Future[Decoded]] = deque()

        def submit(most: int) -> None:
            for number, path in islice(numbered, most):
                waiting.append(pool.submit(_decode, path, kind, predictor, number, turns))

        try:
            submit(CHUNK)
            for number in count():
                if not waiting:
                    return
                turns.reached(number)
                yield waiting.popleft().result()
                submit(1)
        finally:
            turns.reached(math.inf)
            pool.shutdown(cancel_futures=True)


def _decode(path: str, kind: str, predictor: Predictor, number: int, turns: Turns) -> Decoded:
    try:
        image = read_image(Path(path))
    except UnreadableImage as error:
        return Decoded(path, None, reason=str(error))
    found = kind_of(image) if kind == "auto" else kind
    if found == "cell":
        return Decoded(path, found, predictor.prepare(image))
    turns.wait(number)
    return Decoded(path, found, field=image)


def _lines(chunk: list[Decoded], predictor: Predictor) -> list[Line]:
    """Of cells and of files that cannot be read."""
    cells = [decoded.pixels for decoded in chunk if decoded.pixels is not None]
    predictions = iter(predictor.predict_pixels(np.stack(cells)) if cells else [])
    lines = []
    for decoded in chunk:
        line = _line(decoded.path, decoded.kind, predictor.manifest.name)
        if decoded.pixels is None:
            line |= {"decision": REJECTED, "reasons": [decoded.reason]}
        else:
            said = next(predictions)
            line |= _said(said) | {"reasons": list(said.reasons)}
        lines.append(line)
    return lines


def _field_line(path: str, field: Image.Image, reader: FieldReader) -> Line:
    """A cell counts as parasitized by its label: there is no third count for an uncertain one."""
    reading = reader.read(field)
    counted = [cell.said.label for cell in reading.cells if cell.counts]
    return _line(path, "field", reading.model) | {
        "decision": reading.decision,
        "reasons": list(reading.reasons),
        "cells": [_cell(cell) for cell in reading.cells],
        "cell_count": len(counted),
        "parasitized_count": counted.count(PARASITIZED),
    }


def _cell(cell: FieldCell) -> Line:
    return {"box": list(cell.box), **_said(cell.said), "edge": cell.edge}


def _said(said: CellPrediction) -> Line:
    return {"label": said.label, "probability": said.probability, "decision": said.decision}


def _line(path: str, kind: str | None, model: str) -> Line:
    return {
        "path": path,
        "kind": kind,
        "label": None,
        "probability": None,
        "decision": None,
        "reasons": [],
        "model": model,
    }


def is_unreadable(line: Line) -> bool:
    return line["kind"] is None
