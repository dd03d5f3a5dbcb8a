"""The rule and the interval, on simulated slides of 1,000 cells and by hand."""

from dataclasses import replace
from functools import cache
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.background import Share, measure_share
from ml.belt import Belt
from ml.parasitaemia import (
    BASIS,
    FALSE_POSITIVE_SLIDES,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    Counts,
    cells_needed,
    infected_share,
    parasitaemia,
    verdict,
)
from tests.backgrounds import counted, known_background, slide_shares

TRUTHS = (0, 0.001, 0.005, 0.01, 0.05, 0.2)
SLIDES = 20_000
BACKGROUNDS = [
    (0.002, 0.5, 0.9),
    (0.002, 0.0, 0.97),
    (0.005, 0.5, 0.97),
    (0.005, 0.0, 0.9),
    (0.02, 0.5, 0.9),
    (0.02, 0.0, 0.97),
]
USUAL = known_background(0.005, 0.5, 0.93)


def simulated(truth, mean, spread, sensitivity, slides=SLIDES, seed=4):
    random = np.random.default_rng(seed)
    return counted(truth, slide_shares(mean, spread, slides, random), sensitivity, random)


@pytest.mark.parametrize(("mean", "spread", "sensitivity"), BACKGROUNDS)
def test_the_interval_covers_the_truth_at_every_parasitaemia(mean, spread, sensitivity):
    background = known_background(mean, spread, sensitivity)
    share_of = cache(lambda count: infected_share(Counts(1000, count), background))
    coverage = {}
    for truth in TRUTHS:
        counts = simulated(truth, mean, spread, sensitivity).sum(axis=0)
        found, often = np.unique(counts, return_counts=True)
        holds = [(s := share_of(int(count))).low <= truth <= s.high for count in found]
        coverage[truth] = float(often @ holds) / SLIDES
    # 93 to 97 %, and what 20,000 draws scatter (two standard deviations: 0.0024).
    assert min(coverage.values()) >= 0.93, coverage
    assert max(coverage.values()) <= 0.9724, coverage


@pytest.mark.parametrize(("mean", "spread", "sensitivity"), BACKGROUNDS)
def test_at_most_one_healthy_slide_in_a_hundred_is_positive(mean, spread, sensitivity):
    background = known_background(mean, spread, sensitivity)
    counts, often = np.unique(
        simulated(0, mean, spread, sensitivity).sum(axis=0), return_counts=True
    )
    positive = [verdict(Counts(1000, int(count)), background) == POSITIVE for count in counts]
    assert 0 < often @ positive / SLIDES <= 0.01


@pytest.mark.parametrize(
    ("slides", "cells", "mean", "spread"),
    [(30, 1000, 0.005, 0.5), (10, 1000, 0.005, 0.5), (19, 67, 0.007, 0.8), (51, 68, 0.008, 0.75)],
)
def test_it_holds_too_for_a_background_measured_on_few_slides(slides, cells, mean, spread):
    """On the average over such measurements, each used on healthy slides it has not seen."""
    random = np.random.default_rng(8)
    positive = []
    for _ in range(200):
        seen = random.binomial(cells, slide_shares(mean, spread, slides, random))
        measured = measure_share(seen.tolist(), [cells] * slides)
        background = replace(USUAL, false_positives=measured)
        least = next(n for n in range(1000) if verdict(Counts(1000, n), background) == POSITIVE)
        unseen = random.binomial(1000, slide_shares(mean, spread, 1000, random))
        positive.append(np.mean(unseen >= least))
    assert 0 < np.mean(positive) <= 0.01


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_the_interval_covers_the_truth_when_cells_are_reviewed(part):
    """A person looks at a random part of what the machine counted, and is right."""
    random = np.random.default_rng(6)
    for truth in (0.005, 0.05):
        true, false = simulated(truth, 0.005, 0.5, 0.93, slides=1200)
        confirmed, refuted = random.binomial(true, part), random.binomial(false, part)
        columns = (true + false - confirmed - refuted, confirmed, refuted)
        slides = [tuple(map(int, row)) for row in zip(*columns, strict=True)]
        shares = {
            slide: infected_share(
                Counts(1000, slide[0], confirmed=slide[1], refuted=slide[2]), USUAL
            )
            for slide in set(slides)
        }
        holds = np.mean([shares[slide].low <= truth <= shares[slide].high for slide in slides])
        assert 0.92 <= holds <= 0.985, (truth, holds)


