import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from ml.background import (
    USUAL_SPREAD,
    Background,
    Share,
    SlideCounts,
    measure_background,
    measure_share,
)
from tests.backgrounds import known_share, slide_shares

SHARE = Share(0.005, 0.5, slides=40, cells=40_000)


@pytest.mark.parametrize("mean", [0.002, 0.02])
@pytest.mark.parametrize("spread", [0, 0.5, 1.0])
def test_the_mean_and_the_spread_of_many_slides_are_recovered(mean, spread):
    random = np.random.default_rng(3)
    cells = random.integers(300, 3000, 4000)
    counts = random.binomial(cells, slide_shares(mean, spread, len(cells), random))
    share = measure_share(counts.tolist(), cells.tolist())
    assert share.mean == pytest.approx(mean, rel=0.05)
    assert share.spread == pytest.approx(spread, abs=0.12 if not spread else 0.06)
    assert (share.slides, share.cells) == (4000, cells.sum())


def test_the_spread_of_few_slides_is_what_it_may_be_on_the_whole():
    """By integrals, with scipy's beta-binomial: the half-normal prior times the chance of all."""
    counts, cells = [0, 2, 5, 3, 9, 14, 1, 0, 4, 6, 2, 8], 1000
    mean = (sum(counts) + 0.5) / (len(counts) * cells + 1)

    def density(spread):
        total = (1 - mean) / (mean * spread**2) - 1
        known = stats.betabinom(cells, mean * total, (1 - mean) * total).pmf(counts).prod()
        return known * stats.norm.pdf(spread, scale=USUAL_SPREAD) * 1e13

    squares, whole = (
        integrate.quad(lambda spread, power=power: spread**power * density(spread), 0.01, 4)[0]
        for power in (2, 0)
    )
    share = measure_share(counts, [cells] * len(counts))
    assert share.spread == pytest.approx((squares / whole) ** 0.5, rel=0.01)


def test_no_false_positive_among_few_cells_means_neither_never_nor_nowhere():
    share = measure_share([0] * 10, [100] * 10)
    assert share.mean == pytest.approx(0.5 / 1001)
    assert share.spread == pytest.approx(USUAL_SPREAD, rel=0.05)


def test_slides_that_seem_alike_are_not_taken_to_be_so():
    few, many = (measure_share([1] * slides, [100] * slides).spread for slides in (10, 400))
    assert few > 0.3 > 0.15 > many


def test_slides_without_healthy_cells_do_not_count():
    assert measure_share([1] * 10 + [0], [100] * 10 + [0]) == measure_share([1] * 10, [100] * 10)


def test_what_was_measured_on_few_slides_is_less_sure():
    known = known_share(0.005, 0.5).variance
    assert known == pytest.approx(0.0025**2)
    variances = [replace(SHARE, slides=n, cells=1000 * n).variance for n in (10, 40, 1000)]
    assert variances == sorted(variances, reverse=True)
    assert variances[-1] > known


def test_the_next_slide_is_as_unsure_as_simulated():
    """Equal normal-like slides: how far the next falls from the mean of 20, in fitted variances."""
    random = np.random.default_rng(5)
    ratios = []
    for _ in range(2000):
        *measured, following = slide_shares(0.02, 0.2, 21, random)
        share = Share(float(np.mean(measured)), float(np.std(measured, ddof=1) / 0.02), 20, 10**9)
        ratios.append((following - share.mean) ** 2 / share.variance)
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_a_slide_tells_its_own_share_by_bayes():
    share = known_share(0.005, 0.5)
    alpha, beta = (total := 0.005 * 0.995 / 0.0025**2 - 1) * 0.005, total * 0.995
    mean, variance = share.after(found=20, cells=500)
    posterior = stats.beta(alpha + 20, beta + 480)
    assert (mean, variance) == pytest.approx((posterior.mean(), posterior.var()), rel=1e-5)
    assert share.after(0, 0) == pytest.approx((0.005, 0.0025**2), rel=1e-5)


def test_a_background_is_measured_on_slides():
    slides = [SlideCounts(1000, i % 4, i % 7, infected=i, detected=i - i % 2) for i in range(20)]
    background = measure_background(slides)
    assert background.infected == sum(range(20))
    assert background.sensitivity == pytest.approx(180 / 190)
    assert background.false_positives.mean == pytest.approx(30.5 / 20_001)
    assert background.uncertain.mean == pytest.approx(57.5 / 20_001)
    assert background.false_positives.slides == 20


@pytest.mark.parametrize("uncertain", [None, Share(0.01, 0.7, 40, 40_000)])
def test_it_survives_the_manifest(uncertain):
    background = Background(SHARE, 0.93, 5000, uncertain)
    assert Background.from_dict(json.loads(json.dumps(background.as_dict()))) == background


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"false_positives": 0.1, "sensitivity": 0.9, "infected": 5, "uncertain": None},
        Background(SHARE, 0.93, 5000).as_dict() | {"more": 1},
        Background(SHARE, 0.93, 5000).as_dict() | {"sensitivity": "high"},
        Background(SHARE, 0.93, 5000).as_dict() | {"sensitivity": 1.2},
    ],
)
def test_what_is_no_background_is_refused(values):
    with pytest.raises(ValueError, match=r"no background|sensitivity"):
        Background.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": 0.0}, "between 0 and 1"),
        ({"mean": float("nan")}, "between 0 and 1"),
        ({"spread": -0.1}, "0 or more"),
        ({"spread": float("nan")}, "0 or more"),
        ({"spread": 20.0}, "cannot spread"),
        ({"slides": 9}, "needs 10 slides"),
        ({"cells": 39}, "40 slides with 39 cells"),
    ],
)
def test_an_impossible_share_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(SHARE, **changes)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"healthy": -1, "false_positives": 0}, "negative"),
        ({"healthy": 5, "false_positives": 3, "uncertain": 3}, "than healthy cells"),
        ({"healthy": 5, "false_positives": 0, "infected": 1, "detected": 2}, "than there are"),
    ],
)
def test_impossible_counts_of_a_slide_are_refused_in_words(counts, words):
    with pytest.raises(ValueError, match=words):
        SlideCounts(**counts)


def test_a_background_needs_infected_cells_and_a_use():
    with pytest.raises(ValueError, match="needs infected cells"):
        measure_background([SlideCounts(1000, 1)] * 20)
    with pytest.raises(ValueError, match="not above the share"):
        Background(SHARE, 0.004, 100)
    with pytest.raises(ValueError, match="no infected cell"):
        Background(SHARE, 0.9, 0)
