"""Metrics against scikit-learn, the bootstrap against plain resampling and the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from ml.decisions import Thresholds, decide
from ml.metrics import Sample, bin_of, cluster_weights, intervals

BAND = Thresholds(0.25, 0.8)


def draw(seed, size=300, clusters=12, ties=False, effect=0.0):
    """Cells of several slides; with ties, probabilities of one digit."""
    random = np.random.default_rng(seed)
    cluster = np.concatenate((np.arange(clusters), random.integers(clusters, size=size - clusters)))
    truth = random.random(size) < 0.4
    shift = random.normal(0, effect, clusters)[cluster]
    logit = random.normal(0, 1.5, size) + np.where(truth, 1.5, -1.5) + shift
    probability = 1 / (1 + np.exp(-logit))
    return probability.round(1) if ties else probability, truth, cluster


def by_reference(probability, truth, weights=None):
    called = probability >= 0.5
    recall = {"sample_weight": weights}
    false, true, _ = reference.roc_curve(
        truth, probability, sample_weight=weights, drop_intermediate=False
    )
    return {
        "accuracy": reference.accuracy_score(truth, called, **recall),
        "auc": reference.roc_auc_score(truth, probability, **recall),
        "sensitivity": reference.recall_score(truth, called, **recall),
        "specificity": reference.recall_score(~truth, ~called, **recall),
        "f1": reference.f1_score(truth, called, **recall),
        "mcc": reference.matthews_corrcoef(truth, called, **recall),
        "brier": reference.brier_score_loss(truth, probability, **recall),
        "sensitivity_at_specificity_0.98": true[false <= 0.02 + 1e-9].max(),
        "sensitivity_at_specificity_0.99": true[false <= 0.01 + 1e-9].max(),
    }


def picked(values, names):
    return {name: values[name] for name in names}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_estimates_agree_with_scikit_learn(seed, ties):
    probability, truth, cluster = draw(seed, ties=ties)
    expected = by_reference(probability, truth)
    estimate = Sample(probability, truth, cluster, BAND).estimate()
    assert picked(estimate, expected) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
def test_a_draw_is_the_same_as_repeating_the_cells_of_its_clusters(ties):
    probability, truth, cluster = draw(5, ties=ties)
    sample = Sample(probability, truth, cluster, BAND)
    weights = next(cluster_weights(sample.clusters, draws=20, seed=1, at_once=20))
    drawn = sample.metrics(weights)
    for i, weight in enumerate(weights):
        again = np.repeat(np.arange(len(truth)), weight[cluster])
        repeated = Sample(probability[again], truth[again], cluster[again], BAND).estimate()
        assert {name: values[i] for name, values in drawn.items()} == pytest.approx(repeated)
        expected = by_reference(probability, truth, weight[cluster])
        assert picked(repeated, expected) == pytest.approx(expected)


def test_draws_do_not_depend_on_how_many_are_made_at_once():
    whole = np.concatenate(list(cluster_weights(7, draws=25, seed=3, at_once=25)))
    parts = np.concatenate(list(cluster_weights(7, draws=25, seed=3, at_once=4)))
    assert (whole == parts).all()
    assert (whole.sum(axis=1) == 7).all()


def test_samples_with_the_same_clusters_see_the_same_draws():
    probability, truth, cluster = draw(6)
    first = Sample(probability, truth, cluster, BAND).bootstrap(50, seed=2)
    second = Sample(probability**3, truth, cluster, BAND).bootstrap(50, seed=2)
    # A monotone change keeps the ranking, so paired draws have no difference at all.
    assert first["auc"] == pytest.approx(second["auc"])
    assert not np.allclose(first["brier"], second["brier"])


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_ranking_metrics_know_nothing_but_the_ranking(seed):
    probability, truth, cluster = draw(seed, ties=True)
    ranking = ["auc", "sensitivity_at_specificity_0.98", "sensitivity_at_specificity_0.99"]
    before = Sample(probability, truth, cluster, BAND).estimate()
    after = Sample(probability**2 / 3, truth, cluster, BAND).estimate()
    assert picked(before, ranking) == pytest.approx(picked(after, ranking))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_exchanging_the_classes_mirrors_the_metrics(seed):
    probability, truth, cluster = draw(seed)
    here = Sample(probability, truth, cluster, Thresholds(0.2, 0.8)).estimate()
    there = Sample(1 - probability, ~truth, cluster, Thresholds(0.2, 0.8)).estimate()
    assert here["sensitivity"] == pytest.approx(there["specificity"])
    for name in ("accuracy", "auc", "mcc", "brier", "ece", "coverage"):
        assert here[name] == pytest.approx(there[name])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
@settings(deadline=None)
def test_metrics_stay_within_their_bounds(rows):
    probability, truth = (np.array(column) for column in zip(*rows, strict=True))
    values = Sample(probability, truth, np.arange(len(rows)), BAND).estimate()
    for name, value in values.items():
        low = -1 if name == "mcc" else 0
        assert np.isnan(value) or low - 1e-9 <= value <= 1 + 1e-9, name


def test_calibration_error_by_hand():
    # Two bins: 0.9 said and 3 of 4 seen; 0.1 said and 0 of 2 seen.
    probability = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1])
    truth = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    values = Sample(probability, truth, np.arange(6), BAND).estimate()
    assert values["ece"] == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.1)
    assert values["brier"] == pytest.approx((3 * 0.01 + 0.81 + 2 * 0.01) / 6)


def test_bins_are_fifteen_and_the_last_holds_one():
    assert bin_of(np.array([0.0, 0.066, 0.067, 0.999, 1.0])).tolist() == [0, 0, 1, 14, 14]


def test_coverage_counts_what_decide_decides():
    probability = np.array([0.0, 0.2499, 0.25, 0.5, 0.7999, 0.8, 1.0])
    truth = np.array([1, 0, 0, 0, 1, 1, 1], dtype=bool)
    values = Sample(probability, truth, np.arange(7), BAND).estimate()
    decided = [decide(p, BAND) != "uncertain" for p in probability]
    assert values["coverage"] == pytest.approx(np.mean(decided))
    assert values["accuracy_when_confident"] == pytest.approx(3 / 4)


def test_a_slide_is_drawn_whole():
    # All cells of a slide alike: by slide 4 coins are tossed, by image 400.
    truth = np.ones(400, dtype=bool)
    slide = np.repeat(np.arange(4), 100)
    probability = np.where(slide < 2, 0.9, 0.1)
    by_slide = intervals(Sample(probability, truth, slide, BAND), 500, 0)["accuracy"]
    by_image = intervals(Sample(probability, truth, np.arange(400), BAND), 500, 0)["accuracy"]
    assert by_slide == (0.0, 1.0)
    assert by_image == pytest.approx((0.45, 0.55), abs=0.015)


TRUE_ACCURACY = 0.8413  # a logit of truth +1, noise of sd 0.8 by slide and 0.6 by cell: Phi(1)


def accuracy_intervals(seed):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(30), 20)
    truth = random.random(600) < 0.5
    noise = random.normal(0, 0.8, 30)[cluster] + random.normal(0, 0.6, 600)
    probability = 1 / (1 + np.exp(-(np.where(truth, 1, -1) * (1 + noise))))
    by_slide = intervals(Sample(probability, truth, cluster, BAND), 200, seed)
    by_image = intervals(Sample(probability, truth, np.arange(600), BAND), 200, seed)
    return by_slide["accuracy"], by_image["accuracy"]


def test_intervals_by_slide_hold_the_truth_where_those_by_image_do_not():
    ends = np.array([accuracy_intervals(seed) for seed in range(120)])
    held = (ends[:, :, 0] <= TRUE_ACCURACY) & (ends[:, :, 1] >= TRUE_ACCURACY)
    by_slide, by_image = held.mean(axis=0)
    assert by_slide >= 0.87
    assert by_image <= 0.70


def ece_interval(seed):
    probability, truth, cluster = draw(seed, size=2000, clusters=40, effect=0.7)
    sample = Sample(probability, truth, cluster, BAND)
    low, high = intervals(sample, 200, seed)["ece"] or (np.nan, np.nan)
    return low, sample.estimate()["ece"], high


def test_intervals_of_the_calibration_error_hold_the_estimate_and_the_truth():
    probability, truth, cluster = draw(0, size=400_000, clusters=8_000, effect=0.7)
    true_error = Sample(probability, truth, cluster, BAND).estimate()["ece"]
    rows = np.array([ece_interval(seed) for seed in range(60)])
    low, estimate, high = rows.T
    assert ((low <= estimate) & (estimate <= high)).all()
    assert ((low <= true_error) & (true_error <= high)).mean() >= 0.87


def test_a_rejected_cell_counts_as_labelled_wrongly_and_never_as_confident():
    probability = np.array([0.9, 0.9, 0.1, 0.1])
    truth = np.array([True, True, False, False])
    rejected = np.array([True, False, False, True])
    cluster = np.zeros(4, np.int64)
    found = Sample(probability, truth, cluster, Thresholds(0.2, 0.8), rejected).estimate()
    assert (found["accuracy"], found["sensitivity"], found["specificity"]) == (0.5, 0.5, 0.5)
    assert (found["coverage"], found["accuracy_when_confident"]) == (0.5, 1.0)
    assert (found["rejected"], found["auc"]) == (0.5, 1.0)
