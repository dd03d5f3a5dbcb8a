import json
import shutil
from functools import partial

import pytest
from django.db import IntegrityError, transaction

from diagnosis import registry
from diagnosis.models import ModelVersion
from ml import artifact
from ml.artifact import ArtifactError
from tests.databases import at_once


@pytest.fixture
def base(settings, tmp_path):
    settings.BASE_DIR = tmp_path / "installation"
    settings.BASE_DIR.mkdir()
    return settings.BASE_DIR


@pytest.fixture
def manifest(trained_model):
    return json.loads((trained_model / artifact.MANIFEST).read_text())


@pytest.fixture
def new_artifact(manifest):
    """A folder with a manifest of its own and figures; registering reads no more than that."""

    def make(folder, name="r34"):
        folder.mkdir(parents=True)
        text = json.dumps(manifest | {"name": name})
        (folder / artifact.MANIFEST).write_text(text)
        (folder / artifact.METRICS).write_text('{"auc": 0.99}')
        return folder

    return make


@pytest.fixture
def ship(monkeypatch, base, new_artifact):
    """Replaces the model that comes with the code."""
    models = base / "ml" / "models"
    monkeypatch.setattr(artifact, "MODELS", models)

    def place(name):
        shutil.rmtree(models, ignore_errors=True)
        return new_artifact(models / name, name)

    return place


def actives():
    return [version.name for version in ModelVersion.objects.filter(is_active=True)]


@pytest.mark.django_db
def test_an_artifact_becomes_known(tmp_path, new_artifact):
    folder = new_artifact(tmp_path / "mine")
    version = registry.register(folder)
    assert (version.name, version.metrics, version.is_active) == ("r34", {"auc": 0.99}, False)
    assert version.fingerprint == artifact.read_manifest(folder).fingerprint
    assert list(version.manifest["classes"]) == ["uninfected", "parasitized"]
    assert registry.folder_of(version) == folder


@pytest.mark.django_db
def test_the_same_artifact_is_known_once_and_where_it_is_now(tmp_path, new_artifact):
    first = registry.register(new_artifact(tmp_path / "here"), activate=True)
    (tmp_path / "here").rename(tmp_path / "there")
    again = registry.register(tmp_path / "there")
    assert again == first
    assert again.is_active
    assert registry.folder_of(again) == tmp_path / "there"


@pytest.mark.django_db
def test_an_installation_may_move(base, tmp_path, settings, new_artifact):
    version = registry.register(new_artifact(base / "ml" / "models" / "shipped"))
    assert version.path == "ml/models/shipped"
    settings.BASE_DIR = tmp_path / "elsewhere"
    assert registry.folder_of(version) == tmp_path / "elsewhere/ml/models/shipped"


@pytest.mark.django_db
def test_no_artifact_is_a_sentence(tmp_path):
    with pytest.raises(ArtifactError, match="no trained model"):
        registry.register(tmp_path / "nothing")
    assert not ModelVersion.objects.exists()


@pytest.mark.django_db
def test_without_a_model_there_is_a_sentence():
    with pytest.raises(registry.NoModel, match="No model is active"):
        registry.active_model()


@pytest.mark.django_db
def test_exactly_one_is_active(tmp_path, new_artifact):
    first = registry.register(new_artifact(tmp_path / "a", "a"), activate=True)
    second = registry.register(new_artifact(tmp_path / "b", "b"), activate=True)
    assert registry.active_model() == second
    registry.activate(first)
    registry.activate(first)
    assert actives() == ["a"]
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.update(is_active=True)


@pytest.mark.django_db
def test_a_new_installation_reads_with_the_shipped_model(ship):
    ship("resnet34-1")
    assert registry.ensure_shipped().name == "resnet34-1"
    assert registry.ensure_shipped().name == "resnet34-1"
    assert actives() == ["resnet34-1"]


@pytest.mark.django_db
def test_a_newer_shipped_model_takes_the_place_of_an_older(ship):
    ship("resnet34-1")
    registry.ensure_shipped()
    ship("resnet34-2")
    assert registry.ensure_shipped().name == "resnet34-2"
    assert actives() == ["resnet34-2"]


@pytest.mark.django_db
def test_a_chosen_model_stays(ship, tmp_path, new_artifact):
    ship("resnet34-1")
    registry.ensure_shipped()
    registry.register(new_artifact(tmp_path / "own", "own"), activate=True)
    ship("resnet34-2")
    assert registry.ensure_shipped().name == "own"
    assert actives() == ["own"]
    assert ModelVersion.objects.filter(name="resnet34-2").exists()


@pytest.mark.django_db
def test_nothing_shipped_is_a_sentence(base, monkeypatch):
    monkeypatch.setattr(artifact, "MODELS", base / "ml" / "models")
    with pytest.raises(ArtifactError, match="No model is shipped"):
        registry.ensure_shipped()


def test_two_that_activate_at_once_leave_one_active(real_database, tmp_path, new_artifact):
    versions = [registry.register(new_artifact(tmp_path / str(n), str(n))) for n in range(4)]
    registry.activate(versions[0])
    outcomes = at_once(*(partial(registry.activate, version) for version in versions * 3))
    assert outcomes == [None] * 12
    assert len(actives()) == 1
