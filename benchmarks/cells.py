"""The files of single cells that a benchmark reads: those named, or drawn ones."""

import random
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from ml.drawing import draw_cell

MOST_DRAWN = 1000


def cells(paths: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """As many files, mixed, in `folder`: links to those below `paths`, in turn where too few."""
    sources = sorted(file for path in paths for file in _below(path)) or _drawn(folder, count)
    random.Random(0).shuffle(sources)
    there = folder / f"{count}-cells"
    there.mkdir()
    links = []
    for number, source in enumerate(islice(cycle(sources), count)):
        links.append(there / f"{number:06}{source.suffix}")
        links[-1].symlink_to(source.resolve())
    return links


def _below(path: Path) -> list[Path]:
    found = path.rglob("*") if path.is_dir() else [path]
    return [file for file in found if file.is_file() and file.suffix.lower() in (".png", ".jpg")]


def _drawn(folder: Path, count: int) -> list[Path]:
    folder = folder / f"{count}-drawn"
    folder.mkdir()
    files = [folder / f"{seed}.png" for seed in range(min(count, MOST_DRAWN))]
    for seed, file in enumerate(files):
        draw_cell(seed, parasitized=seed % 2 == 1).save(file)
    return files
