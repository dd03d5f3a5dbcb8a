"""Cross-validation by slide: every cell is judged by a network that never saw its slide.

Each fold leaves two small files, `fold-N.csv` (what was said of every cell) and `fold-N.json`
(the recipe): folds trained at different times or on different machines are put together by
putting these files into one folder.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml import plots
from ml.artifact import MANIFEST, METRICS, ArtifactError, read_manifest, write_json
from ml.configuration import TrainingConfig
from ml.datasets import DataError, Example, fingerprint, fold_slides
from ml.measurement import PREDICTIONS, read_predictions, together, write_predictions
from ml.pipeline import Listener, Source, build
from ml.training import essence

Recipe = dict[str, Any]


def cross_validate(
    config: TrainingConfig,
    source: Source,
    output: Path,
    folds: int,
    only: Collection[int] = (),
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Train a model for each fold, tested on its own share of the slides; pool what they said.

    `only` names the folds to train now, 1 to `folds`; those that `output` already holds are
    pooled too. With `resume`, finished folds are kept. `output` gets the out-of-fold
    `predictions.csv`, `metrics.json` with the pooled figures and those of each fold, and plots.
    """
    listener = listener or Listener()
    examples = source.examples()
    _require_names(examples)
    dealt = fold_slides(examples, folds, config.seed)
    if unknown := set(only) - set(range(1, folds + 1)):
        raise DataError(f"There is no fold {min(unknown)}: they are numbered from 1 to {folds}.")
    data = fingerprint([*examples, *source.added()])
    for number in sorted(only) or range(1, folds + 1):
        recipe = _recipe(config, data, folds, dealt[number - 1])
        _fold(config, source, output, number, recipe, resume, listener)
    return _pool(output, folds)


def _require_names(examples: Sequence[Example]) -> None:
    """What is said of a cell is kept under the name of its file."""
    for name, count in Counter(example.path.name for example in examples).most_common(1):
        if count > 1:
            raise DataError(
                f"Cross-validation needs a name of its own for each image: {count:,} files are "
                f"called {name}. Put the name of the folder before that of the file, say."
            )


def _recipe(config: TrainingConfig, data: str, folds: int, slides: set[str]) -> Recipe:
    return {
        "folds": folds,
        "data": data,
        "config": essence(config.as_dict()),
        "test_slides": sorted(slides),
    }


def _fold(
    config: TrainingConfig,
    source: Source,
    output: Path,
    number: int,
    recipe: Recipe,
    resume: bool,
    listener: Listener,
) -> None:
    folder, kept = output / f"fold-{number}", output / f"fold-{number}.json"
    trained = (folder / MANIFEST).exists()
    if not resume and (trained or kept.exists()):
        raise ArtifactError(
            f"{folder} is finished: go on with --resume, or choose another --output."
        )
    if not trained and not kept.exists():
        listener.on_stage(f"Fold {number} of {recipe['folds']}")
        test = frozenset(recipe["test_slides"])
        build(config, replace(source, test=test), folder, resume, listener)
    if not kept.exists():
        _keep(folder, kept, recipe)
    if _read_recipe(kept) != json.loads(json.dumps(recipe)):
        raise ArtifactError(
            f"{kept} is of other settings, data or slides: choose another --output."
        )


def _keep(folder: Path, kept: Path, recipe: Recipe) -> None:
    """The recipe is written last: where it is, the fold is whole."""
    manifest = read_manifest(folder)
    tested = {
        "config": essence(manifest.training),
        "test_slides": manifest.data["test_slides"],
    }
    measured = read_predictions(folder / PREDICTIONS)
    named = replace(measured, folds=(kept.stem,) * len(measured.files))
    write_predictions(kept.with_suffix(".csv"), named)
    write_json(kept, recipe | tested)


def _read_recipe(path: Path) -> Recipe:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"The recipe {path} cannot be read: {error}.") from None


def _pool(output: Path, folds: int) -> dict[str, Any]:
    kept = [path for n in range(1, folds + 1) if (path := output / f"fold-{n}.json").exists()]
    recipes = [_read_recipe(path) for path in kept]
    for path, recipe in zip(kept, recipes, strict=True):
        if _common(recipe) != _common(recipes[0]):
            raise ArtifactError(f"{path} is of another recipe than {kept[0]}: they do not pool.")
    measured = together([read_predictions(path.with_suffix(".csv")) for path in kept])
    write_predictions(output / PREDICTIONS, measured)
    pooled = measured.figures()
    write_json(
        output / METRICS,
        {"pooled": pooled, "folds": measured.by_fold(), "trained": len(kept), "of": folds},
    )
    plots.save_plots(output, pooled, measured.probability, measured.truth)
    return pooled


def _common(recipe: Recipe) -> Recipe:
    return {name: value for name, value in recipe.items() if name != "test_slides"}
