"""The figures of the shipped model are those of its committed predictions, which it still gives."""

import csv
import json
import re

import numpy as np
import pytest

from ml.artifact import read_manifest, shipped_model
from ml.evaluation import evaluate
from ml.images import read_image
from ml.predictor import Predictor
from tests.realdata import FOLDER, real_images
from tests.servers import ROOT

EVERY = 24
"""Of the test cells, so that some two hundred are read again."""
SHOWN = {
    "accuracy": "accuracy",
    "AUC": "auc",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "calibration error (ECE, 15 bins)": "ece",
}


@pytest.fixture(scope="module")
def predictions():
    with (shipped_model() / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def figures():
    return json.loads((shipped_model() / "metrics.json").read_bytes())["test"]


def column(predictions, name):
    return np.array([float(row[name]) for row in predictions])


def test_its_figures_are_those_of_its_predictions(predictions, figures):
    found = evaluate(
        column(predictions, "probability"),
        column(predictions, "truth"),
        [row["slide"] for row in predictions],
        rejected=column(predictions, "rejected").astype(bool),
        thresholds=read_manifest(shipped_model()).thresholds,
        bootstrap=0,
    )
    for name in ("n", "slides", "confusion", "rejected"):
        assert found[name] == figures[name]
    for name in ("accuracy", "auc", "sensitivity", "specificity", "ece", "coverage"):
        assert found[name] == pytest.approx(figures[name], abs=2e-6)


def test_it_reaches_what_was_asked_of_it(figures):
    assert figures["slides"] == 32
    assert figures["accuracy"] >= 0.955
    assert figures["auc"] >= 0.988


def test_the_readme_says_the_same(figures):
    table = dict(
        re.findall(r"^\| ([^|]+?) \| (\d\.\d{3}) ", (ROOT / "README.md").read_text(), re.M)
    )
    for words, name in SHOWN.items():
        assert float(table[words]) == round(figures[name], 3)


def test_its_test_slides_are_those_that_only_report(predictions):
    if not (FOLDER / "nih_test_slides.txt").exists():
        pytest.skip(f"{FOLDER} is not here: the folder of data sets is MALARIA_DATA")
    slides = set((FOLDER / "nih_test_slides.txt").read_text().split())
    assert {row["slide"] for row in predictions} == slides


def test_it_still_gives_these_predictions(predictions):
    files = {path.stem: path for path in real_images("nih_cells")}
    sample = predictions[::EVERY]
    images = [read_image(files[row["file"].rsplit(".", 1)[0]]) for row in sample]
    said = Predictor.load(shipped_model(), threads=2).predict(images)
    probabilities = np.array([one.probability for one in said])
    assert np.abs(probabilities - column(sample, "probability")).mean() < 0.01
    labels = np.array([one.label == "parasitized" for one in said])
    assert (labels == (column(sample, "probability") >= 0.5)).mean() >= 0.985
