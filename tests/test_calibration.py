import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ml.calibration import TEMPERATURE_RANGE, decide, fit_temperature, fit_thresholds, sigmoid

few_cells = st.lists(
    st.tuples(st.sampled_from(np.linspace(0, 1, 13).tolist()), st.integers(0, 1)),
    min_size=1,
    max_size=24,
)


def cells(temperature, size=40_000, seed=0):
    """Logits of a model that is over-confident by `temperature`, and the truth they stand for."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 3, size)
    return honest * temperature, (random.random(size) < 1 / (1 + np.exp(-honest))).astype(int)


def loss(logit, truth, temperature):
    return np.logaddexp(0, np.where(truth == 1, -logit, logit) / temperature).mean()


def test_sigmoid_is_the_logistic_function_and_never_overflows():
    with np.errstate(all="raise", under="ignore"):
        values = sigmoid([-1e4, -np.log(3), 0, np.log(3), 1e4])
    assert values == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    assert fit_temperature(*cells(temperature)) == pytest.approx(temperature, rel=0.03)


def test_temperature_is_the_slope_of_a_logistic_regression_without_intercept():
    logit, truth = cells(1.7, size=3000)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    slope = regression.fit(logit[:, None], truth).coef_[0, 0]
    assert fit_temperature(logit, truth) == pytest.approx(1 / slope, rel=1e-4)


@given(st.integers(0, 10_000), st.floats(0.5, 3), st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_no_other_temperature_is_likelier(seed, true_temperature, other):
    logit, truth = cells(true_temperature, size=200, seed=seed)
    fitted = fit_temperature(logit, truth)
    assert loss(logit, truth, fitted) <= loss(logit, truth, other) + 1e-9


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_temperature_takes_the_numbers_an_engine_returns(dtype):
    logit, truth = cells(2.0, size=5000)
    assert fit_temperature(logit.astype(dtype), truth.astype(bool)) == pytest.approx(
        fit_temperature(logit, truth), rel=0.01
    )


def test_temperature_stays_in_its_range():
    assert fit_temperature([-4, -3, 3, 4], [0, 0, 1, 1]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature([4, 3, -3, -4], [0, 0, 1, 1]) == pytest.approx(TEMPERATURE_RANGE[1])


@pytest.mark.parametrize(
    ("logit", "truth", "sentence"),
    [
        ([1, 2], [1, 1], "one class is missing"),
        ([1, 2], [0, 0], "one class is missing"),
        ([1, np.nan], [0, 1], "not a finite number"),
        ([1, np.inf], [0, 1], "not a finite number"),
        ([1, 2], [0, 2], "must be 0"),
        ([1, 2, 3], [0, 1], "one length"),
        ([], [], "not empty"),
    ],
)
def test_what_a_temperature_cannot_be_fitted_to(logit, truth, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_temperature(logit, truth)


def outcome(probability, truth, band):
    """Share decided, and accuracy among those, by way of `decide`."""
    decisions = [decide(p, band) for p in probability]
    decided = [(d, t) for d, t in zip(decisions, truth, strict=True) if d != "uncertain"]
    right = sum((d == "parasitized") == bool(t) for d, t in decided)
    return len(decided) / len(decisions), right / len(decided) if decided else 0.0


def best_by_trying_all(probability, truth, accuracy, coverage):
    """(reached, coverage, accuracy) of the best band, from every pair of cuts."""
    p, t = np.array(probability), np.array(truth).astype(bool)
    edges = {0.5, *p.tolist()}
    outcomes = []
    for low, high in itertools.product(edges, edges):
        if not low <= 0.5 <= high:
            continue
        uncertain = (p >= low) & (p < high)
        below, above = p < 0.5, p >= 0.5
        whole_side = any(side.any() and uncertain[side].all() for side in (below, above))
        if whole_side or uncertain.sum() > np.floor((1 - coverage) * len(p) + 1e-9):
            continue
        kept = ~uncertain
        right = float((above == t)[kept].mean())
        outcomes.append((right >= accuracy - 1e-12, float(kept.mean()), right))
    reached = [o for o in outcomes if o[0]]
    if reached:
        return max(reached)
    return max(outcomes, key=lambda o: (o[2], o[1]))


@given(few_cells, st.sampled_from([0.6, 0.9, 0.99]), st.sampled_from([0.3, 0.8, 0.9]))
@settings(max_examples=300, deadline=None)
def test_no_other_band_keeps_the_promise_better(rows, accuracy, coverage):
    probability, truth = zip(*rows, strict=True)
    band = fit_thresholds(probability, truth, accuracy, coverage)
    reached, share, right = best_by_trying_all(probability, truth, accuracy, coverage)
    assert outcome(probability, truth, band) == pytest.approx((share, right))
    assert share >= coverage - 1e-9
    assert not reached or right >= accuracy - 1e-9


@given(few_cells, st.randoms())
def test_thresholds_do_not_depend_on_the_order_of_the_cells(rows, random):
    shuffled = rows.copy()
    random.shuffle(shuffled)
    probability, truth = np.array(rows).T
    again, truth_again = np.array(shuffled).T
    assert fit_thresholds(probability, truth) == fit_thresholds(again, truth_again)


def test_thresholds_of_a_good_model_promise_99_percent_on_90_percent():
    random = np.random.default_rng(3)
    probability = sigmoid(random.normal(0, 25, 20_000))
    honest = (random.random(20_000) < probability).astype(int)
    assert ((probability >= 0.5) == honest).mean() < 0.98
    band = fit_thresholds(probability, honest)
    share, right = outcome(probability, honest, band)
    assert right >= 0.99
    assert 0.9 <= share < 1
    assert band.low < 0.5 < band.high


def test_a_model_that_needs_no_band_gets_an_empty_one():
    band = fit_thresholds([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert (band.low, band.high) == (0.5, 0.5)


@pytest.mark.parametrize("truth", [0, 1])
def test_one_class_alone_is_enough_for_thresholds(truth):
    probability = np.linspace(0, 1, 50)
    share, _ = outcome(
        probability, [truth] * 50, fit_thresholds(probability, [truth] * 50, coverage=0.9)
    )
    assert share >= 0.9


@pytest.mark.parametrize(
    ("probability", "goals", "sentence"),
    [
        ([0.1, 1.2], {}, "between 0 and 1"),
        ([0.1, np.nan], {}, "not a finite number"),
        ([0.1, 0.2], {"accuracy": 1.5}, "between 0 and 1"),
        ([0.1, 0.2], {"coverage": -0.1}, "between 0 and 1"),
    ],
)
def test_what_thresholds_cannot_be_fitted_to(probability, goals, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_thresholds(probability, [0, 1], **goals)


def test_deciding_imports_neither_scipy_nor_sklearn():
    code = (
        "import sys; from ml.calibration import Thresholds, decide, sigmoid;"
        "import ml.evaluation;"
        "decide(float(sigmoid(2.0)), Thresholds(0.2, 0.8));"
        "sys.exit(not {'scipy', 'sklearn', 'matplotlib', 'torch'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
