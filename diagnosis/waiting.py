"""The slides that wait for a person, each with the reason, the most urgent first.

What was signed waits no more, unless suspicious cells came to it since. All that is asked of a
slide is kept on its row (see `verdict.recount`), so that many slides are one look at an index.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, IntegerChoices, Q, QuerySet, Value, When
from django.utils.translation import gettext_lazy

from . import access
from .models import Conclusion, Finding, Place, Slide, SlideReading


class Reason(IntegerChoices):
    """The most urgent first."""

    POSITIVE = 1, gettext_lazy("Parasites suspected: nobody has looked at all of them")
    SETTLE = 2, gettext_lazy("Two readings differ")
    SECOND = 3, gettext_lazy("Waits for a second reading")
    UNCERTAIN = 4, gettext_lazy("Uncertain cells that nobody has looked at")
    UNSIGNED = 5, gettext_lazy("Not signed")
    FAILED = 6, gettext_lazy("Images that could not be read")

    @property
    def icon(self) -> str:
        return ICONS[self]


ICONS = {
    Reason.POSITIVE: "parasitized",
    Reason.SETTLE: "people",
    Reason.SECOND: "eye",
    Reason.UNCERTAIN: "uncertain",
    Reason.UNSIGNED: "draw",
    Reason.FAILED: "failed",
}


_CRITICAL = Q(is_critical=True)
_SUSPECT = (
    Q(finding=Finding.POSITIVE)
    | Q(parasitized__gt=0)
    | Q(uncertain__gt=0)
    | Q(finding=Finding.UNCERTAIN)
)
_READABLE = _SUSPECT | Q(uninfected__gt=0) | Q(concluded=Conclusion.POSITIVE)
_SIGNED = Q(signed_at__isnull=False)
_BEING_READ_TWICE = Q(is_read_twice=True, readings_closed_at=None)
_OPEN = Q(has_open=True)
"""What two readers closed, they have looked at, also where they said nothing."""
_MAY_WAIT = Q(has_open=True) | Q(signed_at=None)
"""As the index `slide_waiting` has it."""


def slides(user: access.Visitor) -> QuerySet[Slide]:
    """`waits` is the Reason of each; of one reason the critical come first, then the oldest."""
    found = access.slides_for(user).filter(_MAY_WAIT)
    reviewing = list(access.reviewing(user).values_list("laboratory", flat=True))
    readings = _readings(user, reviewing)
    mine = Q(laboratory__in=reviewing) & ~Q(pk__in=readings.of_others)
    critical_first = Case(When(_CRITICAL, Value(0)), default=Value(1))
    waits = _reason(mine, Q(pk__in=readings.begun))
    found = found.annotate(waits=waits).exclude(waits=None)
    return found.order_by("waits", critical_first, "created_at", "pk")


def for_anybody(user: access.Visitor) -> QuerySet[Slide]:
    """The same, whoever of their laboratories it waits for; second readings as UNSIGNED."""
    found = access.slides_for(user).filter(_MAY_WAIT)
    return found.annotate(waits=_reason(Q(), Q(pk__in=[]))).exclude(waits=None)


def _reason(mine: Q, begun: Q) -> Case:
    reasons = {
        Reason.POSITIVE: mine & _CRITICAL & _OPEN,
        Reason.SETTLE: mine & Q(is_read_twice=True, disputed__gt=0),
        Reason.SECOND: mine & _READABLE & _BEING_READ_TWICE & begun & Q(pending=0),
        Reason.UNCERTAIN: mine & _SUSPECT & _OPEN,
        Reason.UNSIGNED: mine & _READABLE & ~_SIGNED & Q(pending=0),
        Reason.FAILED: ~_SIGNED & Q(failed__gt=0, pending=0),
    }
    return Case(*(When(condition, Value(reason.value)) for reason, condition in reasons.items()))


def following(user: access.Visitor, here: Slide | None = None) -> Slide | None:
    """The next one after `here`, round and round; never that one itself."""
    waiting = list(slides(user))
    place = waiting.index(here) + 1 if here in waiting else 0
    return next((slide for slide in waiting[place:] + waiting[:place] if slide != here), None)


@dataclass(frozen=True)
class _Readings:
    """Of slides that two people are reading now. Looked up before: within the conditions, which
    name them often, they would be asked of each slide, and take long to be put into words."""

    of_others: frozenset[UUID]
    """Both places are taken by others, or one's own reading is closed."""
    begun: frozenset[UUID]
    """One of the two is closed."""


def _readings(user: access.Visitor, laboratories: Collection[UUID]) -> _Readings:
    rows = SlideReading.objects.filter(
        slide__laboratory__in=laboratories,
        slide__deleted_at=None,
        slide__is_read_twice=True,
        slide__readings_closed_at=None,
    )
    places: dict[UUID, list[tuple[int | None, bool]]] = defaultdict(list)
    begun = set()
    for slide, place, reader, closed_at in rows.values_list(
        "slide", "place", "reader", "closed_at"
    ):
        if place is not None:
            places[slide].append((reader, closed_at is not None))
        if closed_at is not None:
            begun.add(slide)
    of_others = {slide for slide, taken in places.items() if not _is_turn_of(user, taken)}
    return _Readings(frozenset(of_others), frozenset(begun))


def _is_turn_of(user: access.Visitor, taken: Collection[tuple[int | None, bool]]) -> bool:
    """One's own reading is not closed, or a place is free. `taken`: by whom, and if closed."""
    mine = [is_closed for reader, is_closed in taken if reader == user.pk]
    return not all(mine) if mine else len(taken) < len(Place)
