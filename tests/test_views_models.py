from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis import registry
from diagnosis.models import Activation, Band
from ml.decisions import Thresholds
from tests.artifacts import bare_artifact
from tests.people import laboratory_of, person, signed_in
from tests.readings import active_model, another_model, png

pytestmark = pytest.mark.django_db
FIGURES = {
    "n": 4412,
    "slides": 32,
    "accuracy": 0.9631,
    "auc": 0.9932,
    "sensitivity": 0.957,
    "specificity": 0.971,
    "confusion": {"tp": 2222, "fn": 100, "fp": 61, "tn": 2029},
    "intervals": {"accuracy": [0.951, 0.973], "auc": None},
}
CARD = """# nameless

<script>alert(1)</script> [x](javascript:alert)

## Data

| part | cells |
|---|---|
| test | 4,412 |
"""


REASON = {"reason": "It misses rings."}
READ = ["model_version", "model_compare", "model_plot"]
CHANGE = ["model_activate", "model_thresholds"]


@pytest.fixture
def artifact(tmp_path):
    files = {"card_md": b"# a\n\nHow it was made.", "roc_png": png(), "weights_bin": b"secret"}
    return bare_artifact(tmp_path / "a", "model-a", **files)


@pytest.fixture
def version(artifact):
    return registry.register(artifact, activate=True, reason="Trained.")


@pytest.fixture
def member():
    """The administrator of a laboratory, not of the site."""
    return signed_in(laboratory_of("ada").members.get())


@pytest.fixture
def boss():
    return signed_in(person("boss", is_staff=True, is_superuser=True))


def url(name, version):
    if name == "model_compare":
        return reverse(name) + f"?one={version.pk}&other={version.pk}"
    extra = ["roc.png"] if name == "model_plot" else []
    return reverse(name, args=[version.pk, *extra])


def page(client):
    return client.get(reverse("model"))


def test_says_where_no_model_is_active(client):
    assert "No model is active" in page(client).text


@pytest.mark.parametrize("metrics", [FIGURES, {"test": FIGURES}])
def test_shows_figures_with_intervals(client, metrics):
    active_model(metrics=metrics)
    text = page(client).text
    for words in ("96.3 %", "95.1 % to 97.3 %", "0.993", "4,412 cells", "32 slides", "61 invented"):
        assert words in text
    assert "about 29 parasitized" in text


def test_says_its_limits_with_and_without_figures(client):
    active_model(metrics={})
    text = page(client).text
    for words in ("Research use only", "P. falciparum", "without measured figures", "80.0 %"):
        assert words in text


def test_shows_the_card_beside_the_model(client, tmp_path):
    registry.register(bare_artifact(tmp_path / "a", card_md=CARD.encode()), activate=True)
    text = page(client).text
    assert "This site reads whole fields too" in text
    assert "<h3>Data</h3>" in text
    assert "<td>test</td>" in text
    assert "&lt;script&gt;" in text
    assert 'href="javascript:' not in text
    assert "nameless" not in text


def test_says_what_it_was_trained_on(client):
    parts = {"training": {"slides": 109, "parasitized": 7000, "uninfected": 6500}}
    active_model(manifest={"data": parts})
    assert "13,500 cells of 109 slides" in page(client).text


def test_is_only_read(client):
    assert client.post(reverse("model")).status_code == 405


class TestAccess:
    @pytest.mark.parametrize("name", READ + CHANGE)
    def test_anonymous_people_sign_in_first(self, name, version):
        response = Client().get(url(name, version))
        assert response["Location"].startswith(reverse("account_login"))

    @pytest.mark.parametrize("name", READ)
    def test_everyone_who_signed_in_may_read(self, name, version, member):
        assert member.get(url(name, version)).status_code == 200
        assert member.post(url(name, version)).status_code == 405

    @pytest.mark.parametrize("name", CHANGE)
    def test_only_the_operator_changes(self, name, version, member):
        staff = signed_in(person("staff", is_staff=True))
        for client in (member, staff):
            assert client.get(url(name, version)).status_code == 404
            data = REASON | {"low": 1, "high": 99}
            assert client.post(url(name, version), data).status_code == 404
        assert Activation.objects.count() == 1
        assert not Band.objects.exists()

    @pytest.mark.parametrize("name", READ + CHANGE)
    def test_what_is_not_known_is_not_found(self, name, version, boss):
        for number in (0, version.pk + 1, 10**30):
            version.pk = number
            assert boss.get(url(name, version)).status_code == 404

    @pytest.mark.parametrize("query", ["", "?one=1", "?one=x&other=y", f"?one={'9' * 5000}"])
    def test_nor_is_a_comparison_of_nothing(self, query, boss):
        assert boss.get(reverse("model_compare") + query).status_code == 404

    @pytest.mark.parametrize("name", CHANGE)
    def test_needs_the_page_s_token(self, name, version):
        client = Client(enforce_csrf_checks=True)
        client.force_login(person("boss", is_staff=True, is_superuser=True))
        assert client.post(url(name, version), REASON).status_code == 403

    def test_anonymous_people_see_the_active_version_alone(self, client, version):
        another_model("secret-plan")
        text = page(client).text
        assert "model-a" in text
        assert "secret-plan" not in text
        assert "What was changed" not in text

    def test_only_the_operator_is_offered_changes(self, version, member, boss):
        other = another_model()
        offers = [url("model_activate", other), url("model_thresholds", other)]
        for client, offered in ((member, False), (boss, True)):
            text = client.get(url("model_version", other)).text
            assert [offer in text for offer in offers] == [offered, offered]
            assert (offers[0] in page(client).text) is offered


