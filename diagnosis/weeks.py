"""A laboratory week by week: its slides, how they came out, and whether that drifts.

Slides keep their own counts, so a week is one sum over the rows of slides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncWeek
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from ml import control
from ml.control import Limit, Sample

from . import charts
from .charts import Axes, Chart
from .models import Slide
from .words import number, percent

WEEKS = 26
LEAST_SHOWN = 8
READABLE = Q(parasitized__gt=0) | Q(uninfected__gt=0) | Q(uncertain__gt=0)
CRITICAL = Q(is_critical=True)
"""Also what a person concluded of a slide of which nothing was read."""
SUMS = {  # in the order of a Week's fields
    "slides": Count("pk"),
    "with_result": Count("pk", filter=READABLE | CRITICAL),
    "suspected": Count("pk", filter=CRITICAL),
    "answered": Sum("answered"),
    "uncertain": Sum("called_uncertain"),
    "rejected": Sum("called_rejected"),
}
SUSPECTED = gettext_noop("Parasites suspected")
NAMES = {"rejected": gettext_noop("Rejected"), "uncertain": gettext_noop("Uncertain")}
TITLES = {
    "rejected": gettext_noop("Rejected images"),
    "uncertain": gettext_noop("Uncertain images"),
}
SHARES = {
    "rejected": gettext_noop("%(share)s rejected"),
    "uncertain": gettext_noop("%(share)s uncertain"),
}
CAUSES = {
    "rejected": gettext_noop(
        "Look at the focus, the light and the camera, and whether the film is a stained thin one."
    ),
    "uncertain": gettext_noop(
        "Look at the stain and its age, the focus and the camera; if these are as ever, "
        "compare with microscopy and tell whoever runs this site."
    ),
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
    wholes = [week.slides for week in weeks]
    return Chart(
        name="slides",
        title=_("Slides by week"),
        says=_says_of_slides(weeks[-1], sum(wholes), len(weeks)),
        ticks=axes.ticks(),
        months=axes.months(),
        head=(_("Week of"), _("Slides"), _("With a result"), _(SUSPECTED)),
        rows=_rows(weeks, lambda w: _numbers(w.slides, w.with_result, w.suspected)),
        bars=charts.bars(
            axes, wholes, [week.suspected for week in weeks], [_bar(week) for week in weeks]
        ),
        keys=[("whole", _("Slides")), ("hatch", _(SUSPECTED))],
    )


def _bar(week: Week) -> str:
    title = ngettext(
        "Week of %(day)s: %(slides)s slide, %(suspected)s suspected",
        "Week of %(day)s: %(slides)s slides, %(suspected)s suspected",
        week.slides,
    )
    suspected = number(week.suspected)
    return title % {"day": _day(week), "slides": number(week.slides), "suspected": suspected}


def _says_of_slides(last: Week, total: int, weeks: int) -> str:
    now = ngettext(
        "This week %(slides)s slide, parasites suspected on %(suspected)s",
        "This week %(slides)s slides, parasites suspected on %(suspected)s",
        last.slides,
    )
    now %= {"slides": number(last.slides), "suspected": number(last.suspected)}
    whole = ngettext(
        "%(slides)s slide in %(weeks)d weeks", "%(slides)s slides in %(weeks)d weeks", total
    )
    whole %= {"slides": number(total), "weeks": weeks}
    return _("%(now)s; %(whole)s.") % {"now": now, "whole": whole}


def positivity_chart(weeks: Sequence[Week]) -> Chart:
    shares = [week.positivity.share for week in weeks]
    axes = Axes([week.starts for week in weeks], max((share or 0 for share in shares), default=0))
    titles = [
        _("Week of %(day)s: %(share)s suspected")
        % {"day": _day(week), "share": _of(week.positivity)}
        for week in weeks
    ]
    whole = Sample(sum(w.suspected for w in weeks), sum(w.with_result for w in weeks))
    return Chart(
        name="positivity",
        title=_("Parasites suspected, of slides with a result"),
        says=_("This week %(now)s; %(whole)s in %(weeks)d weeks.")
        % {"now": _of(weeks[-1].positivity), "whole": _of(whole), "weeks": len(weeks)},
        ticks=axes.ticks(as_share=True),
        months=axes.months(),
        head=(_("Week of"), _("With a result"), _(SUSPECTED), _("Share")),
        rows=_rows(
            weeks, lambda w: (*_numbers(w.with_result, w.suspected), _percent(w.positivity))
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
    titles = [
        _("Week of %(day)s: %(share)s") % {"day": _day(week), "share": _share(name, _of(sample))}
        for week, sample in zip(weeks, samples, strict=True)
    ]
    behind = {week.starts: upper for week, upper in zip(weeks, uppers, strict=True)}
    return Chart(
        name=name,
        title=_(TITLES[name]),
        says=_says(weeks, name, limit),
        ticks=axes.ticks(as_share=True),
        months=axes.months(),
        head=(_("Week of"), _("Images"), _(NAMES[name]), _("Share"), _("Limit"), ""),
        rows=_rows(weeks, lambda week: _drift_row(week, name, behind[week.starts])),
        points=charts.points(axes, shares, outside, titles),
        lines=charts.lines(axes, shares),
        limits=charts.limits(axes, uppers),
        mean=axes.y(limit.mean) if limit else "",
        keys=_keys() if limit else [],
        is_alarming=any(outside),
    )


def _drift_row(week: Week, name: str, upper: float | None) -> tuple[str, ...]:
    sample = week.share(name)
    is_above = upper is not None and sample.count > upper * sample.total
    limit = percent(upper) if upper is not None else "–"
    words = _("above the limit") if is_above else ""
    return (*_numbers(sample.total, sample.count), _percent(sample), limit, words)


def _keys() -> list[tuple[str, str]]:
    mean = _("Mean of the first %(weeks)d weeks") % {"weeks": control.BASELINE}
    return [
        ("line", _("Share by week")),
        ("limit", _("Limit")),
        ("mean", mean),
        ("outside", _("Above the limit")),
    ]


def _says(weeks: Sequence[Week], name: str, limit: Limit | None) -> str:
    if limit is None:
        sentence = _(
            "The limit is drawn once %(weeks)d weeks have %(images)d images or more; "
            "%(enough)d have so far."
        )
        enough = sum(week.share(name).is_enough for week in weeks)
        numbers = {"weeks": control.BASELINE, "images": control.LEAST, "enough": enough}
        return sentence % numbers
    above = [week for week in weeks if limit.is_exceeded(week.share(name))]
    if not above:
        return _("No week lies above the limit: nothing but chance is seen.")
    last, sample = above[-1], above[-1].share(name)
    words = {
        "day": _day(last),
        "share": _share(name, _percent(sample)),
        "limit": percent(limit.upper(sample.total)),
        "others": number(len(above) - 1),
    }
    return f"{_above(len(above) - 1) % words} {_(CAUSES[name])}"


def _above(others: int) -> str:
    if not others:
        return _(
            "The week of %(day)s lies above the limit: %(share)s, "
            "more than the %(limit)s that chance explains."
        )
    return ngettext(
        "The week of %(day)s lies above the limit, and %(others)s other week too: %(share)s, "
        "more than the %(limit)s that chance explains.",
        "The week of %(day)s lies above the limit, and %(others)s other weeks too: %(share)s, "
        "more than the %(limit)s that chance explains.",
        others,
    )


def _rows(weeks: Sequence[Week], row: Callable[[Week], tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(_day(week), *row(week)) for week in reversed(weeks)]


def _day(week: Week) -> str:
    return date_format(week.starts, "j M Y")


def _numbers(*values: int) -> tuple[str, ...]:
    return tuple(number(value) for value in values)


def _percent(sample: Sample) -> str:
    return "–" if sample.share is None else percent(sample.share)


def _share(name: str, share: str) -> str:
    return _(SHARES[name]) % {"share": share}


def _of(sample: Sample) -> str:
    if sample.share is None:
        return _("none")
    numbers = {"count": number(sample.count), "total": number(sample.total)}
    return _("%(count)s of %(total)s (%(share)s)") % {**numbers, "share": percent(sample.share)}
