"""Folders of cells → labelled examples, split so that no slide is on two sides."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from ml.images import InputForm, UnreadableImage, prepared, read_image

CLASSES = ("uninfected", "parasitized")
FOLDERS = {"uninfected": "Uninfected", "parasitized": "Parasitized"}
OTHER = "Other"
"""Beside them, in a folder of another laboratory: pictures of what is no red cell."""
IGNORED_NAMES = {"thumbs.db", "desktop.ini"}
SLIDE_NAME = re.compile(r"^(C\d+)")
UNREADABLE_SHARE = 0.1


class DataError(ValueError):
    """Data that cannot be trained or evaluated on; its text says what to do."""


@dataclass(frozen=True)
class Example:
    path: Path
    label: int
    slide: str | None
    reviewed: bool = False
    """Labelled by people at work with the model, not by those who made the data set."""
    origin: str = ""
    """The folder of another laboratory's cells that it comes from."""


@dataclass(frozen=True)
class Pixels:
    """Decoded examples: images uint8 (n, size, size, 3), labels int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray
    examples: tuple[Example, ...]
    unreadable: tuple[tuple[Path, str], ...] = ()

    def where(self, mask: Sequence[bool]) -> "Pixels":
        chosen = np.asarray(mask, bool)
        examples = tuple(e for e, kept in zip(self.examples, chosen, strict=True) if kept)
        return Pixels(self.images[chosen], self.labels[chosen], examples, self.unreadable)


def is_ignored(path: Path) -> bool:
    """Hidden files and what file managers leave behind."""
    return path.name.startswith(".") or path.name.lower() in IGNORED_NAMES


def find_examples(
    folder: Path, groups: Path | None = None, classes: Sequence[str] = CLASSES
) -> list[Example]:
    """The cells below `Parasitized/` and `Uninfected/`, sorted, with the slide of each.

    A file's slide is the start of its name (`C100P61...` is slide C100), or what `groups`, a CSV
    of file and slide, says. DataError where one of the `classes` has no images.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    examples: list[Example] = []
    for name in classes:
        files = _files_below(_class_folder(folder, FOLDERS[name]))
        if not files:
            raise DataError(f"{folder / FOLDERS[name]} holds no images.")
        label = CLASSES.index(name)
        examples += [Example(path, label, slide_of(path)) for path in files]
    return grouped(examples, folder, groups) if groups else examples


def find_others(folder: Path) -> list[Example]:
    """Cells of another laboratory, which may have one class only; their slides do not matter."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    present = [name for name in CLASSES if _has_class(folder, FOLDERS[name])]
    examples = find_examples(folder, classes=present or CLASSES)
    return [replace(example, slide=None, origin=str(folder)) for example in examples]


def find_no_cells(folder: Path) -> list[Example]:
    """Pictures of what is no red cell, in `Other/` of another laboratory's folder, if it is there.

    They have no label that means anything.
    """
    present = _has_class(folder, OTHER)
    files = _files_below(_class_folder(folder, OTHER)) if present else []
    return [Example(path, 0, None, origin=str(folder)) for path in files]


def _has_class(folder: Path, name: str) -> bool:
    return any(child.is_dir() and child.name.lower() == name.lower() for child in folder.iterdir())


def _class_folder(folder: Path, name: str) -> Path:
    for child in (folder / name, *sorted(folder.iterdir())):
        if child.is_dir() and child.name.lower() == name.lower():
            return child
    raise DataError(
        f"{folder} has no folder {name}: cells belong in {' and '.join(sorted(FOLDERS.values()))}."
    )


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path, folder))


def _counts(path: Path, folder: Path) -> bool:
    return not any(is_ignored(Path(part)) for part in path.relative_to(folder).parts)


def slide_of(path: Path) -> str | None:
    match = SLIDE_NAME.match(path.name)
    return match.group(1) if match else None


def grouped(examples: Sequence[Example], folder: Path, groups: Path) -> list[Example]:
    """With the slides that `groups` gives; DataError where it does not tell files apart."""
    listed = read_groups(groups)
    keys = [_listed_as(example.path, folder, listed) for example in examples]
    for key, files in Counter(key for key in keys if key).items():
        slides = sorted(set(listed[key]))
        if len(slides) > 1 or files > len(listed[key]):
            said = f"it says {' and '.join(slides)}"
            why = said if len(slides) > 1 else f"{files:,} files are called so"
            raise DataError(
                f"The grouping {groups} does not tell the slide of {key}: {why}. List each file "
                f"once, by its path below {folder}."
            )
    found = [listed[key][0] if key else None for key in keys]
    if not any(found):
        raise DataError(
            f"The grouping {groups} names none of the images in {folder}: list them by name, or "
            "by their path below that folder."
        )
    return [replace(e, slide=slide) for e, slide in zip(examples, found, strict=True)]


def _listed_as(path: Path, folder: Path, listed: Mapping[str, Sequence[str]]) -> str | None:
    """By its path, with or without the folder and that of the class; else by its name."""
    below = path.relative_to(folder)
    names = (path, below, Path(*below.parts[1:]), path.name)
    return next((str(name) for name in names if str(name) in listed), None)


def read_groups(path: Path) -> dict[str, list[str]]:
    """A CSV whose first two columns are file and slide; a header line does no harm."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if len(row) >= 2]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The grouping {path} cannot be read: {error}.") from None
    listed = defaultdict(list)
    for name, slide, *_ in rows:
        listed[str(Path(name.strip()))].append(slide.strip())
    return dict(listed)


