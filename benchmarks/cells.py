"""The files of single cells that a benchmark reads: those named, or drawn ones."""

import io
import random
import secrets
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from PIL import Image

from ml.drawing import draw_cell
from ml.images import read_image

MOST_DRAWN = 1000
ENDINGS = ("png", "jpg", "jpeg", "avif", "tif", "tiff")


def cells(paths: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """As many PNG files in `folder`, mixed; where there are too few, some come again with marks."""
    sources = sorted(file for path in paths for file in _below(path)) or _drawn(folder, count)
    random.Random(0).shuffle(sources)
    there = folder / f"{count}-cells"
    there.mkdir()
    files = [there / f"{number:06}.png" for number in range(count)]
    for file, source in zip(files, sources, strict=False):
        as_png(source, file)
    for file, twin in zip(files[len(sources) :], cycle(files[: len(sources)]), strict=False):
        file.write_bytes(unlike_all_others([twin]))
    return files


def as_png(source: Path, file: Path) -> None:
    """The format that the site stores, and that every decoder knows."""
    if source.suffix.lower() == ".png":
        file.symlink_to(source.resolve())
    else:
        read_image(source).save(file)


def unlike_all_others(files: Sequence[Path]) -> bytes:
    """One of these with marks in its corner: the same picture again would not be read again."""
    image = Image.open(random.choice(files)).convert("RGB")  # nosec B311
    for place in range(3):
        image.putpixel((place, 0), tuple(secrets.token_bytes(3)))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _below(path: Path) -> list[Path]:
    found = path.rglob("*") if path.is_dir() else [path]
    return [file for file in found if file.suffix.lower().removeprefix(".") in ENDINGS]


def _drawn(folder: Path, count: int) -> list[Path]:
    folder = folder / f"{count}-drawn"
    folder.mkdir()
    files = [folder / f"{seed}.png" for seed in range(min(count, MOST_DRAWN))]
    for seed, file in enumerate(files):
        draw_cell(seed, parasitized=seed % 2 == 1).save(file)
    return files
