import numpy as np
import pytest

from ml.control import BASELINE, LEAST, Limit, Sample, limit


def weeks(*counts, total=400):
    return [Sample(count, total) for count in counts]


STEADY = weeks(8, 12, 9, 11, 10, 8, 12, 10)


def test_the_limit_lies_three_standard_errors_above_the_mean():
    found = Limit(mean=0.025, factor=1)
    # By hand: 0.025 + 3 sqrt(0.025 x 0.975 / 400)
    assert found.upper(400) == pytest.approx(0.048418, abs=1e-6)
    assert found.is_exceeded(Sample(20, 400))
    assert not found.is_exceeded(Sample(19, 400))


def test_the_baseline_is_the_first_weeks_with_enough_images():
    few = [Sample(20, LEAST - 1)] * 3
    later = weeks(300, 300)
    assert limit([*few, *STEADY, *later]) == limit(STEADY)
    assert limit(STEADY[: BASELINE - 1]) is None
    assert limit([]) is None


def test_steady_weeks_are_as_chance_alone_would_have_them():
    found = limit(STEADY)
    assert found.mean == pytest.approx(80.5 / 3201)
    assert found.factor == 1


def test_weeks_that_vary_more_than_chance_widen_the_limit():
    wild = limit(weeks(2, 20, 4, 18, 1, 22, 3, 10))
    assert wild.factor > 3
    assert wild.upper(400) > limit(STEADY).upper(400)


def test_few_images_and_rare_events_raise_no_alarm():
    found = limit(weeks(*[0] * BASELINE))
    assert not found.is_exceeded(Sample(1, 400))
    assert not found.is_exceeded(Sample(4, 40))
    assert found.is_exceeded(Sample(5, 400))
    assert not Limit(0.01, 1).is_exceeded(Sample(LEAST - 1, LEAST - 1))


@pytest.mark.parametrize("spread", [0.0, 0.012])
def test_false_alarms_are_rare_and_a_real_change_is_seen(spread):
    """Also where weeks truly differ, for which Shewhart's own limits would cry wolf."""
    random = np.random.default_rng(7)

    def week(mean: float) -> Sample:
        return Sample(int(random.binomial(900, max(0.0, random.normal(mean, spread)))), 900)

    alarms, seen, trials = 0, 0, 400
    for _ in range(trials):
        found = limit([week(0.04) for _ in range(BASELINE)])
        alarms += found.is_exceeded(week(0.04))
        seen += found.is_exceeded(week(0.15))
    assert alarms / trials < 0.04
    assert seen / trials > 0.9


def test_shares():
    assert Sample(1, 4).share == 0.25
    assert Sample(0, 0).share is None
