"""How long a whole field takes, from its file to its cells, beside the bare networks.

    python -m benchmarks.fields IMAGE_OR_FOLDER... [--repeat N] [--megapixels N]

The bare networks get ready tensors: the finder one look, the classifier all the cells at once that
were found. What a reading takes beyond that is decoding, scaling, further looks, cutting, levelling
and what is made of the answers. With `--megapixels` each photograph is first enlarged to that size.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.conditions import conditions
from benchmarks.figures import at_least
from ml.artifact import find_model
from ml.field_reading import FieldReader, cut
from ml.fields import Finder, FoundCell, as_input, rescaled
from ml.images import normalised, read_image
from ml.predictor import Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--repeat", type=at_least(1), default=5, help="readings of each photograph")
    parser.add_argument("--megapixels", type=float, help="enlarge the photographs to this size")
    options = parser.parse_args()
    reader = FieldReader(Predictor.load(find_model(None)), Finder.load())
    with tempfile.TemporaryDirectory() as folder:
        paths = list(_files(options.paths))
        if options.megapixels:
            paths = [_enlarged(path, options.megapixels, Path(folder)) for path in paths]
        rows = [row for path in paths if (row := _measured(reader, path, options.repeat))]
    if not rows:
        parser.error("there is no photograph with cells among these")
    whole, bare = ([row[name] for row in rows] for name in ("reading", "bare"))
    figures = {
        "fields": len(rows),
        "megapixels": round(statistics.median(row["megapixels"] for row in rows), 1),
        "cells": statistics.median(row["cells"] for row in rows),
        "seconds_a_field": round(statistics.median(whole), 3),
        "slowest": round(max(whole), 3),
        "bare_networks": round(statistics.median(bare), 3),
        "bare_by_reading": round(sum(bare) / sum(whole), 3),
    }
    sys.stdout.write(json.dumps(figures | conditions(), indent=2) + "\n")


def _measured(reader: FieldReader, path: Path, repeat: int) -> dict[str, Any] | None:
    """Nothing of a photograph without cells: one of the networks would have no work."""
    image = read_image(path)
    cells = reader.finder.find(image)
    if not cells:
        sys.stderr.write(f"{path} is left out: no cells were found in it.\n")
        return None
    return {
        "megapixels": image.width * image.height / 1e6,
        "cells": len(cells),
        "reading": _seconds(lambda: reader.read(read_image(path)), repeat),
        "bare": _seconds(_bare(reader, image, cells), repeat),
    }


def _bare(reader: FieldReader, image: Image.Image, cells: list[FoundCell]) -> Callable[[], object]:
    """Both networks on what they are given for this field, once each."""
    finder, predictor = reader.finder, reader.predictor
    side = statistics.median((cell.box[2] * cell.box[3]) ** 0.5 for cell in cells)
    field = as_input(rescaled(np.asarray(image), finder.manifest.side / side))
    pixels = np.stack([predictor.prepare(cut(image, cell)) for cell in cells])
    batch = normalised(pixels, predictor.manifest.mean, predictor.manifest.std)
    return lambda: (finder.session(field), predictor.engine(batch))


def _seconds(action: Callable[[], object], repeat: int) -> float:
    """The median, after one that is thrown away."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def _enlarged(path: Path, megapixels: float, folder: Path) -> Path:
    image = read_image(path)
    factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    larger = image.resize((round(image.width * factor), round(image.height * factor)))
    larger.save(folder / f"{path.stem}.jpg", quality=92)
    return folder / f"{path.stem}.jpg"


if __name__ == "__main__":
    main()
