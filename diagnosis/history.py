"""The slides of a laboratory, narrowed down: by result, status, date and words."""

from datetime import date, datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from .models import Conclusion, Finding, Slide, SmearImage

RESULTS = {
    "positive": gettext_lazy("Positive"),
    "negative": gettext_lazy("Negative"),
    "parasitized": gettext_lazy("Parasitized cells"),
    "uncertain": gettext_lazy("Uncertain cells"),
    "uninfected": gettext_lazy("Only uninfected cells"),
    "rejected": gettext_lazy("Rejected images"),
}
EARLIEST, LATEST = date(1900, 1, 1), date(9000, 1, 1)
"""Outside of these a moment cannot be reckoned in every zone, and there are no slides."""
STATUSES = {
    "reading": gettext_lazy("Being read"),
    "done": gettext_lazy("All read"),
    "failed": gettext_lazy("Some not read"),
}


_SUSPECT = Q(parasitized__gt=0) | Q(uncertain__gt=0) | Q(finding=Finding.UNCERTAIN)
_COUNTED = Q(parasitized__gt=0) | Q(uncertain__gt=0) | Q(uninfected__gt=0)
_UNFINISHED = Q(pending__gt=0) | Q(failed__gt=0)
_READ = _SUSPECT | _COUNTED | Q(rejected__gt=0)
_CAME_OUT = {
    "positive": Q(finding=Finding.POSITIVE) | Q(concluded=Conclusion.POSITIVE),
    "negative": Q(is_critical=False)
    & (Q(finding=Finding.NEGATIVE, concluded="") | _COUNTED & Q(concluded=Conclusion.NEGATIVE)),
    "parasitized": Q(parasitized__gt=0),
    "uncertain": Q(uncertain__gt=0) | Q(finding=Finding.UNCERTAIN),
    "uninfected": Q(uninfected__gt=0) & ~_SUSPECT,
    "rejected": Q(rejected__gt=0),
}
_STANDS = {
    "reading": Q(pending__gt=0),
    "done": _READ & ~_UNFINISHED,
    "failed": Q(failed__gt=0, pending=0),
}
"""As verdict.Tally.status."""


def search(
    slides: QuerySet[Slide],
    q: str = "",
    result: str = "",
    status: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[Slide]:
    """Newest first. `q` is looked for in codes, notes and file names; `until` is a whole day."""
    if q:
        slides = slides.filter(_mention(q))
    if result:
        slides = slides.filter(_CAME_OUT[result])
    if status:
        slides = slides.filter(_STANDS[status])
    if since and since > EARLIEST:
        slides = slides.filter(created_at__gte=_midnight(since))
    if until and until < LATEST:
        slides = slides.filter(created_at__lt=_midnight(until + timedelta(days=1)))
    return slides.order_by("-created_at", "-pk")


def _mention(words: str) -> Q:
    """Compared with columns in lower case: PostgreSQL changes the case of 100,000 names too slowly.
    And each slide named once: it gives up on hashing a million, and goes through them for each.

    SQLite's lower case knows only ASCII, so other words are looked for as they were typed too.
    """
    forms = {words.lower()} if words.isascii() else {words.lower(), words}
    found = Q()
    for form in forms:
        named = SmearImage.objects.filter(name_in_lower_case__contains=form)
        found |= Q(words__contains=form) | Q(pk__in=named.order_by().values("slide").distinct())
    return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))