class TestList:
    def test_shows_each_version_with_its_figures(self, member, version):
        other = another_model("model-b", metrics={"test": FIGURES})
        text = page(member).text
        for words in ("96.3 %", "95.1 % to 97.3 %", "0.993", "test slides"):
            assert words in text
        for each in (version, other):
            assert url("model_version", each) in text
            assert each.fingerprint[:12] in text
        assert text.count("<strong>Active</strong>") == 1

    def test_says_since_when_one_is_active(self, member, version):
        Activation.objects.update(at=timezone.now() - timedelta(days=400))
        shown = Activation.objects.get().at.strftime("%Y, %H:%M")
        assert f"{shown}</small>" in page(member).text

    def test_says_what_was_changed_by_whom_and_why(self, member, boss, version):
        other = another_model("model-b")
        boss.post(url("model_activate", other), REASON | {"elsewhere": "on"})
        boss.post(url("model_thresholds", other), REASON | {"low": 5, "high": 97.5})
        text = page(member).text
        for words in (
            "model-a became active.",
            "Trained.",
            "command line",
            "model-b became active in place of model-a.",
            "It misses rings.",
            "boss",
            "model-b is uncertain from 5.0 % up to 97.5 %.",
        ):
            assert words in text
        history = member.get(url("model_version", version)).text
        assert "Trained." in history
        assert "It misses rings." not in history

    def test_works_where_none_is_active(self, member):
        another_model("model-b")
        text = page(member).text
        assert "No model is active" in text
        assert "model-b" in text


class TestVersion:
    def test_shows_what_came_with_it(self, member, version):
        text = member.get(url("model_version", version)).text
        for words in ("How it was made.", version.fingerprint, "0" * 64, "40.0 %", "60.0 %"):
            assert words in text
        assert url("model_plot", version) in text
        assert "reliability.png" not in text

    def test_shows_all_figures_of_all_slides(self, member):
        metrics = {"test": FIGURES | {"f1": 0.9612}, "validation": FIGURES | {"f1": 0.9512}}
        text = member.get(url("model_version", another_model(metrics=metrics))).text
        for words in ("Test slides", "Validation slides", "0.961", "0.951", "95.1 % to 97.3 %"):
            assert words in text

    def test_a_folder_that_is_not_here_is_said_in_words(self, member, version, artifact):
        artifact.rename(artifact.with_name("elsewhere"))
        for response in (member.get(url("model_version", version)), page(member)):
            assert response.status_code == 200
            assert "cannot be shown here. There is no trained model in" in response.text
        assert member.get(url("model_plot", version)).status_code == 404

    def test_the_card_of_another_model_is_not_shown(self, member, version, artifact):
        artifact.rename(artifact.with_name("elsewhere"))
        bare_artifact(artifact, "model-b", card_md=b"Another card.")
        text = member.get(url("model_version", version)).text
        assert "Another model lies in" in text
        assert "Another card." not in text

    def test_says_whose_thresholds_count(self, member, version):
        registry.set_band(version, Thresholds(0.05, 0.97), "Careful.")
        text = member.get(url("model_version", version)).text
        for words in ("97.0 %", "below 5.0 %", "This installation set it so", "40.0 % to 60.0 %"):
            assert words in text


class TestPlot:
    def test_comes_as_it_was_made(self, member, version):
        response = member.get(url("model_plot", version))
        assert response.getvalue() == png()
        assert response["Content-Type"] == "image/png"
        assert "private" in response["Cache-Control"]

    def test_nothing_else_of_the_folder_is_served(self, member, version):
        for name in ("weights.bin", "manifest.json", "card.md", "reliability.png", "..", "%2e%2e"):
            address = url("model_version", version) + f"plots/{name}"
            assert member.get(address).status_code == 404

    def test_an_altered_one_is_not_shown(self, member, version, artifact):
        (artifact / "roc.png").write_bytes(png(1))
        assert member.get(url("model_plot", version)).status_code == 404
        text = member.get(url("model_version", version)).text
        assert url("model_plot", version) not in text