def test_one_parasite_is_negative_only_where_the_machine_missed_it():
    """Unseen by anybody, and after a person looked at all that the machine counted."""
    random = np.random.default_rng(7)
    detected = random.random(SLIDES) < 0.93
    false = random.binomial(999, slide_shares(0.005, 0.5, SLIDES, random))
    unseen = [verdict(Counts(1000, int(n)), USUAL) for n in detected + false]
    assert unseen.count(NEGATIVE) == np.sum(~detected & (false == 0))
    seen = [
        verdict(Counts(1000, 0, confirmed=int(hit), refuted=int(n)), USUAL)
        for hit, n in zip(detected, false, strict=True)
    ]
    assert seen.count(POSITIVE) == detected.sum()
    assert seen.count(NEGATIVE) == (~detected).sum()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(1000, 0), NEGATIVE),
        (Counts(1000, 0, uncertain=2), NEGATIVE),
        (Counts(1000, 0, refuted=5), NEGATIVE),
        (Counts(500, 0), NEGATIVE),
        (Counts(499, 0), UNCERTAIN),
        (Counts(1000, 1), UNCERTAIN),
        (Counts(1000, 5), UNCERTAIN),
        (Counts(1000, 0, uncertain=40), UNCERTAIN),
        (Counts(1000, 20, refuted=10), UNCERTAIN),
        (Counts(1000, 20), POSITIVE),
        (Counts(1000, 100, refuted=1), POSITIVE),
        (Counts(1000, 0, confirmed=1), POSITIVE),
        (Counts(1000, 0, confirmed=1, refuted=30, uncertain=40), POSITIVE),
        (Counts(1000, 0, found=1), POSITIVE),
        (Counts(20, 0, confirmed=1), POSITIVE),
        (Counts(100, 12), POSITIVE),
    ],
)
def test_the_rule(counts, expected):
    assert verdict(counts, USUAL) == expected


def test_uncertain_cells_of_a_model_never_measured_must_all_be_looked_at():
    background = replace(USUAL, uncertain=None)
    assert verdict(Counts(1000, 0, uncertain=1), background) == UNCERTAIN
    assert verdict(Counts(1000, 0), background) == NEGATIVE


def test_the_false_positives_allowed_are_the_background_s_own():
    belt = Belt(1000, 0.005, 0.0025**2, 0.93)
    least = next(n for n in range(100) if verdict(Counts(1000, n), USUAL) == POSITIVE)
    assert belt.at_least(least) <= FALSE_POSITIVE_SLIDES < belt.at_least(least - 1)


def test_the_number_is_rogan_and_gladen_s():
    result = parasitaemia(Counts(1000, 97), USUAL)
    assert result.percent.value == pytest.approx(100 * (0.097 - 0.005) / (0.93 - 0.005))
    assert result.per_microlitre.value == pytest.approx(result.percent.value / 100 * 5_000_000)
    assert result.per_microlitre.low == pytest.approx(result.percent.low * 50_000)
    assert result.per_microlitre.high == pytest.approx(result.percent.high * 50_000)
    assert (result.cells, result.parasitized, result.basis) == (1000, 97, BASIS)
    assert result.expected_false == pytest.approx(5)
    assert (result.verdict, result.to_look_at, result.cells_needed) == (POSITIVE, 97, 0)


def test_a_measured_red_cell_count_is_the_basis():
    result = parasitaemia(Counts(1000, 97), USUAL, basis=3_200_000)
    assert result.basis == 3_200_000
    assert result.per_microlitre.value == pytest.approx(result.percent.value * 32_000)


