"""The slides that wait for a person, each with the reason, the most urgent first.

What was signed waits no more, unless suspicious cells came to it since.
"""

from datetime import UTC, datetime
from typing import Any

from django.db.models import (
    Case,
    Exists,
    IntegerChoices,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from . import access, gallery
from .models import Cell, Decision, Finding, Kind, Prediction, Report, Slide, State

SUSPICIOUS = (Decision.PARASITIZED, Decision.UNCERTAIN)
NEVER = datetime(1900, 1, 1, tzinfo=UTC)
"""When a slide that is not signed was signed: before everything."""


class Reason(IntegerChoices):
    """The most urgent first."""

    POSITIVE = 1, "Parasites suspected: nobody has looked at all of them"
    UNCERTAIN = 2, "Uncertain cells that nobody has looked at"
    UNSIGNED = 3, "Not signed"
    FAILED = 4, "Images that could not be read"


_SEEN_IN_CROPS = Prediction.objects.filter(
    gallery.STATUSES["parasitized"], slide=OuterRef("pk"), is_current=True, kind=Kind.CELL
)
_CRITICAL = Q(finding=Finding.POSITIVE) | Q(Exists(_SEEN_IN_CROPS), parasitized__gt=0)
"""As verdict.Tally.is_critical."""
_SUSPECT = (
    Q(finding=Finding.POSITIVE)
    | Q(parasitized__gt=0)
    | Q(uncertain__gt=0)
    | Q(finding=Finding.UNCERTAIN)
)
_READABLE = _SUSPECT | Q(uninfected__gt=0)
_SIGNED = Q(last_signed__gt=NEVER)


def slides(user: access.Visitor) -> QuerySet[Slide]:
    """`waits` is the Reason of each; of one reason the critical come first, then the oldest."""
    found = access.slides_for(user).annotate(last_signed=_last_signed())
    found = found.filter(_SUSPECT | ~_SIGNED & (_READABLE | Q(failed__gt=0)))
    mine = Q(laboratory__in=access.laboratories_to_review(user))
    reasons = {
        Reason.POSITIVE: mine & _CRITICAL & _has_open(),
        Reason.UNCERTAIN: mine & _SUSPECT & _has_open(),
        Reason.UNSIGNED: mine & _READABLE & ~_SIGNED & Q(pending=0),
        Reason.FAILED: ~_SIGNED & Q(failed__gt=0, pending=0),
    }
    waits = Case(*(When(condition, Value(reason.value)) for reason, condition in reasons.items()))
    critical_first = Case(When(_CRITICAL, Value(0)), default=Value(1))
    found = found.annotate(waits=waits).exclude(waits=None)
    return found.order_by("waits", critical_first, "created_at", "pk")


def following(user: access.Visitor, here: Slide | None = None) -> Slide | None:
    """The next one after `here`, round and round; never that one itself."""
    waiting = list(slides(user))
    place = waiting.index(here) + 1 if here in waiting else 0
    return next((slide for slide in waiting[place:] + waiting[:place] if slide != here), None)


def _last_signed() -> Coalesce:
    reports = Report.objects.filter(slide=OuterRef("pk")).order_by("-number")
    return Coalesce(Subquery(reports.values("signed_at")[:1]), Value(NEVER))


def _has_open() -> Q:
    """A suspicious cell that nobody spoke of, come to the slide since it was signed."""
    crops = Prediction.objects.filter(
        _since(), slide=OuterRef("pk"), kind=Kind.CELL, image__reviewed="", **_suspicious()
    )
    of_fields = {"prediction__slide": OuterRef("pk"), "prediction__kind": Kind.FIELD}
    cells = Cell.objects.filter(
        _since("prediction__"),
        **of_fields,
        **_suspicious("prediction__"),
        decision__in=SUSPICIOUS,
        is_cut=False,
        reviewed="",
    )
    return Q(Exists(crops)) | Q(Exists(cells))


def _suspicious(of: str = "") -> dict[str, Any]:
    """A field is as suspicious as its most suspicious cell."""
    return {f"{of}is_current": True, f"{of}state": State.DONE, f"{of}decision__in": SUSPICIOUS}


def _since(of: str = "") -> Q:
    """A picture that was read before, elsewhere, kept the time of that reading."""
    signed = OuterRef("last_signed")
    read, added = {f"{of}finished_at__gt": signed}, {f"{of}image__created_at__gt": signed}
    return Q(**read) | Q(**added)