def read_slides(path: Path) -> set[str]:
    """One slide a line."""
    try:
        return set(path.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list of slides {path} cannot be read: {error}.") from None


def has_slides(examples: Iterable[Example]) -> bool:
    return all(example.slide for example in examples)


def group_of(example: Example) -> str:
    """What is never divided: the slide, or the image itself where no slide is known."""
    return example.slide or str(example.path)


def hold_out(examples: Sequence[Example], slides: Set[str]) -> tuple[list[Example], list[Example]]:
    """(the rest, the examples of the named slides)."""
    unknown = slides - {example.slide for example in examples if example.slide}
    if unknown:
        raise DataError(
            f"Slides to hold out that are not in the data: {', '.join(sorted(unknown))}."
        )
    rest = [example for example in examples if example.slide not in slides]
    return rest, [example for example in examples if example.slide in slides]


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(training, validation): whole groups, drawn apart from infected and parasite-free ones.

    DataError where this leaves a side without one of the classes.
    """
    chosen = set()
    for groups in _strata(examples):
        order = np.random.default_rng(seed).permutation(len(groups))
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        chosen |= {groups[index] for index in order[:count]}
    training = [example for example in examples if group_of(example) not in chosen]
    validation = [example for example in examples if group_of(example) in chosen]
    for side in (training, validation):
        require_both_classes([example.label for example in side])
    return training, validation


def require_both_classes(labels: Iterable[int]) -> None:
    if len(set(labels)) < len(CLASSES):
        raise DataError(
            "There are too few slides to set some aside for validation: "
            "each class needs readable images of at least two."
        )


def fold_slides(examples: Sequence[Example], folds: int, seed: int) -> list[set[str]]:
    """Slides dealt out to `folds` sets, those with parasites and those without apart."""
    if not has_slides(examples):
        raise DataError("Cross-validation needs the slide of every image: give it with --groups.")
    strata = _strata(examples)
    if folds < 2 or folds > min(len(groups) for groups in strata):
        raise DataError(f"These slides cannot be dealt out to {folds} folds.")
    dealt: list[set[str]] = [set() for _ in range(folds)]
    for groups in strata:
        order = np.random.default_rng(seed).permutation(len(groups))
        for place, index in enumerate(order):
            dealt[place % folds].add(groups[index])
    return dealt


def _strata(examples: Sequence[Example]) -> list[list[str]]:
    """Groups with parasites and groups without."""
    infected: dict[str, bool] = defaultdict(bool)
    for example in examples:
        infected[group_of(example)] |= bool(example.label)
    by_kind = [
        [g for g, positive in sorted(infected.items()) if positive is kind]
        for kind in (True, False)
    ]
    return [groups for groups in by_kind if groups]


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256 over the class and name of every file, in order: which data a model saw."""
    digest = sha256()
    for example in examples:
        digest.update(f"{CLASSES[example.label]}/{example.path.name}\n".encode())
    return digest.hexdigest()


def load(
    examples: Sequence[Example],
    form: InputForm,
    progress: Callable[[int, int], None] = lambda done, total: None,
    threads: int = 4,
) -> Pixels:
    """Decode every example, in any format of Pillow, once into memory (48 KB each at 128 px).

    Files that cannot be read are left out and listed; DataError when they are more than a tenth.
    """
    images = np.empty((len(examples), form.image_size, form.image_size, 3), np.uint8)
    failures: dict[int, str] = {}

    def decode(index: int) -> None:
        try:
            image = read_image(examples[index].path, formats=None)
            images[index] = prepared(image, form)
        except UnreadableImage as error:
            failures[index] = str(error)

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(examples))), 1):
            progress(done, len(examples))
    if len(failures) > UNREADABLE_SHARE * len(examples):
        first = min(failures)
        raise DataError(
            f"{len(failures)} of {len(examples)} files cannot be read, "
            f"for example {examples[first].path}: {failures[first]}"
        )
    return _pixels(images, examples, failures)


def _pixels(images: np.ndarray, examples: Sequence[Example], failures: dict[int, str]) -> Pixels:
    kept = [index for index in range(len(examples)) if index not in failures]
    return Pixels(
        images=images[kept] if failures else images,
        labels=np.array([examples[index].label for index in kept], np.int64),
        examples=tuple(examples[index] for index in kept),
        unreadable=tuple((examples[index].path, failures[index]) for index in sorted(failures)),
    )
