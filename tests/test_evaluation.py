import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.decisions import Thresholds
from ml.evaluation import evaluate, report

BAND = Thresholds(0.25, 0.75)
FIGURES = [
    "accuracy",
    "auc",
    "sensitivity",
    "specificity",
    "f1",
    "mcc",
    "ece",
    "brier",
    "coverage",
    "accuracy_when_confident",
    "rejected",
]


def cells(seed=0, size=600, slides=24):
    random = np.random.default_rng(seed)
    truth = (random.random(size) < 0.5).astype(int)
    logit = np.where(truth == 1, 2.0, -2.0) + random.normal(0, 1.6, size)
    names = [f"C{i}" for i in random.integers(slides, size=size)]
    return 1 / (1 + np.exp(-logit)), truth, names


@pytest.fixture(scope="module")
def result():
    probability, truth, slides = cells()
    return evaluate(probability, truth, slides, BAND, bootstrap=300)


def test_result_is_json_without_nan(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_every_figure_lies_in_its_interval(result):
    flat = {name: result[name] for name in FIGURES} | {
        f"sensitivity_at_specificity_{s}": value
        for s, value in result["sensitivity_at_specificity"].items()
    }
    assert flat.keys() == result["intervals"].keys()
    for name, value in flat.items():
        low, high = result["intervals"][name]
        assert low <= value <= high, name


def test_counts_add_up(result):
    confusion, rows = result["confusion"], result["per_slide"]
    assert sum(confusion.values()) == result["n"] == sum(row["n"] for row in rows) == 600
    assert result["slides"] == len(rows) == 24
    assert confusion["tp"] + confusion["fn"] == sum(row["parasitized"] for row in rows)
    assert result["accuracy"] == pytest.approx((confusion["tp"] + confusion["tn"]) / 600, abs=1e-6)
    assert result["thresholds"] == {"low": 0.25, "high": 0.75}


def test_one_half_is_labelled_parasitized():
    confusion = evaluate([0.5, 0.5, 0.49, 0.49], [1, 0, 1, 0], None, BAND, 10)["confusion"]
    assert confusion == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}


def test_each_slide_has_its_row_and_the_worst_tenth_its_pool():
    # Ten slides of four cells; C3 has two wrong, C7 one. C10 is alone in having six.
    slides = [f"C{i}" for i in range(10) for _ in range(4)] + ["C10"] * 6
    truth = [1, 1, 0, 0] * 10 + [1, 1, 1, 0, 0, 0]
    probability = [0.9, 0.9, 0.1, 0.1] * 10 + [0.9, 0.9, 0.9, 0.1, 0.1, 0.9]
    probability[12] = 0.2
    probability[15] = 0.8
    probability[28] = 0.2
    result = evaluate(probability, truth, slides, BAND, 50)
    rows = {row["slide"]: row for row in result["per_slide"]}
    assert rows["C3"] == {"slide": "C3", "n": 4, "parasitized": 2, "accuracy": 0.5}
    assert rows["C10"] == {"slide": "C10", "n": 6, "parasitized": 3, "accuracy": 0.833333}
    # Eleven slides: a tenth, rounded up, is two.
    assert result["worst_tenth"] == {"slides": ["C3", "C7"], "n": 8, "accuracy": 0.625}


def test_intervals_are_the_same_each_time_and_others_with_another_seed():
    probability, truth, slides = cells()
    first, again, other = (
        evaluate(probability, truth, slides, BAND, 100, seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["intervals"] != other["intervals"]


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_cells_does_not_matter(seed):
    probability, truth, slides = cells()
    order = np.random.default_rng(seed).permutation(len(truth))
    shuffled = evaluate(probability[order], truth[order], [slides[i] for i in order], BAND, 50)
    assert shuffled == evaluate(probability, truth, slides, BAND, 50)


@pytest.mark.parametrize(
    ("truth", "undefined"),
    [
        (1, {"auc", "specificity", "mcc"}),
        (0, {"auc", "sensitivity", "f1", "mcc"}),
    ],
)
def test_one_class_leaves_what_it_cannot_define_empty(truth, undefined):
    probability, _, slides = cells()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(probability, [truth] * 600, slides, BAND, 50)
        text = report(result)
    assert {name for name in FIGURES if result[name] is None} == undefined
    assert set(result["sensitivity_at_specificity"].values()) == {None}
    assert all(result["intervals"][name] is None for name in undefined)
    assert "nan" not in text
    json.dumps(result, allow_nan=False)


def test_a_class_that_only_some_slides_hold_is_still_given_an_interval():
    probability, truth, slides = [0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], ["C1", "C1", "C2", "C2"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(probability, truth, slides, BAND, 50)
    assert result["intervals"]["auc"] == [1.0, 1.0]


def test_nothing_confident_has_no_accuracy():
    result = evaluate([0.5, 0.4], [1, 0], ["C1", "C2"], Thresholds(0.0, 1.0), 10)
    assert result["coverage"] == 0
    assert result["accuracy_when_confident"] is None


def test_without_slides_intervals_are_by_image_and_say_so():
    probability, truth, _ = cells()
    result = evaluate(probability, truth, None, BAND, 100)
    assert "by image" in result["note"]
    assert result["slides"] is None
    assert result["per_slide"] == []
    assert result["worst_tenth"] is None
    low, high = result["intervals"]["accuracy"]
    error = 1.96 * np.sqrt(result["accuracy"] * (1 - result["accuracy"]) / 600)
    assert (high - low) / 2 == pytest.approx(error, rel=0.25)


def test_one_slide_alone_has_no_intervals():
    probability, truth, _ = cells()
    result = evaluate(probability, truth, ["C1"] * 600, BAND)
    assert result["intervals"] == {}
    assert "one slide" in result["note"]


@pytest.mark.parametrize(
    ("probability", "truth", "slides", "sentence"),
    [
        ([], [], None, "nothing to evaluate"),
        ([0.1, 0.2], [1], None, "one length"),
        ([0.1, 0.2], [0, 1], ["C1"], "one slide name"),
        ([0.1, 1.2], [0, 1], None, "between 0 and 1"),
        ([0.1, np.nan], [0, 1], None, "between 0 and 1"),
        ([0.1, 0.2], [0, 3], None, "must be 0"),
    ],
)
def test_what_cannot_be_evaluated(probability, truth, slides, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(probability, truth, slides, BAND)


def test_report_holds_every_figure(result):
    text = report(result)
    for name in FIGURES:
        assert f"{result[name]:.4f}" in text
        assert f"{result['intervals'][name][0]:.4f}" in text
    for count in result["confusion"].values():
        assert str(count) in text
    assert "600 cells of 24 slides" in text
    assert all(slide in text for slide in result["worst_tenth"]["slides"])
    assert all(len(line) <= 80 for line in text.splitlines())


def test_report_of_a_known_confusion():
    truth = [1] * 10 + [0] * 10
    probability = [0.9] * 8 + [0.1] * 2 + [0.1] * 9 + [0.9]
    lines = report(evaluate(probability, truth, None, BAND, 10)).splitlines()
    parasitized, uninfected = (
        line.split() for line in lines if line.startswith(("parasitized", "uninfected"))
    )
    # labelled parasitized, labelled uninfected, precision, recall, f1, cells
    assert parasitized[1:] == ["8", "2", "0.8889", "0.8000", "0.8421", "10"]
    assert uninfected[1:] == ["1", "9", "0.8182", "0.9000", "0.8571", "10"]
