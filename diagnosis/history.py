"""The slides of a laboratory, narrowed down: by result, status, date and words."""

from datetime import date, datetime, time, timedelta
from uuid import UUID

from django.db import connection
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
FEW = {"sqlite": 5000, "postgresql": 500}
"""Where names have no index, going through all of them again costs more than a long list does."""
STATUSES = {
    "reading": gettext_lazy("Being read"),
    "done": gettext_lazy("All read"),
    "failed": gettext_lazy("Some not read"),
}


_UNCERTAIN = Q(uncertain__gt=0) | Q(finding=Finding.UNCERTAIN) | Q(suspected=True)
_SUSPECT = Q(parasitized__gt=0) | _UNCERTAIN
_COUNTED = Q(parasitized__gt=0) | Q(uncertain__gt=0) | Q(uninfected__gt=0)
_UNFINISHED = Q(pending__gt=0) | Q(failed__gt=0)
_READ = _SUSPECT | _COUNTED | Q(rejected__gt=0)
_CAME_OUT = {
    "positive": Q(finding=Finding.POSITIVE) | Q(concluded=Conclusion.POSITIVE),
    "negative": Q(is_critical=False)
    & (Q(finding=Finding.NEGATIVE, concluded="") | _COUNTED & Q(concluded=Conclusion.NEGATIVE)),
    "parasitized": Q(parasitized__gt=0),
    "uncertain": _UNCERTAIN,
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


def named(words: str) -> QuerySet[SmearImage]:
    """The images in whose file names they stand."""
    return SmearImage.objects.filter(_contains("name_in_lower_case", words))


def _mention(words: str) -> Q:
    return _contains("words", words) | Q(pk__in=_slides_of(named(words)))


def _contains(column: str, words: str) -> Q:
    """In a column in lower case: PostgreSQL changes the case of 100,000 names too slowly.

    SQLite's lower case knows only ASCII, so other words are looked for as they were typed too.
    """
    found = Q((f"{column}__contains", words.lower()))
    return found if words.isascii() else found | Q((f"{column}__contains", words))


def _slides_of(images: QuerySet[SmearImage]) -> list[UUID] | QuerySet[SmearImage, UUID]:
    """If they are few, looked for once: not for the page, and again for the number of its rows.

    Each is named once: PostgreSQL gives up on hashing a million, and goes through them for each.
    """
    slides = images.order_by().values_list("slide", flat=True).distinct()
    most = FEW[connection.vendor]
    few = list(slides[: most + 1])
    return few if len(few) <= most else slides


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))
