import pytest
from django.urls import reverse

from tests.readings import active_model

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
    (tmp_path / "card.md").write_text(CARD)
    active_model(path=str(tmp_path))
    text = page(client).text
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
