import json
import shutil
from functools import partial
from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction

from diagnosis import registry
from diagnosis.models import Activation, Band, ModelVersion
from ml import artifact
from ml.artifact import ArtifactError
from ml.decisions import Thresholds
from tests.databases import at_once
from tests.people import person
from tests.readings import another_model


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
    artifact.write_json(folder / artifact.BACKGROUND, {"sensitivity": 0.9})
    again = registry.register(folder)
    assert (again, again.metrics) == (version, {"auc": 0.99, "background": {"sensitivity": 0.9}})


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
def test_each_activation_is_recorded(ship, tmp_path, new_artifact):
    boss = person("boss")
    ship("resnet34-1")
    first = registry.ensure_shipped()
    registry.ensure_shipped()
    own = registry.register(new_artifact(tmp_path / "own", "own"), activate=True, reason="Trained.")
    assert registry.activate(first, "It misses rings.", boss)
    assert not registry.activate(first, "Twice.", boss)
    rows = Activation.objects.order_by("pk").values_list("version", "replaced", "by", "reason")
    assert list(rows) == [
        (first.pk, None, None, registry.FIRST),
        (own.pk, first.pk, None, "Trained."),
        (first.pk, own.pk, boss.pk, "It misses rings."),
    ]
    assert [row.who for row in Activation.objects.order_by("pk")] == [
        "command line",
        "command line",
        "boss",
    ]
    assert registry.former() == own


@pytest.mark.django_db
def test_who_did_it_is_known_after_the_account_is_closed(tmp_path, new_artifact):
    boss = person("boss")
    version = registry.register(new_artifact(tmp_path / "a", "a"))
    registry.activate(version, "First.", boss)
    registry.set_band(version, Thresholds(0.1, 0.9), "Careful.", boss)
    boss.delete()
    assert (Activation.objects.get().by, Activation.objects.get().who) == (None, "boss")
    assert (Band.objects.get().by, Band.objects.get().who) == (None, "boss")


@pytest.mark.django_db
class TestBand:
    def test_the_newest_counts_until_the_models_own_count_again(self):
        version, other = another_model("a"), another_model("b")
        assert registry.band_of(version) is None
        assert registry.set_band(version, Thresholds(0.1, 0.9), "Careful.")
        assert registry.set_band(version, Thresholds(0.2, 0.7), "Less so.")
        assert registry.band_of(version).thresholds == Thresholds(0.2, 0.7)
        assert registry.band_of(other) is None
        assert registry.set_band(version, None, "Back.")
        assert registry.band_of(version) is None
        assert list(Band.objects.order_by("pk").values_list("low", "high", "reason")) == [
            (0.1, 0.9, "Careful."),
            (0.2, 0.7, "Less so."),
            (None, None, "Back."),
        ]

    def test_what_counts_already_is_not_recorded(self):
        version = another_model()
        assert not registry.set_band(version, None, "Back.")
        registry.set_band(version, Thresholds(0.1, 0.9), "Careful.")
        assert not registry.set_band(version, Thresholds(0.1, 0.9), "Again.")
        assert Band.objects.count() == 1

    @pytest.mark.parametrize(
        "values", [(0.6, 0.9), (0.1, 0.4), (-0.1, 0.9), (0.1, None), (None, 1)]
    )
    def test_the_database_refuses_one_without_one_half(self, values):
        low, high = values
        with pytest.raises(IntegrityError), transaction.atomic():
            Band.objects.create(version=another_model(), low=low, high=high, reason="")


@pytest.mark.django_db
def test_says_where_the_files_are_not_on_this_host(tmp_path, new_artifact):
    version = registry.register(new_artifact(tmp_path / "a", "a"))
    assert registry.absence(version) == ""
    (tmp_path / "a").rename(tmp_path / "b")
    assert "no trained model" in registry.absence(version)
    new_artifact(tmp_path / "a", "another")
    assert "Another model lies in" in registry.absence(version)


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
    assert set(outcomes) <= {True, False}
    assert len(actives()) == 1
    assert Activation.objects.count() == 1 + outcomes.count(True)
    history = list(Activation.objects.order_by("pk"))
    for before, after in pairwise(history):
        assert after.replaced == before.version
    assert history[-1].version == registry.active_model()
