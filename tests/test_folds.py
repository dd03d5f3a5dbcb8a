import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ml import artifact
from ml.artifact import ArtifactError, read_manifest
from ml.datasets import fold_slides
from ml.folds import cross_validate
from ml.pipeline import Source
from tests.training_run import CONFIG


@pytest.fixture
def source(training_run):
    return Source(training_run.cells)


@pytest.fixture
def finished(training_run, source, tmp_path):
    """Two folds as two trainings leave them, of which the second errs on every tenth cell."""
    examples = source.examples()
    for number, slides in enumerate(fold_slides(examples, 2, CONFIG.seed), 1):
        folder = shutil.copytree(training_run.artifact, tmp_path / "out" / f"fold-{number}")
        tested = [example for example in examples if example.slide in slides]
        with (folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "slide", "truth", "probability"])
            for place, e in enumerate(tested):
                label = e.label ^ (number == 2 and place % 10 == 0)
                writer.writerow([e.path.name, e.slide, e.label, 0.9 if label else 0.1])
        manifest = read_manifest(folder)
        data = manifest.data | {"test_slides": sorted(slides)}
        artifact.write_manifest(folder, replace(manifest, data=data))
    return tmp_path / "out"


def test_what_the_folds_said_is_pooled(source, finished):
    result = cross_validate(CONFIG, source, finished, 2, resume=True)
    assert (result["n"], result["slides"]) == (160, 10)
    assert result["accuracy"] == pytest.approx(152 / 160)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["pooled"] == result
    assert set(metrics["folds"]) == {"fold-1", "fold-2"}
    for name in ("confusion.png", "roc.png", "reliability.png"):
        assert (finished / name).exists()


def test_every_cell_was_judged_once_by_a_network_that_never_saw_its_slide(source, finished):
    cross_validate(CONFIG, source, finished, 2, resume=True)
    with (finished / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["file"] for row in rows) == sorted(e.path.name for e in source.examples())
    for fold in ("fold-1", "fold-2"):
        tested = {row["slide"] for row in rows if row["fold"] == fold}
        assert sorted(tested) == read_manifest(finished / fold).data["test_slides"]


def test_finished_folds_are_not_overwritten(source, finished):
    with pytest.raises(ArtifactError, match=r"fold-1 is finished: go on with --resume"):
        cross_validate(CONFIG, source, finished, 2)


def test_folds_of_other_slides_are_not_mixed(source, finished):
    with pytest.raises(ArtifactError, match="was tested on other slides"):
        cross_validate(replace(CONFIG, seed=5), source, finished, 2, resume=True)


def test_slides_held_out_are_in_no_fold(source):
    unused = replace(source, unused=frozenset({"C1", "C7"}))
    dealt = fold_slides(unused.examples(), 4, 0)
    assert not set().union(*dealt) & {"C1", "C7"}
    assert np.sum([len(slides) for slides in dealt]) == 8