class TestActivate:
    def test_the_reason_is_asked_for_and_kept(self, boss, version):
        other = another_model("model-b")
        assert "in place of model-a" in boss.get(url("model_activate", other)).text
        other_here = {"elsewhere": "on"}
        assert boss.post(url("model_activate", other), other_here).status_code == 400
        assert registry.active_model() == version
        response = boss.post(url("model_activate", other), REASON | other_here)
        assert response["Location"] == reverse("model")
        assert registry.active_model() == other
        deed = Activation.objects.first()
        assert (deed.version, deed.replaced, deed.who) == (other, version, "boss")
        assert (deed.reason, deed.by.username) == ("It misses rings.", "boss")

    def test_a_folder_that_is_not_here_has_to_be_elsewhere(self, boss, version):
        other = another_model("model-b")
        answer = boss.post(url("model_activate", other), REASON)
        assert answer.status_code == 400
        assert "There is no trained model in" in answer.text
        assert registry.active_model() == version

    def test_the_page_offers_to_roll_back(self, boss, tmp_path, version):
        other = registry.register(bare_artifact(tmp_path / "b", "model-b"))
        boss.post(url("model_activate", other), REASON)
        text = page(boss).text
        assert "Roll back to model-a" in text
        boss.post(url("model_activate", version), REASON)
        assert registry.active_model() == version
        assert "Roll back to model-b" in page(boss).text

    def test_twice_is_recorded_once(self, boss, version):
        boss.post(url("model_activate", version), REASON)
        assert Activation.objects.count() == 1


class TestThresholds:
    def post(self, boss, version, **data):
        return boss.post(url("model_thresholds", version), REASON | data)

    def test_are_set_for_this_installation(self, boss, version):
        assert 'value="40.0"' in boss.get(url("model_thresholds", version)).text
        assert self.post(boss, version, low=12.5, high=90).status_code == 302
        band = registry.band_of(version)
        assert (band.thresholds, band.who) == (Thresholds(0.125, 0.9), "boss")
        assert band.reason == "It misses rings."
        version.refresh_from_db()
        assert version.own_thresholds == Thresholds(0.4, 0.6)

    @pytest.mark.parametrize(
        ("low", "high"), [(51, 60), (40, 49), (-1, 60), (40, 101), ("", 60), ("nan", 60), (1, "x")]
    )
    def test_nonsense_is_refused(self, low, high, boss, version):
        assert self.post(boss, version, low=low, high=high).status_code == 400
        assert not Band.objects.exists()

    def test_the_reason_is_needed(self, boss, version):
        assert self.post(boss, version, low=10, high=90, reason=" ").status_code == 400
        assert not Band.objects.exists()

    def test_the_models_own_can_be_put_back(self, boss, version):
        self.post(boss, version, low=10, high=90)
        assert self.post(boss, version, own=1).status_code == 400
        data = {"own": 1, "back-reason": "Too many uncertain."}
        assert boss.post(url("model_thresholds", version), data).status_code == 302
        assert registry.band_of(version) is None
        assert "by its own thresholds again" in page(boss).text
        version.refresh_from_db()
        assert version.own_thresholds == Thresholds(0.4, 0.6)


class TestComparison:
    def compare(self, client, one, other):
        return client.get(reverse("model_compare"), {"one": one.pk, "other": other.pk}).text

    def measured(self, name, slides, part="test", **figures):
        return another_model(
            name, metrics={part: FIGURES | figures}, manifest={"data": {f"{part}_slides": slides}}
        )

    def test_shows_both_with_intervals_and_the_difference(self, member):
        one = self.measured("model-a", ["C1", "C2"])
        other = self.measured("model-b", ["C2", "C1"], accuracy=0.9731, auc=0.9812)
        text = self.compare(member, one, other)
        for words in ("96.3 %", "95.1 % to 97.3 %", "97.3 %", "+1.0 points", "−0.012"):
            assert words in text
        assert "Both were measured on the same 2 test slides, 4,412 cells." in text

    def test_says_where_the_slides_differ(self, member):
        one, other = self.measured("a", ["C1", "C2"]), self.measured("b", ["C2", "C3", "C4"])
        text = self.compare(member, one, other)
        assert "Not measured on the same test slides: a on 2 test slides, b on 3 test" in text
        assert "1 of them in both" in text

    def test_says_where_the_cells_differ(self, member):
        one, other = self.measured("a", ["C1"]), self.measured("b", ["C1"], n=4000)
        assert "not on the same cells: 4,412 and 4,000" in self.compare(member, one, other)

    def test_says_where_nobody_knows(self, member):
        one, other = self.measured("a", ["C1"]), self.measured("b", [])
        assert "Nobody noted" in self.compare(member, one, other)

    def test_says_where_only_one_has_test_slides(self, member):
        one, other = self.measured("a", ["C1"]), self.measured("b", ["C1"], "validation")
        text = self.compare(member, one, other)
        assert "Not measured on the same kind of slides" in text
        assert "flatter" in text

    def test_says_where_one_has_no_figures(self, member):
        text = self.compare(member, self.measured("a", ["C1"]), another_model("model-b"))
        assert "model-b came without measured figures." in text
