"""How much one account may send in an hour, and how much one laboratory may keep."""

import time
from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .models import SmearImage

HOUR = 3600
MEASURED_EVERY = 300
GB = 1_000_000_000


class TooMuch(Exception):
    """The text is a sentence for people, `status` the answer's; `wait`: seconds until it is not."""

    def __init__(self, sentence: str, status: int, wait: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.wait = wait


def check(user: User, laboratory_id: UUID, sizes: list[int]) -> None:
    """Before files of these sizes are taken. Raises TooMuch, and then nothing is counted."""
    if settings.STORAGE_QUOTA_GB:
        _check_quota(laboratory_id, sum(sizes))
    _count(user, len(sizes))
    if settings.STORAGE_QUOTA_GB:
        _add(_stored_key(laboratory_id), sum(sizes))


@transaction.atomic
def _count(user: User, number: int) -> None:
    """The database's cache reads, then writes: of one person's requests each waits for the last."""
    User.objects.select_for_update().get(pk=user.pk)
    hour, passed = divmod(int(time.time()), HOUR)
    key = f"uploads-{user.pk}-{hour}"
    sent = cache.get(key, 0) + number
    _check_rate(sent, HOUR - passed)
    cache.set(key, sent, HOUR)


def _check_rate(number: int, seconds_left: int) -> None:
    """In each hour by the clock, by all processes together."""
    if number > settings.UPLOADS_PER_HOUR:
        raise TooMuch(
            _too_many(seconds_left // 60 + 1),
            429,
            seconds_left,
        )


def _too_many(minutes: int) -> str:
    sentence = ngettext(
        "More than %(most)d files in an hour are too many for this site: "
        "send the others in %(minutes)d minutes.",
        "More than %(most)d files in an hour are too many for this site: "
        "send the others in %(minutes)d minutes.",
        minutes,
    )
    return sentence % {"most": settings.UPLOADS_PER_HOUR, "minutes": minutes}


def _check_quota(laboratory_id: UUID, size: int) -> None:
    quota = settings.STORAGE_QUOTA_GB
    if stored(laboratory_id) + size > quota * GB:
        raise TooMuch(
            _(
                "Your laboratory has filled its %(quota)d GB of storage: "
                "ask whoever runs this site for more. Nothing that is stored is lost."
            )
            % {"quota": quota},
            507,
        )


def stored(laboratory_id: UUID) -> int:
    """Bytes of its images, as added up at most MEASURED_EVERY seconds ago, and of files since."""
    key = _stored_key(laboratory_id)
    return cache.get_or_set(key, lambda: _added_up(laboratory_id), MEASURED_EVERY) or 0


def _added_up(laboratory_id: UUID) -> int:
    """Deleted slides count until they are purged: their files are there."""
    images = SmearImage.objects.filter(slide__laboratory=laboratory_id)
    return images.aggregate(n=Sum("stored_bytes"))["n"] or 0


def _stored_key(laboratory_id: UUID) -> str:
    return f"stored-{laboratory_id}-{int(time.time()) // MEASURED_EVERY}"


def _add(key: str, number: int) -> None:
    with suppress(ValueError):  # the cache was emptied just now
        cache.incr(key, number)
