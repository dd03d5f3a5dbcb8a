import shutil

import pytest

from diagnosis import gate, registry
from diagnosis.models import ModelVersion
from ml.artifact import read_manifest
from ml.datasets import find_examples

pytestmark = pytest.mark.django_db


@pytest.fixture
def cells(training_run):
    slides = read_manifest(training_run.artifact).data["validation_slides"]
    return [e for e in find_examples(training_run.cells) if e.slide in slides]


def active():
    return registry.active_model().name


def test_without_an_active_model_it_is_activated(training_run, cells):
    said = gate.admit(training_run.artifact, cells)
    assert said == "model is now the active model of this installation."
    assert active() == "model"


def test_a_worse_one_is_registered_and_stays_inactive(training_run, trained_model, cells):
    registry.register(training_run.artifact, activate=True)
    said = gate.admit(trained_model, cells)
    assert said.startswith("random stays inactive: it is worse than the active model model on 32")
    assert "AUC" in said
    assert "95 % interval" in said
    assert "0.002 of AUC or 0.005 of accuracy" in said
    assert active() == "model"
    assert ModelVersion.objects.filter(name="random", is_active=False).exists()


def test_a_better_one_takes_its_place(training_run, trained_model, cells):
    registry.register(trained_model, activate=True)
    said = gate.admit(training_run.artifact, cells)
    assert said.startswith("model is now the active model of this installation: it is not worse")
    assert "may have been trained on 2 of these slides" in said
    assert active() == "model"


@pytest.mark.parametrize("trouble", ["lost", "replaced"])
def test_what_cannot_be_compared_stays_inactive(
    training_run, trained_model, cells, tmp_path, trouble
):
    folder = shutil.copytree(trained_model, tmp_path / "former")
    registry.register(folder, activate=True)
    shutil.rmtree(folder)
    if trouble == "replaced":
        shutil.copytree(training_run.artifact, folder)
    said = gate.admit(training_run.artifact, cells)
    assert said.startswith("model stays inactive: it cannot be compared with the active model")
    assert {"lost": "no trained model", "replaced": "Another model lies"}[trouble] in said
    assert active() == "random"
    assert ModelVersion.objects.filter(name="model", is_active=False).exists()
