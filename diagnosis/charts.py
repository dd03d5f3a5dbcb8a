"""Charts as SVG that the server draws: no script, small on a slow line, and they print.

Across, everything is in percent of the chart's width, down in pixels: on a phone a chart becomes
narrower, and its words and lines stay as large. Beside each mark stands a shape or a pattern, never
a colour alone, and behind each chart a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from math import ceil, floor, log10

from django.utils.formats import date_format

from .words import in_percent, number, percent

HEIGHT = 150
STEPS = (1, 2, 2.5, 5, 10)
MOST_TICKS = 3


@dataclass(frozen=True)
class Tick:
    y: str
    text: str


@dataclass(frozen=True)
class Month:
    """Where a month begins."""

    x: str
    text: str


@dataclass(frozen=True)
class Bar:
    x: str
    width: str
    y: str
    height: str
    part_y: str
    part_height: str
    title: str


@dataclass(frozen=True)
class Point:
    x: str
    y: str
    title: str
    is_outside: bool = False
    label: str = ""


@dataclass(frozen=True)
class Segment:
    x1: str
    y1: str
    x2: str
    y2: str


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    says: str
    """What the chart shows, in a sentence."""
    ticks: list[Tick]
    months: list[Month]
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    """The table behind it, the newest week first."""
    bars: list[Bar] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    lines: list[Segment] = field(default_factory=list)
    limits: list[Segment] = field(default_factory=list)
    mean: str = ""
    keys: list[tuple[str, str]] = field(default_factory=list)
    """How something is drawn, and what it is."""
    is_alarming: bool = False
    height: int = HEIGHT


class Axes:
    """Places of weeks across and of values up."""

    def __init__(self, weeks: Sequence[date], highest: float, counts: bool = False) -> None:
        self.weeks = weeks
        self.slot = 100 / max(1, len(weeks))
        self.step = _step(highest, counts)
        self.top = self.step * max(1, ceil(highest / self.step - 1e-9))

    def left(self, index: float) -> str:
        return f"{self.slot * index:.2f}%"

    def middle(self, index: int) -> str:
        return self.left(index + 0.5)

    def width(self, of_slot: float) -> str:
        return f"{self.slot * of_slot:.2f}%"

    def up(self, value: float) -> float:
        return HEIGHT * (1 - value / self.top)

    def y(self, value: float) -> str:
        return f"{self.up(value):.1f}"

    def high(self, value: float) -> str:
        return f"{HEIGHT - self.up(value):.1f}"

    def ticks(self, as_share: bool = False) -> list[Tick]:
        values = [self.step * n for n in range(round(self.top / self.step) + 1)]
        return [
            Tick(self.y(v), in_percent(number(100 * v, "g")) if as_share else number(v, ".0f"))
            for v in values
        ]

    def months(self) -> list[Month]:
        """The first is left out where the next begins too soon after it."""
        starts = [
            (index, day)
            for index, day in enumerate(self.weeks)
            if not index or day.month != self.weeks[index - 1].month
        ]
        if len(starts) > 1 and starts[1][0] < 2:
            starts = starts[1:]
        return [Month(self.left(index), date_format(day, "M")) for index, day in starts]


def bars(axes: Axes, wholes: Sequence[int], parts: Sequence[int], titles: list[str]) -> list[Bar]:
    """The part of each stands at its foot."""
    return [
        Bar(
            x=axes.left(index + 0.15),
            width=axes.width(0.7),
            y=axes.y(whole),
            height=axes.high(whole),
            part_y=axes.y(part),
            part_height=axes.high(part),
            title=title,
        )
        for index, (whole, part, title) in enumerate(zip(wholes, parts, titles, strict=True))
        if whole
    ]


def points(
    axes: Axes, values: Sequence[float | None], outside: Sequence[bool], titles: list[str]
) -> list[Point]:
    """Of neighbours that lie outside the last alone is labelled: there is no room for more."""
    last = [far and not after for far, after in pairwise([*outside, False])]
    return [
        Point(
            axes.middle(i), axes.y(value), titles[i], outside[i], _label(value) if last[i] else ""
        )
        for i, value in enumerate(values)
        if value is not None
    ]


def _label(share: float) -> str:
    return percent(share)


def lines(axes: Axes, values: Sequence[float | None]) -> list[Segment]:
    """From week to week; a week without a value is a gap."""
    return [
        Segment(axes.middle(index), axes.y(one), axes.middle(index + 1), axes.y(other))
        for index, (one, other) in enumerate(pairwise(values))
        if one is not None and other is not None
    ]


def limits(axes: Axes, values: Sequence[float | None]) -> list[Segment]:
    """A level for each week, cut off where it leaves the chart."""
    return [
        Segment(axes.left(index), axes.y(value), axes.left(index + 1), axes.y(value))
        for index, value in enumerate(values)
        if value is not None and value <= axes.top
    ]


def _step(highest: float, counts: bool) -> float:
    """Round, and at most MOST_TICKS of it reach the highest; whole where things are counted."""
    if highest <= 0:
        return 1
    least = highest / MOST_TICKS
    power = 10.0 ** floor(log10(least))
    steps = (step * power for step in STEPS if step * power >= least - 1e-12)
    return next(step for step in steps if not counts or step.is_integer())
