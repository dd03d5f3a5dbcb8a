"""From a folder of cells to an artifact: read, split, train, pack."""

import shutil
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ml import artifact, card
from ml.artifact import TRAINED_ON, ArtifactError, Manifest, some
from ml.configuration import TrainingConfig
from ml.datasets import (
    Example,
    Pixels,
    find_examples,
    find_no_cells,
    find_others,
    has_slides,
    hold_out,
    load,
    require_both_classes,
    split,
)
from ml.engines import cores
from ml.network import named_files
from ml.packing import Data, pack
from ml.training import OnEpoch, OnStep, check, is_begun, train


@dataclass(frozen=True)
class Listener:
    """Who hears how it goes; each does nothing unless given."""

    on_stage: Callable[[str], None] = lambda sentence: None
    on_load: Callable[[int, int], None] = lambda done, total: None
    on_step: OnStep = lambda step: None
    on_epoch: OnEpoch = lambda row: None
    on_warning: Callable[[str], None] = lambda sentence: None


@dataclass(frozen=True)
class Source:
    """Where the cells are, and what is done with some of their slides."""

    folder: Path
    groups: Path | None = None
    test: frozenset[str] = frozenset()
    """Slides that are only measured on."""
    unused: frozenset[str] = frozenset()
    """Slides that are left out altogether."""
    reviewed: tuple[Example, ...] = ()
    """Cells beside the folder's, from slides that are not in it: they are only trained on."""
    others: tuple[Path, ...] = ()
    """Folders of cells of other laboratories: they are only trained on, too."""

    def examples(self) -> list[Example]:
        rest, _ = hold_out(find_examples(self.folder, self.groups), self.unused)
        return rest

    def added(self) -> list[Example]:
        """What is trained on beside the folder's training slides."""
        others = [example for folder in self.others for example in find_others(folder)]
        return [*self.reviewed, *others]

    def no_cells(self) -> list[Example]:
        """What the model is taught to reject."""
        return [example for folder in self.others for example in find_no_cells(folder)]


def build(
    config: TrainingConfig,
    source: Source,
    output: Path,
    resume: bool = False,
    listener: Listener | None = None,
) -> Manifest:
    """Train on a folder of cells and write the artifact to `output`.

    The training keeps its checkpoints in `<output>.training` until the artifact is complete.
    Raises DataError, WeightsError, TrainingError, ExportError or ArtifactError with a sentence.
    """
    listener, output = listener or Listener(), output.resolve()
    _refuse_to_overwrite(output)
    work = work_folder(output)
    if not resume and is_begun(work):
        raise ArtifactError(
            f"{work} holds an unfinished training: go on with --resume, remove it, "
            "or choose another --output."
        )
    check(config, resumes=bool(config.epochs) and is_begun(work))
    earlier = _earlier_slides(config.weights)
    data = _load(config, source, earlier, listener)
    trained = train(
        config, data.training, data.validation, work, resume, listener.on_step, listener.on_epoch
    )
    listener.on_stage("Exporting to int8 and measuring")
    with artifact.writing(output) as folder:
        manifest = pack(folder, output.name, config, data, trained)
        if earlier:
            manifest = _with_earlier(folder, manifest, earlier)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def divide(
    config: TrainingConfig, source: Source
) -> tuple[list[Example], list[Example], list[Example]]:
    """(training, validation, test): always the same for the same settings and cells."""
    rest, test = hold_out(source.examples(), source.test)
    training, validation = split(rest, config.validation_share, config.seed)
    return [*training, *source.added()], validation, test


def work_folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.training")


def _refuse_to_overwrite(output: Path) -> None:
    if (output / artifact.MANIFEST).exists():
        raise ArtifactError(f"{output} already holds a trained model: choose another --output.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ArtifactError(f"{output} is not an empty folder: choose another --output.")


def _earlier_slides(weights: str) -> set[str]:
    """What the models that the first weights come from were trained on, as far as it is known."""
    found: set[str] = set()
    for path in named_files(weights):
        with suppress(ArtifactError):
            manifest = artifact.read_manifest(path if path.is_dir() else path.parent)
            found |= manifest.slides(*TRAINED_ON)
    return found


def _with_earlier(folder: Path, manifest: Manifest, earlier: Set[str]) -> Manifest:
    """The artifact in a folder, which now tells what its first weights were trained on."""
    told = replace(manifest, data=manifest.data | {"earlier_slides": sorted(earlier)})
    card.write(folder, told)
    artifact.write_manifest(folder, told)
    return artifact.read_manifest(folder)


def _load(config: TrainingConfig, source: Source, earlier: Set[str], listener: Listener) -> Data:
    divided = divide(config, source)
    if known := earlier & {e.slide for part in divided[1:] for e in part if e.slide}:
        listener.on_warning(
            f"The first weights were trained on {len(known):,} of the slides that are now set "
            f"aside for validation or test ({some(known)}), so the figures will flatter."
        )
    examples = [example for part in divided for example in part]
    if not has_slides(e for e in examples if not e.origin):
        listener.on_warning(
            "Not every file name tells its slide, so images of one patient may be on both sides "
            "of the split and the figures may flatter. Give the slides with --groups FILE "
            "(a CSV of file name, slide)."
        )
    listener.on_stage(f"Reading {len(examples):,} images")
    training, validation, test = (_read(part, config, listener) for part in divided)
    for part in (training, validation):
        require_both_classes(part.labels.tolist())
    if source.reviewed:
        training = _apart(training, [validation, test], listener)
    strange = source.no_cells()
    no_cells = _read(strange, config, listener) if strange else None
    return Data(training, validation, test if divided[2] else None, no_cells)


def _apart(training: Pixels, held_out: Sequence[Pixels], listener: Listener) -> Pixels:
    """Without the reviewed slides that show a cell which is held out: they are one glass.

    Whoever tries the site uploads cells of the data, and reviews them too.
    """
    known = {image.tobytes() for part in held_out for image in part.images}
    pairs = zip(training.examples, training.images, strict=True)
    shared = {e.slide for e, image in pairs if e.reviewed and image.tobytes() in known}
    kept = [not (e.reviewed and e.slide in shared) for e in training.examples]
    if shared:
        listener.on_warning(
            f"Left out {kept.count(False):,} reviewed images of {len(shared):,} slides that show "
            "cells of the validation or test slides."
        )
        training = training.where(kept)
    added = [example.slide for example in training.examples if example.reviewed]
    listener.on_stage(
        f"Reviewed images added to the training set: {len(added):,} of {len(set(added)):,} slides"
    )
    return training


def _read(examples: Sequence[Example], config: TrainingConfig, listener: Listener) -> Pixels:
    pixels = load(examples, config, listener.on_load, cores())
    for path, reason in pixels.unreadable:
        listener.on_warning(f"Left out {path}: {reason}")
    return pixels
