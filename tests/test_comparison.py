import shutil
from dataclasses import replace

import numpy as np
import pytest

from ml import artifact, comparison
from ml.artifact import ArtifactError
from ml.comparison import MARGINS, Difference, advantage, compare, compare_models
from ml.datasets import find_examples
from ml.measurement import Measured


def measured(probability, truth, slides=20):
    names = tuple(f"C{i % slides}" for i in range(len(truth))) if slides else None
    files = tuple(f"{i}.png" for i in range(len(truth)))
    return Measured(files, names, truth, np.asarray(probability, float))


@pytest.fixture
def truth():
    return np.arange(2000) // 20 % 2


def said(truth, noise, seed=0):
    """The more noise, the worse the model."""
    logit = 2 * (2 * truth - 1) + np.random.default_rng(seed).normal(0, noise, len(truth))
    return 1 / (1 + np.exp(-logit))


def test_a_model_is_not_worse_than_itself(truth):
    model = measured(said(truth, 2), truth)
    found = compare(model, model)
    assert not found.is_worse
    assert (found.cells, found.slides) == (2000, 20)
    for difference in found.differences:
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_a_worse_model_is_and_a_better_one_is_not(truth):
    good, bad = (measured(said(truth, noise), truth) for noise in (1.5, 2.5))
    worse = compare(bad, good)
    assert worse.is_worse
    assert all(difference.high < 0 for difference in worse.differences)
    assert not compare(good, bad).is_worse


def test_one_figure_is_enough_to_be_worse(truth):
    """The same ranking with another threshold: only the accuracy falls."""
    model = said(truth, 2)
    found = compare(measured(model**3, truth), measured(model, truth))
    auc, accuracy = found.differences
    assert (auc.figure, auc.is_worse) == ("auc", False)
    assert (accuracy.figure, accuracy.is_worse) == ("accuracy", True)
    assert found.is_worse


def test_it_is_paired(truth):
    """Two models that err alike differ surely where each alone is hardly known."""
    slide = np.arange(2000) % 20
    logit = np.where(slide < 6, -1.0, 1.0) * (2 * truth - 1)
    active = 1 / (1 + np.exp(-logit))
    new = np.where(np.arange(2000) % 100 < 2, 1 - active, active)
    flipped = new != active
    accuracy = compare(measured(new, truth), measured(active, truth)).differences[1]
    share = flipped.mean()
    assert share == pytest.approx(0.02)
    assert accuracy.high - accuracy.low < 0.06


@pytest.mark.parametrize(
    ("value", "low", "high", "worse"),
    [
        (0.0, -0.01, 0.01, False),
        (-0.002, -0.01, 0.01, False),
        (-0.0021, -0.01, 0.01, True),
        (-0.001, -0.002, -0.0001, True),
        (0.01, 0.0, 0.02, False),
        (float("nan"), float("nan"), float("nan"), True),
    ],
)
def test_the_rule(value, low, high, worse):
    assert MARGINS["auc"] == 0.002
    assert Difference("auc", 0.9 + value, 0.9, low, high).is_worse is worse


def test_the_sentence_has_the_figures(truth):
    found = str(compare(measured(said(truth, 2.5), truth), measured(said(truth, 1.5), truth)))
    assert found.startswith("on 2,000 validation cells of 20 slides: AUC 0.")
    assert " against 0." in found
    assert "95 % interval -0." in found
    unknown = compare(*[measured(said(truth, 2), truth, slides=0)] * 2)
    assert unknown.slides is None
    assert str(unknown).startswith("on 2,000 validation cells: ")


def test_other_cells_are_no_comparison(truth):
    model = measured(said(truth, 2), truth)
    with pytest.raises(ValueError, match="the same cells"):
        compare(model, replace(model, files=model.files[::-1]))
    with pytest.raises(ValueError, match="the same cells"):
        compare(model, replace(model, truth=1 - truth))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"training_slides": ["C3"]}, ""),
        ({"training_slides": ["C1", "C3"]}, "was trained on 1 of these slides"),
        ({"training_slides": ["C3"], "earlier_slides": ["C1"]}, "was trained on 1 of these"),
        ({"validation_slides": ["C1"], "test_slides": ["C2"]}, ""),
        ({"validation_slides": ["C1"]}, "may have been trained on 1 of these slides"),
        ({}, "may have been trained on 2 of these slides"),
    ],
)
def test_an_unfair_advantage_is_said(training_run, data, words):
    manifest = replace(artifact.read_manifest(training_run.artifact), data=data)
    note = advantage(manifest, ["C1", "C2", "C1"])
    assert words in note
    assert bool(note) is bool(words)
    assert "not known" in advantage(manifest, None)


@pytest.fixture
def cells(training_run):
    slides = artifact.read_manifest(training_run.artifact).data["validation_slides"]
    return [e for e in find_examples(training_run.cells) if e.slide in slides]


def test_artifacts_of_different_sizes_are_compared(training_run, trained_model, cells):
    found = compare_models(trained_model, training_run.artifact, cells)
    assert found.is_worse
    assert (found.cells, found.slides) == (32, 2)
    assert found.note == ""
    back = compare_models(training_run.artifact, trained_model, cells)
    assert not back.is_worse
    assert "may have been trained on 2 of these slides" in str(back)


def test_an_altered_artifact_is_not_compared(training_run, cells, tmp_path):
    altered = shutil.copytree(training_run.artifact, tmp_path / "altered")
    (altered / artifact.ONNX).write_bytes(b"")
    with pytest.raises(ArtifactError, match="not the file its manifest describes"):
        compare_models(training_run.artifact, altered, cells)
    assert comparison.ENGINE == "onnxruntime"
