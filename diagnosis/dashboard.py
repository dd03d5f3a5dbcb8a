"""A person's laboratories at a glance: what waits, how the weeks went, how the machine is."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from ml.agreement import LEAST_CELLS, LEAST_SLIDES, Kappa, Pairs, kappa, total

from . import access, pulse, waiting, weeks
from .charts import Chart
from .models import PENDING_STATES, Laboratory, ModelVersion, Prediction, Slide
from .waiting import Reason
from .words import number

FIRST = 6
"""Of what waits; a link leads to each next one."""
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True)
class Waiting:
    slides: list[Slide]
    """The first ones, each with its Reason as `why`."""
    counts: list[tuple[Reason, int]]
    """By reason, the most urgent first; none is left out."""
    others: int = 0
    """Where nothing waits for this person: how many slides wait for somebody else."""
    others_positive: int = 0

    @property
    def total(self) -> int:
        return sum(number for _reason, number in self.counts)


@dataclass(frozen=True)
class Agreement:
    pairs: Pairs
    slides: int
    kappa: Kappa | None

    @property
    def least(self) -> str:
        words = _("%(cells)d cells of %(slides)d slides, with both answers among them")
        return words % {"cells": LEAST_CELLS, "slides": LEAST_SLIDES}

    @property
    def cells(self) -> int:
        return sum(self.pairs)

    @property
    def agreed(self) -> int:
        return self.pairs.both_parasitized + self.pairs.both_uninfected


@dataclass(frozen=True)
class Machine:
    """The queue and the workers, in the words of who waits for them."""

    waiting: int
    oldest: datetime | None
    pulse: pulse.Pulse
    model: str

    @property
    def is_well(self) -> bool:
        return not self.trouble

    @property
    def sentence(self) -> str:
        if not self.pulse.answered:
            return f"{self._queue}."
        words = {"queue": self._queue, "ago": ago(self.pulse.answered)}
        return _("%(queue)s; the last answer came %(ago)s.") % words

    @property
    def _queue(self) -> str:
        if not self.waiting:
            return _("No image waits")
        words = ngettext("%(images)s image waits", "%(images)s images wait", self.waiting)
        return words % {"images": number(self.waiting)}

    @property
    def trouble(self) -> str:
        """Empty while all is well."""
        if not self.model:
            return _(
                "No model is active, so no image can be taken. Whoever runs this site registers "
                "one; what is stored is safe."
            )
        if self.pulse.lacked == pulse.MODEL:
            return _(
                "A worker cannot load the active model, so images wait. They are safe, and are "
                "read when it can. Tell whoever runs this site: its log says more."
            )
        if self.pulse.lacked == pulse.STORAGE:
            return _(
                "A worker cannot reach the stored images, so they wait and are read when it can. "
                "Tell whoever runs this site: its log says more."
            )
        if not self.pulse.is_silent:
            return ""
        if not self.pulse.seen:
            return _(
                "No worker has been seen yet. Images that you upload are safe, and are read when "
                "it is back. Tell whoever runs this site: its log says more."
            )
        sentence = _(
            "The worker was last seen %(ago)s. Images that you upload are safe, and are read when "
            "it is back. Tell whoever runs this site: its log says more."
        )
        return sentence % {"ago": ago(self.pulse.seen)}


def laboratory_of(user: access.Visitor, chosen: str) -> Laboratory | None:
    """The one that was chosen; nothing for all of them. Http404 for others'."""
    return access.get_laboratory(user, chosen) if chosen else None


def slides_of(user: access.Visitor, laboratory: Laboratory | None) -> QuerySet[Slide]:
    found = access.slides_for(user)
    return found.filter(laboratory=laboratory) if laboratory else found


def scope(laboratories: Iterable[Laboratory]) -> str:
    """Names what is drawn of them today in this language, for whoever keeps it."""
    ids = sorted(str(laboratory.pk) for laboratory in laboratories)
    return " ".join([str(get_language()), str(timezone.localdate()), *ids])


def wait(user: access.Visitor, laboratory: Laboratory | None) -> Waiting:
    within = {"laboratory": laboratory} if laboratory else {}
    found = waiting.slides(user).filter(**within)
    numbers = _by_reason(found)
    if not numbers:
        others = _by_reason(waiting.for_anybody(user).filter(**within))
        return Waiting([], [], sum(others.values()), others.get(Reason.POSITIVE, 0))
    first = list(found[:FIRST])
    for slide in first:
        slide.why = Reason(slide.waits)  # type: ignore[attr-defined]
    return Waiting(first, [(reason, numbers.get(reason, 0)) for reason in Reason])


def _by_reason(slides: QuerySet[Slide]) -> dict[int, int]:
    by_reason = slides.order_by().values_list("waits")  # type: ignore[misc]
    return dict(by_reason.annotate(n=Count("pk")))


def charts(slides: QuerySet[Slide]) -> list[Chart]:
    """Nothing without slides in these weeks."""
    found = weeks.of(slides, timezone.localdate())
    if not any(week.slides for week in found):
        return []
    return [
        weeks.slides_chart(found),
        weeks.positivity_chart(found),
        weeks.drift_chart(found, "rejected"),
        weeks.drift_chart(found, "uncertain"),
    ]


def agreement(slides: QuerySet[Slide]) -> Agreement:
    spoken_of = Q()
    for name in Pairs._fields:
        spoken_of |= Q(**{f"{name}__gt": 0})
    alike = slides.filter(spoken_of).order_by().values_list(*Pairs._fields)
    found = {Pairs(*row[:-1]): row[-1] for row in alike.annotate(n=Count("pk"))}
    return Agreement(total(found), sum(found.values()), kappa(found))


def machine(laboratory_ids: Collection[UUID]) -> Machine:
    """What waits is these laboratories' own: nobody learns how much others have."""
    pending = Prediction.objects.filter(
        state__in=PENDING_STATES,
        slide__laboratory__in=laboratory_ids,
        slide__deleted_at=None,
    )
    found = pending.aggregate(n=Count("pk"), oldest=Min("queued_at"))
    active = ModelVersion.objects.filter(is_active=True).values_list("name", flat=True)
    return Machine(found["n"], found["oldest"], pulse.taken(), active.first() or "")


def ago(moment: datetime) -> str:
    """As people say it: 8 s, 3 min, 5 h, 2 days ago."""
    seconds = max(0, round((timezone.now() - moment).total_seconds()))
    if seconds >= 2 * DAY:
        days = seconds // DAY
        return ngettext("%(days)d day ago", "%(days)d days ago", days) % {"days": days}
    if seconds >= 2 * HOUR:
        return _("%(hours)d h ago") % {"hours": seconds // HOUR}
    if seconds >= 2 * MINUTE:
        return _("%(minutes)d min ago") % {"minutes": seconds // MINUTE}
    return _("%(seconds)d s ago") % {"seconds": seconds}
