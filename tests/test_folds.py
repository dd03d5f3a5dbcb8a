import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ml import artifact
from ml.artifact import ArtifactError, read_manifest
from ml.datasets import DataError, fold_slides
from ml.folds import cross_validate
from ml.pipeline import Source
from tests.cells import write_cells
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
    with pytest.raises(ArtifactError, match="of other settings, data or slides"):
        cross_validate(replace(CONFIG, seed=5), source, finished, 2, resume=True)


def test_slides_held_out_are_in_no_fold(source):
    unused = replace(source, unused=frozenset({"C1", "C7"}))
    dealt = fold_slides(unused.examples(), 4, 0)
    assert not set().union(*dealt) & {"C1", "C7"}
    assert np.sum([len(slides) for slides in dealt]) == 8


def test_some_folds_alone_are_pooled_and_said_to_be_some(source, finished):
    shutil.rmtree(finished / "fold-2")
    result = cross_validate(CONFIG, source, finished, 2, only=[1], resume=True)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["trained"], metrics["of"]) == (1, 2)
    assert result["slides"] == 5


def test_folds_of_two_machines_are_put_together_by_their_small_files(source, finished, tmp_path):
    whole = cross_validate(CONFIG, source, finished, 2, resume=True)
    together = tmp_path / "together"
    together.mkdir()
    for name in ("fold-1.csv", "fold-1.json", "fold-2.csv", "fold-2.json"):
        shutil.copy(finished / name, together)
    assert cross_validate(CONFIG, source, together, 2, resume=True) == whole


def test_reviewed_cells_belong_to_the_recipe(source, finished):
    more = replace(source.examples()[0], slide="reviewed:1", reviewed=True)
    cross_validate(CONFIG, source, finished, 2, resume=True)
    with pytest.raises(ArtifactError, match="of other settings, data or slides"):
        cross_validate(CONFIG, replace(source, reviewed=(more,)), finished, 2, resume=True)


def test_folds_of_different_recipes_are_not_pooled(source, finished):
    cross_validate(CONFIG, source, finished, 2, resume=True)
    path = finished / "fold-2.json"
    recipe = json.loads(path.read_text())
    recipe["config"]["epochs"] = 99
    path.write_text(json.dumps(recipe))
    with pytest.raises(ArtifactError, match=r"fold-2.json is of another recipe than .*fold-1.json"):
        cross_validate(CONFIG, source, finished, 2, only=[1], resume=True)


def test_a_fold_that_does_not_exist_is_refused(source, finished):
    with pytest.raises(DataError, match="no fold 3: they are numbered from 1 to 2"):
        cross_validate(CONFIG, source, finished, 2, only=[1, 3], resume=True)


def test_images_of_one_name_are_refused_before_any_training(tmp_path):
    cells = write_cells(tmp_path / "cells", slides=4, each=2)
    (cells / "Parasitized" / "more").mkdir()
    path = next((cells / "Parasitized").glob("C2*"))
    shutil.copy(path, cells / "Parasitized" / "more")
    with pytest.raises(DataError, match=f"2 files are called {path.name}"):
        cross_validate(CONFIG, Source(cells), tmp_path / "out", 2)
    assert not (tmp_path / "out").exists()
