import pytest
from scipy import stats

from ml.belt import Belt, beta_binomial


@pytest.mark.parametrize(
    ("cells", "alpha", "beta"), [(1000, 4, 1990), (1000, 0.8, 60), (40, 3, 5), (3000, 2e8, 8e8)]
)
def test_chances_are_those_of_the_beta_binomial(cells, alpha, beta):
    chances = beta_binomial(cells, alpha, beta)
    assert sum(chances.values()) == pytest.approx(1, abs=3e-5)
    expected = stats.betabinom.pmf(list(chances), cells, alpha, beta)
    assert list(chances.values()) == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("cells", [1, 500, 1000, 10_000])
def test_without_a_parasite_the_limit_is_that_of_the_rule_of_three(cells):
    """95 % of samples would have shown one: the 0.30 % in 1,000 cells of every textbook."""
    low, high = Belt(cells, 0.0).interval(0)
    assert low == 0
    assert (1 - high) ** cells == pytest.approx(0.05, rel=0.01)


def test_few_counts_amid_a_high_background_prove_no_absence():
    clean = Belt(1000, 0.0, 0.0, 0.9).interval(0)[1]
    dirty = [Belt(1000, mean, (mean / 2) ** 2, 0.9).interval(0)[1] for mean in (0.002, 0.02)]
    assert dirty == pytest.approx([clean, clean], rel=0.01)


def test_far_from_nothing_it_is_the_usual_interval():
    """Without a background: Wilson 1927, which has no correction for the whole numbers either."""
    low, high = Belt(1000, 0.0).interval(200)
    wilson = stats.binomtest(200, 1000).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.001)


@pytest.mark.parametrize("spread", [0, 0.5, 1.0])
def test_limits_rise_with_the_count_and_hold_the_estimate(spread):
    belt = Belt(600, 0.01, (0.01 * spread) ** 2, 0.9)
    counts = [*range(30), *range(30, 570, 20), 599, 600]
    intervals = [belt.interval(count) for count in counts]
    for (low, high), (next_low, next_high) in zip(intervals, intervals[1:], strict=False):
        # Up to the resolution of the search.
        assert next_low >= low - 1e-5
        assert next_high >= high - 1e-5
    for count, (low, high) in zip(counts, intervals, strict=True):
        assert 0 <= low <= belt.estimate(count) <= high <= 1


def test_a_background_that_varies_widens_the_interval():
    widths = []
    for spread in (0, 0.5, 1.0):
        low, high = Belt(1000, 0.02, (0.02 * spread) ** 2, 0.9).interval(100)
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[2] > 1.2 * widths[0]


def test_all_cells_or_none():
    belt = Belt(1000, 0.0)
    assert belt.interval(1000)[1] == 1
    assert belt.estimate(1000) == 1
    assert belt.at_least(0) == 1
    assert belt.at_least(1) == 0


def test_the_tail_is_the_beta_binomial_s():
    total = 0.005 * 0.995 / 0.0025**2 - 1
    tail = stats.betabinom.sf(17, 1000, 0.005 * total, 0.995 * total)
    assert Belt(1000, 0.005, 0.0025**2, 0.9).at_least(18) == pytest.approx(tail, rel=1e-3)


def test_only_the_healthy_cells_of_a_slide_have_a_background():
    """Mean and variance of the count, by the law of total variance: each f is a binomial."""
    mean, variance, sensitivity, share = 0.1, 0.05**2, 0.9, 0.5
    chances = Belt(1000, mean, variance, sensitivity).chances(share)
    expected = sum(k * p for k, p in chances.items())
    spread = sum((k - expected) ** 2 * p for k, p in chances.items())
    p = share * sensitivity + (1 - share) * mean
    within, between = 1000 * p * (1 - p), 1000 * 999 * (1 - share) ** 2 * variance
    assert expected == pytest.approx(1000 * p, rel=1e-3)
    assert spread == pytest.approx(within + between, rel=1e-2)