@pytest.mark.parametrize("basis", [0, -5, 4, 4_500, 99_999, 10_000_001, 4_500_000_000_000])
def test_an_impossible_red_cell_count_is_refused_in_words(basis):
    with pytest.raises(ValueError, match="give the number in one microlitre, for example 5,000,0"):
        parasitaemia(Counts(1000, 97), USUAL, basis=basis)


def test_what_is_reviewed_has_no_background():
    all_seen = infected_share(Counts(1000, 0, confirmed=93, refuted=5), USUAL)
    assert all_seen.value == pytest.approx(0.093 / 0.93)
    half = infected_share(Counts(1000, 49, confirmed=47, refuted=2), USUAL)
    none = infected_share(Counts(1000, 98), USUAL)
    assert all_seen.high - all_seen.low < half.high - half.low < none.high - none.low


def test_a_slide_that_a_person_found_dirty_loses_more_than_others():
    clean = infected_share(Counts(1000, 20, confirmed=10), USUAL)
    dirty = infected_share(Counts(1000, 20, confirmed=10, refuted=10), USUAL)
    assert dirty.value < clean.value


def test_cells_that_only_a_person_found_are_not_counted_twice():
    """93 counted of about 100: the machine misses 7, and these are among them."""
    few = infected_share(Counts(1000, 0, confirmed=93, found=4), USUAL)
    assert few.value == pytest.approx(0.1)
    assert infected_share(Counts(1000, 0, confirmed=93, found=17), USUAL).value == 0.11
    assert infected_share(Counts(1000, 0, found=3), USUAL).value == 0.003


def test_what_people_saw_is_the_least():
    """Amid a background that could explain all five, three cells that a person found."""
    share = infected_share(Counts(1000, 2, found=3), known_background(0.02, 0.5))
    certain = infected_share(Counts(1000, 0, found=3), USUAL)
    assert (share.value, share.low) == (certain.value, certain.low)
    assert 0.0005 < share.low < share.value == 0.003 < share.high


counts = st.integers(1, 3000).flatmap(
    lambda cells: st.lists(st.integers(0, cells), min_size=5, max_size=5).map(
        lambda cuts: Counts(cells, *np.diff([0, *sorted(cuts)]).tolist())
    )
)


@settings(max_examples=150, deadline=None)
@given(
    counts,
    st.floats(0.0005, 0.05),
    st.floats(0, 1.5),
    st.floats(0.5, 1),
)
def test_whatever_was_counted_the_numbers_agree(counts, mean, spread, sensitivity):
    background = replace(
        known_background(mean, 0, sensitivity), false_positives=Share(mean, spread, 20, 9_000)
    )
    result = parasitaemia(counts, background)
    percent = result.percent
    assert 0 <= percent.low <= percent.value <= percent.high <= 100
    assert percent.high > 0
    assert percent.value >= 100 * counts.seen / counts.cells - 1e-9
    assert 0 <= result.expected_false <= counts.positives
    if counts.seen:
        assert result.verdict == POSITIVE
        assert percent.low > 0
    if result.verdict == NEGATIVE:
        assert percent.low == 0
        assert not counts.positives
        assert result.cells_needed == 0


def test_cells_needed():
    assert [cells_needed(n) for n in (0, 1, 499, 500, 2000)] == [500, 499, 1, 0, 0]


def test_no_cells_give_no_parasitaemia():
    with pytest.raises(ValueError, match="No red cell was counted"):
        parasitaemia(Counts(0, 0), USUAL)
    assert verdict(Counts(0, 0), USUAL) == UNCERTAIN


def test_counts_that_cannot_be_are_refused_in_words():
    with pytest.raises(ValueError, match="negative"):
        Counts(10, -1)
    with pytest.raises(ValueError, match="The parts are 11 cells, the whole is 10"):
        Counts(10, 5, uncertain=3, found=3)


@pytest.mark.parametrize("cells", [1000, 5000])
def test_a_slide_takes_less_than_50_milliseconds(cells):
    for positives in (0, cells // 50, cells // 5):
        started = process_time()
        parasitaemia(Counts(cells, positives), known_background(0.02, 0.5))
        assert process_time() - started < 0.05
