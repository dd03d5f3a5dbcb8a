"""A laboratory week by week: its slides, how they came out, and whether that drifts.

Slides keep their own counts, so a week is one sum over the rows of slides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncWeek
from django.utils import timezone

from ml import control
from ml.control import Limit, Sample

from . import charts
from .charts import Axes, Chart
from .models import Slide

WEEKS = 26
LEAST_SHOWN = 8
READABLE = Q(parasitized__gt=0) | Q(uninfected__gt=0) | Q(uncertain__gt=0)
SUMS = {  # in the order of a Week's fields
    "slides": Count("pk"),
    "with_result": Count("pk", filter=READABLE),
    "suspected": Count("pk", filter=Q(is_critical=True)),
    "answered": Sum("answered"),
    "uncertain": Sum("called_uncertain"),
    "rejected": Sum("called_rejected"),
}
SUSPECTED = "Parasites suspected"
KEYS = [
    ("line", "Share by week"),
    ("limit", "Limit"),
    ("mean", f"Mean of the first {control.BASELINE} weeks"),
    ("outside", "Above the limit"),
]
CAUSES = {
    "rejected": "Look at the focus, the light and the camera, and whether the film is a stained "
    "thin one.",
    "uncertain": "Look at the stain and its age, the focus and the camera; if these are as ever, "
    "compare with microscopy and tell whoever runs this site.",
}


@dataclass(frozen=True)
class Week:
    """From the Monday it `starts` with, by the day a slide was added."""

    starts: date
    slides: int = 0
    with_result: int = 0
    suspected: int = 0
    """Of the slides: parasites are suspected on them, whatever the verdict on their fields."""
    answered: int = 0
    """Images, by the model alone; so are the next two."""
    uncertain: int = 0
    rejected: int = 0

    @property
    def positivity(self) -> Sample:
        return Sample(self.suspected, self.with_result)

    def share(self, name: str) -> Sample:
        return Sample(getattr(self, name), self.answered)


def of(slides: QuerySet[Slide], today: date) -> list[Week]:
    """The last WEEKS of them up to today's, without the empty ones before the first slide."""
    this = today - timedelta(days=today.weekday())
    starts = [this - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    midnight = timezone.make_aware(datetime.combine(starts[0], time()))
    grouped = slides.filter(created_at__gte=midnight).order_by()
    by_week = grouped.annotate(week=TruncWeek("created_at")).values_list("week")
    found = {row[0].date(): row[1:] for row in by_week.annotate(**SUMS)}
    weeks = [Week(start, *found.get(start, ())) for start in starts]
    while len(weeks) > LEAST_SHOWN and not weeks[0].slides:
        del weeks[0]
    return weeks


def slides_chart(weeks: Sequence[Week]) -> Chart:
    axes = Axes([week.starts for week in weeks], max(week.slides for week in weeks), counts=True)
    titles = [
        f"Week of {_day(week)}: {counted(week.slides, 'slide')}, {week.suspected:,} suspected"
        for week in weeks
    ]
    last, wholes = weeks[-1], [week.slides for week in weeks]
    return Chart(
        name="slides",
        title="Slides by week",
        says=f"This week {counted(last.slides, 'slide')}, parasites suspected on "
        f"{last.suspected:,}; "
        f"{counted(sum(wholes), 'slide')} in {len(weeks)} weeks.",
        ticks=axes.ticks(),
        months=axes.months(),
        head=("Week of", "Slides", "With a result", SUSPECTED),
        rows=_rows(weeks, lambda w: (f"{w.slides:,}", f"{w.with_result:,}", f"{w.suspected:,}")),
        bars=charts.bars(axes, wholes, [week.suspected for week in weeks], titles),
        keys=[("whole", "Slides"), ("hatch", SUSPECTED)],
    )


def positivity_chart(weeks: Sequence[Week]) -> Chart:
    shares = [week.positivity.share for week in weeks]
    axes = Axes([week.starts for week in weeks], max((share or 0 for share in shares), default=0))
    titles = [f"Week of {_day(week)}: {_of(week.positivity)} suspected" for week in weeks]
    whole = Sample(sum(w.suspected for w in weeks), sum(w.with_result for w in weeks))
    return Chart(
        name="positivity",
        title="Parasites suspected, of slides with a result",
        says=f"This week {_of(weeks[-1].positivity)}; {_of(whole)} in {len(weeks)} weeks.",
        ticks=axes.ticks(as_share=True),
        months=axes.months(),
        head=("Week of", "With a result", SUSPECTED, "Share"),
        rows=_rows(
            weeks, lambda w: (f"{w.with_result:,}", f"{w.suspected:,}", _percent(w.positivity))
        ),
        points=charts.points(axes, shares, [False] * len(weeks), titles),
        lines=charts.lines(axes, shares),
    )


def drift_chart(weeks: Sequence[Week], name: str) -> Chart:
    """Of the share of images that the model called so: a control chart, see `ml.control`."""
    samples = [week.share(name) for week in weeks]
    limit = control.limit(samples)
    uppers = [limit.upper(s.total) if limit and s.is_enough else None for s in samples]
    outside = [limit is not None and limit.is_exceeded(sample) for sample in samples]
    shares = [sample.share for sample in samples]
    highest = max([share or 0 for share in shares] + [1.15 * limit.upper(10_000) if limit else 0])
    axes = Axes([week.starts for week in weeks], highest)
    titles = [f"Week of {_day(w)}: {_of(s)} {name}" for w, s in zip(weeks, samples, strict=True)]
    behind = {week.starts: upper for week, upper in zip(weeks, uppers, strict=True)}
    return Chart(
        name=name,
        title=f"{name.capitalize()} images",
        says=_says(weeks, name, limit),
        ticks=axes.ticks(as_share=True),
        months=axes.months(),
        head=("Week of", "Images", name.capitalize(), "Share", "Limit", ""),
        rows=_rows(weeks, lambda week: _drift_row(week, name, behind[week.starts])),
        points=charts.points(axes, shares, outside, titles),
        lines=charts.lines(axes, shares),
        limits=charts.limits(axes, uppers),
        mean=axes.y(limit.mean) if limit else "",
        keys=KEYS if limit else [],
        is_alarming=any(outside),
    )


def _drift_row(week: Week, name: str, upper: float | None) -> tuple[str, ...]:
    sample = week.share(name)
    is_above = upper is not None and sample.count > upper * sample.total
    limit = f"{100 * upper:.1f} %" if upper is not None else "–"
    return (
        f"{sample.total:,}",
        f"{sample.count:,}",
        _percent(sample),
        limit,
        "above the limit" if is_above else "",
    )


def _says(weeks: Sequence[Week], name: str, limit: Limit | None) -> str:
    if limit is None:
        enough = sum(week.share(name).is_enough for week in weeks)
        return (
            f"The limit is drawn once {control.BASELINE} weeks have {control.LEAST} images or "
            f"more; {enough} have so far."
        )
    above = [week for week in weeks if limit.is_exceeded(week.share(name))]
    if not above:
        return "No week lies above the limit: nothing but chance is seen."
    last, others = above[-1], len(above) - 1
    sample = last.share(name)
    more = f", and {counted(others, 'other week')} too" if others else ""
    return (
        f"The week of {_day(last)} lies above the limit{more}: {_percent(sample)} {name}, more "
        f"than the {100 * limit.upper(sample.total):.1f} % that chance explains. {CAUSES[name]}"
    )


def _rows(weeks: Sequence[Week], row: Callable[[Week], tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(_day(week), *row(week)) for week in reversed(weeks)]


def _day(week: Week) -> str:
    return f"{week.starts.day} {week.starts:%b %Y}"


def _percent(sample: Sample) -> str:
    return "–" if sample.share is None else f"{100 * sample.share:.1f} %"


def _of(sample: Sample) -> str:
    if sample.share is None:
        return "none"
    return f"{sample.count:,} of {sample.total:,} ({_percent(sample)})"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
