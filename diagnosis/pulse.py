"""Signs of life of the workers, in the cache that all processes share.

Every sweep and every answer leaves the time. A sweep waits its turn in the queue, so that a busy
worker is known by its answers and an idle one by its sweeps. Whoever forgets the cache forgets
these times; nothing rests on them but words on a page.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.utils import timezone

SEEN, ANSWERED, LACKED = "worker-seen", "worker-answered", "worker-lacked"
MODEL, STORAGE = "model", "storage"
"""What a worker may lack, so that images wait."""
KEPT = timedelta(days=30)
SILENT_AFTER = timedelta(minutes=2)
"""Several sweeps, or one task at its time limit and the sweep behind it."""
TOLD_FOR = timedelta(minutes=1)
"""What waits is tried again at each sweep, and so told again while it lasts."""


@dataclass(frozen=True)
class Pulse:
    seen: datetime | None
    answered: datetime | None
    lacked: str = ""
    """What some worker cannot get at now."""

    @property
    def is_silent(self) -> bool:
        return self.seen is None or timezone.now() - self.seen > SILENT_AFTER


def seen() -> None:
    cache.set(SEEN, timezone.now(), KEPT.total_seconds())


def answered() -> None:
    cache.set(ANSWERED, timezone.now(), KEPT.total_seconds())


def lacks(what: str) -> None:
    """It is alive, and can read nothing without its model or the stored images."""
    seen()
    cache.set(LACKED, what, TOLD_FOR.total_seconds())


def taken() -> Pulse:
    found = cache.get_many([SEEN, ANSWERED, LACKED])
    lacked = found.pop(LACKED, "")
    return Pulse(max(found.values(), default=None), found.get(ANSWERED), lacked)
