from datetime import date, timedelta

import pytest

from diagnosis import charts
from diagnosis.charts import Axes

WEEKS = [date(2026, 6, 1) + timedelta(weeks=number) for number in range(10)]


@pytest.mark.parametrize(
    ("highest", "texts"),
    [(7, ["0", "2", "5", "8"]), (30, ["0", "10", "20", "30"]), (0, ["0", "1"]), (1, ["0", "1"])],
)
def test_the_axis_reaches_the_highest_value_in_few_round_steps(highest, texts):
    axes = Axes(WEEKS, highest)
    assert axes.top >= highest
    assert len(axes.ticks()) <= charts.MOST_TICKS + 1


def test_shares_are_written_in_percent():
    assert [tick.text for tick in Axes(WEEKS, 0.3).ticks(as_share=True)] == [
        "0 %", "10 %", "20 %", "30 %",
    ]  # fmt: skip


def test_places_lie_within_the_chart():
    axes = Axes(WEEKS, 10)
    assert (axes.y(0), axes.y(axes.top)) == (f"{charts.HEIGHT:.1f}", "0.0")
    assert (axes.middle(0), axes.middle(9)) == ("5.00%", "95.00%")


def test_bars_are_as_high_as_their_values_and_empty_weeks_have_none():
    made = charts.bars(Axes(WEEKS, 30), [30, 0, 15] + [0] * 7, [10, 0, 0] + [0] * 7, ["w"] * 10)
    assert [(bar.height, bar.part_height) for bar in made] == [("150.0", "50.0"), ("75.0", "0.0")]


def test_a_week_without_a_value_is_a_gap():
    values = [0.1, 0.2, None, 0.3, 0.4] + [None] * 5
    axes = Axes(WEEKS, 0.4)
    assert len(charts.lines(axes, values)) == 2
    assert len(charts.points(axes, values, [False] * 10, [""] * 10)) == 4


def test_a_limit_above_the_chart_is_not_drawn_beyond_it():
    assert len(charts.limits(Axes(WEEKS, 0.3), [0.2, 0.9, None] + [0.1] * 7)) == 8


def test_months_are_named_where_they_begin():
    assert [month.text for month in Axes(WEEKS, 1).months()] == ["Jun", "Jul", "Aug"]
    late = [date(2026, 6, 29) + timedelta(weeks=number) for number in range(6)]
    assert [month.text for month in Axes(late, 1).months()] == ["Jul", "Aug"]


@pytest.mark.parametrize(
    ("highest", "texts"),
    [(0, "0 1"), (1, "0 1"), (2, "0 1 2"), (3, "0 1 2 3"), (4, "0 2 4"), (7, "0 5 10")],
)
def test_what_is_counted_has_whole_steps(highest, texts):
    ticks = Axes(WEEKS, highest, counts=True).ticks()
    assert " ".join(tick.text for tick in ticks) == texts
