"""What clinicians said, as cells to train on; it loads arrays, so no web process imports it."""

import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from ml.datasets import CLASSES, DataError, Example

from .models import Kind, Label, SmearImage

NONE = (
    "No image in this installation's database was reviewed as parasitized or uninfected yet: "
    "train without --include-reviews."
)


def reviewed_examples(
    folder: Path, on_warning: Callable[[str], None] = lambda sentence: None
) -> list[Example]:
    """Copies of the reviewed cells in `folder`, each named by the SHA-256 of its pixels.

    Those of which the standing reviews agree on a class; a picture that is on several slides is
    taken once, and not at all where it was judged differently there. Raises DataError.
    """
    examples = []
    for image in _agreed():
        if path := _copied(image, folder):
            label = CLASSES.index(image.reviewed)
            examples.append(Example(path, label, slide_name(image), reviewed=True))
        else:
            on_warning(f"Left out {image.name} of slide {image.slide}: its stored file is lost.")
    if not examples:
        raise DataError(NONE)
    return sorted(examples, key=lambda example: (example.slide or "", example.path.name))


def slide_name(image: SmearImage) -> str:
    """Unlike any slide of a folder."""
    return f"reviewed:{image.slide_id}"


def _agreed() -> Iterator[SmearImage]:
    found = SmearImage.objects.filter(
        kind=Kind.CELL, reviewed__in=Label.values, slide__deleted_at=None
    )
    ordered = found.select_related("slide").order_by("sha256", "slide_id").iterator()
    for _, same in groupby(ordered, key=lambda image: image.sha256):
        twins = list(same)
        if len({image.reviewed for image in twins}) == 1:
            yield twins[0]


def _copied(image: SmearImage, folder: Path) -> Path | None:
    """From wherever images are stored, a folder or a bucket; None where it is not there."""
    path = folder / f"{image.sha256}.png"
    try:
        with image.file.open() as stored, path.open("wb") as copy:
            shutil.copyfileobj(stored, copy)
    except FileNotFoundError:
        return None
    except Exception as error:  # each kind of storage has its own
        raise DataError(
            f"The stored image {image.file.name} cannot be fetched: {error}."
        ) from error
    return path
