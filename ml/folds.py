"""Cross-validation by slide: every cell is judged by a network that never saw its slide."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml import plots
from ml.artifact import MANIFEST, METRICS, ArtifactError, read_manifest, read_metrics, write_json
from ml.configuration import TrainingConfig
from ml.datasets import fold_slides
from ml.decisions import Thresholds
from ml.evaluation import evaluate
from ml.measurement import PREDICTIONS
from ml.pipeline import Listener, Source, build


def cross_validate(
    config: TrainingConfig,
    source: Source,
    output: Path,
    folds: int,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Train `folds` models, each tested on its own share of the slides; pool what they said.

    `output` gets a folder for each fold, the out-of-fold `predictions.csv`, `metrics.json` with
    the pooled figures and those of each fold, and plots. With `resume`, finished folds are kept.
    """
    listener = listener or Listener()
    dealt = fold_slides(source.examples(), folds, config.seed)
    for number, slides in enumerate(dealt, 1):
        folder = output / f"fold-{number}"
        if (folder / MANIFEST).exists():
            _require_resumed(resume, folder, slides)
            continue
        listener.on_stage(f"Fold {number} of {folds}")
        build(config, replace(source, test=frozenset(slides)), folder, resume, listener)
    return _pool(output, [output / f"fold-{number}" for number in range(1, folds + 1)])


def _require_resumed(resume: bool, folder: Path, slides: set[str]) -> None:
    if not resume:
        raise ArtifactError(
            f"{folder} is finished: go on with --resume, or choose another --output."
        )
    if set(read_manifest(folder).data["test_slides"]) != slides:
        raise ArtifactError(f"{folder} was tested on other slides: choose another --output.")


def _pool(output: Path, folders: list[Path]) -> dict[str, Any]:
    rows = [row for folder in folders for row in _predictions(folder)]
    with (output / PREDICTIONS).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    probability = np.array([float(row["probability"]) for row in rows])
    truth = np.array([int(row["truth"]) for row in rows])
    # Each fold has an uncertain band of its own, so the pooled figures use none.
    result = evaluate(probability, truth, [row["slide"] for row in rows], Thresholds(0.5, 0.5))
    tests = {folder.name: read_metrics(folder).get("test") for folder in folders}
    write_json(output / METRICS, {"pooled": result, "folds": tests})
    plots.save_plots(output, result, probability, truth)
    return result


def _predictions(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / PREDICTIONS).open(newline="") as file:
        for row in csv.DictReader(file):
            yield {"fold": folder.name, **row}
