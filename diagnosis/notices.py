"""People are told that parasites are suspected on a slide, and that a long upload is read.

A notice is written in the transaction that changed the slide: no worker that dies loses one. Of one
slide and kind a person has one at a time that is not seen. Who may not see the slide any more sees
no notice of it. Mails about them are another matter, see `post`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count, QuerySet
from django.utils import timezone

from . import audit
from .models import MailChoice, Membership, News, Notice, Prediction, Slide

MANY = 50
"""Images: some ten seconds of reading, and more than a screen holds. Fewer are soon read."""
LONG = timedelta(minutes=2)
"""Whoever waited longer has most likely turned to something else."""
KEPT = timedelta(days=30)
"""What was seen; then `purge` removes it."""


@dataclass(frozen=True)
class Before:
    """What counts of a slide before it is counted anew."""

    is_critical: bool
    pending: int

    @classmethod
    def of(cls, slide: Slide) -> "Before":
        return cls(slide.is_critical, slide.pending)


@dataclass(frozen=True)
class Change:
    slide: Slide
    kind: str
    since: datetime | None = None
    """When the first image of what is read now began to wait."""


def news_of(slides: Iterable[Slide], before: Mapping[UUID, Before]) -> list[Change]:
    """What happened to these; and each is told since when it waits."""
    found = []
    for slide in slides:
        was = before[slide.pk]
        if slide.is_critical and not was.is_critical:
            found.append(Change(slide, News.CRITICAL))
        if slide.pending and slide.pending_since is None:
            slide.pending_since = timezone.now()
        elif not slide.pending and was.pending and slide.pending_since:
            found.append(Change(slide, News.UPLOADED, slide.pending_since))
            slide.pending_since = None
    return found


def tell(changes: Collection[Change]) -> None:
    """In the transaction of the change; nobody is told what they did themselves."""
    people = [(change, user) for change in changes for user in _concerned(change)]
    if not people:
        return
    wanting = _who_want_mail([user for _, user in people])
    Notice.objects.bulk_create(
        (
            Notice(
                user_id=user,
                slide=change.slide,
                kind=change.kind,
                is_to_mail=(user, change.kind) in wanting,
            )
            for change, user in people
        ),
        ignore_conflicts=True,  # one that is not seen yet says it already
    )


def of(user: User) -> QuerySet[Notice]:
    """Of slides that the person may see now, the newest first."""
    found = Notice.objects.filter(
        user=user, slide__deleted_at=None, slide__laboratory__members=user
    )
    return found.select_related("slide__laboratory")


def unseen(user: User) -> int:
    return of(user).filter(seen_at=None).count()


def see(user: User, **which: object) -> int:
    """How many of these were not seen before; where none was, nothing is written."""
    mine = Notice.objects.filter(user=user, seen_at=None, **which)
    return mine.update(seen_at=timezone.now(), is_to_mail=False) if mine.exists() else 0


def forget_alarm(slide: Slide) -> None:
    """Of a slide that is critical no more because what people said of it waits: whoever reads it
    blind would learn from the notice what that was."""
    Notice.objects.filter(slide=slide, slide__is_critical=False, kind=News.CRITICAL).delete()


def purge() -> None:
    Notice.objects.filter(seen_at__lte=timezone.now() - KEPT).delete()


def _concerned(change: Change) -> Iterable[int]:
    if change.kind == News.UPLOADED:
        return _uploaders(change)
    members = Membership.objects.filter(laboratory=change.slide.laboratory_id, user__is_active=True)
    doer = audit.person()
    others = members.exclude(user=doer) if doer else members
    return others.order_by("pk").values_list("user", flat=True)


def _uploaders(change: Change) -> list[int]:
    """Whose images these were, where they were many or took long."""
    read = Prediction.objects.filter(
        slide=change.slide, finished_at__gte=change.since, image__uploaded_by__is_active=True
    )
    by_person = read.order_by().values_list("image__uploaded_by").annotate(n=Count("pk"))
    took = timezone.now() - (change.since or timezone.now())
    return [user for user, number in by_person if number >= MANY or took >= LONG]


def _who_want_mail(users: Collection[int]) -> set[tuple[int, str]]:
    choices = MailChoice.objects.filter(user__in=users)
    return {
        (choice.pk, kind) for choice in choices for kind in News.values if getattr(choice, kind)
    }
