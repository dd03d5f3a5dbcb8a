"""A person's reading of a whole slide: what they conclude, and on slides that are read twice when
they began and closed it.

A slide that is read twice has two places. Whoever first speaks of it takes one: a reviewer the
second, others the first, as long as there is a choice. A closed reading stays as it is, and so does
what the machine said of the images that its reader saw (`current.is_closed`); where the two differ
it is settled (`disputes`).

A second reader may be asked for later too, as long as nothing is signed and one person at most has
spoken: that person reads first, and what they said waits until both readings are closed.
"""

from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import access, audit, carrying, current, disputes, notices, opinions, rollups
from .access import REVIEWING
from .models import (
    PENDING_STATES,
    Action,
    Cell,
    CellReview,
    Conclusion,
    Membership,
    Place,
    Review,
    Role,
    Slide,
    SlideReading,
    SmearImage,
)

CLOSED = gettext_noop("Your reading of this slide is closed, so it stays as it is.")
BOTH_CLOSED = gettext_noop(
    "Both readings of this slide are closed. Where they differ it is settled, with a reason."
)
TAKEN = gettext_noop("Two people read this slide already.")
BEING_READ = gettext_noop(
    "Images of this slide are still being read. Close your reading once all are read."
)
NO_CONCLUSION = gettext_noop(
    "Say what you conclude of the whole slide: positive, negative or cannot tell."
)
READ = gettext_noop("This slide waits for no second reading.")
NO_REASON = gettext_noop("Say why one reading is enough.")
READ_TWICE = gettext_noop("This slide is read by two people already.")
SIGNED = gettext_noop("This slide is signed, so it is too late to ask for a second reader.")
NOT_BLIND = gettext_noop(
    "Several people have spoken of this slide, so none of them would be blind to the others."
)
GONE = gettext_noop("Whoever spoke of this slide does not read here any more.")
NOT_YOURS = gettext_noop(
    "Only whoever asked for the second reader, the first reader and administrators take that back."
)
NOT_ASKED = gettext_noop("Nobody asked for a second reader of this slide.")
OPENED = gettext_noop("The second reader has begun, so the second reading stays.")


class NotNow(ValueError):
    """What this person cannot say of the slide; the text is a sentence for people."""


def take_part(slide_id: UUID, user: User, image: SmearImage | None = None) -> SlideReading | None:
    """Asked before a person speaks of a slide or of an image of it; the caller holds the slide.

    Opens their reading where it is one of two. Raises NotNow.
    """
    slide = Slide.objects.get(pk=slide_id)
    if not slide.is_read_twice:
        return None
    if slide.readings_closed_at:
        if image and opinions.is_late(image, slide.both_saw_until):
            return None
        raise NotNow(_(BOTH_CLOSED))
    mine = of(slide, user)
    if mine and mine.closed_at:
        raise NotNow(_(CLOSED))
    return mine or _open(slide, user)


def of(slide: Slide, user: User) -> SlideReading | None:
    return slide.readings.filter(reader=user).first()


def hindrance(slide: Slide, known: Collection[SlideReading], user: User) -> str:
    """Why this person cannot speak of the slide now; empty where they can."""
    if not slide.is_read_twice:
        return ""
    if slide.readings_closed_at:
        return _(BOTH_CLOSED)
    if mine := [one for one in known if one.reader_id == user.pk]:
        return _(CLOSED) if mine[0].closed_at else ""
    return _(TAKEN) if len(known) == len(Place) else ""


def silence(slide: Slide, user: User, image: SmearImage | None = None) -> str:
    """Why this person cannot speak of the slide now, or of an image of it; empty where they can."""
    if not slide.is_read_twice or (image and opinions.is_late(image, slide.both_saw_until)):
        return ""
    return hindrance(slide, list(slide.readings.all()), user)


@transaction.atomic
def conclude(
    slide: Slide, user: User, conclusion: str, comment: str = "", close: bool = False
) -> SlideReading:
    """What this person says of the whole slide, in place of what they said before.

    `close` ends one of two readings. Raises NotNow.
    """
    current.lock([slide.pk])
    slide = Slide.objects.get(pk=slide.pk)
    known = of(slide, user)
    if known and known.closed_at and (known.conclusion, known.comment) == (conclusion, comment):
        return known  # it was sent twice
    reading = take_part(slide.pk, user) or of(slide, user) or _new(slide, user, None)
    before = reading.conclusion, reading.comment
    reading.conclusion, reading.comment = conclusion, comment
    if close and slide.is_read_twice:
        _close(slide, reading)
    reading.save()
    said = {"conclusion": (before[0], conclusion), "comment": (before[1], comment)}
    closed = (None, reading.closed_at.isoformat() if reading.closed_at else None)
    audit.note(Action.REVIEWED, reading, **said, closed=closed)
    if _both_closed(slide):
        _finish(slide)
    disputes.recount(slide)
    return reading


@transaction.atomic
def let_one_do(slide: Slide, by: User, reason: str) -> None:
    """No second reading after all: what was said counts, and nobody is blind. Raises NotNow."""
    if not reason.strip():
        raise NotNow(_(NO_REASON))
    current.lock([slide.pk])
    slide = Slide.objects.get(pk=slide.pk)
    if slide.counts_opinions:
        raise NotNow(_(READ))
    _unite(slide)
    slide.is_read_twice = False
    slide.single_reading = f"{by.get_username()}: {reason.strip()}"
    slide.save(update_fields=["is_read_twice", "single_reading"])
    audit.note(Action.CHANGED, slide, second_reading=(True, False), reason=("", reason.strip()))
    disputes.recount(slide)


@transaction.atomic
def ask_for_second(slide: Slide, by: User) -> None:
    """Of a slide that one person reads. Who spoke of it, or else who asks, reads first.

    Raises NotNow.
    """
    current.lock([slide.pk])
    slide = Slide.objects.get(pk=slide.pk)
    if reason := not_to_ask(slide):
        raise NotNow(reason)
    first = User.objects.get(pk=next(filter(None, _speakers(slide)), by.pk))
    slide.is_read_twice, slide.second_asked_by = True, by.get_username()
    slide.save(update_fields=["is_read_twice", "second_asked_by"])
    audit.note(Action.CHANGED, slide, second_reading=(False, True))
    _forget_silent(slide, first)
    if not slide.readings.filter(reader=first).update(place=Place.FIRST, closed_at=None):
        _new(slide, first, Place.FIRST)
    carrying.make_room(slide)
    disputes.recount(slide)
    notices.forget_alarm(slide)


def not_to_ask(slide: Slide) -> str:
    """Why no second reader can be asked for now; empty where one can."""
    if slide.is_read_twice:
        return _(READ_TWICE)
    if slide.is_signed:
        return _(SIGNED)
    speakers = _speakers(slide)
    if len(speakers) > 1:
        return _(NOT_BLIND)
    reading_here = Membership.objects.filter(
        laboratory=slide.laboratory_id, role__in=REVIEWING, user__is_active=True
    )
    is_here = reading_here.filter(user__in=[one for one in speakers if one]).exists()
    return _(GONE) if speakers and not is_here else ""


def _speakers(slide: Slide) -> set[int | None]:
    """Who said something that stands; None is a former account."""
    of_images = Review.objects.filter(image__slide=slide, is_standing=True)
    of_cells = CellReview.objects.filter(cell__image__slide=slide, is_standing=True)
    said = [of.order_by().values_list("reviewer") for of in (of_images, of_cells)]
    of_slide = slide.readings.exclude(conclusion="", comment="").order_by()
    return {who for (who,) in of_slide.values_list("reader").union(*said)}


@transaction.atomic
def take_back_second(slide: Slide, by: User) -> None:
    """No second reader after all, before one began: what was said counts again. Raises NotNow."""
    current.lock([slide.pk])
    slide = Slide.objects.get(pk=slide.pk)
    if not slide.second_asked_by or not slide.is_read_twice:
        raise NotNow(_(NOT_ASKED))
    known = list(slide.readings.all())
    if not is_awaited(slide, known):
        raise NotNow(_(OPENED))
    if not may_take_back(slide, known, by):
        raise NotNow(_(NOT_YOURS))
    slide.is_read_twice, slide.second_asked_by = False, ""
    slide.save(update_fields=["is_read_twice", "second_asked_by"])
    _forget_silent(slide)
    slide.readings.update(place=None, closed_at=None)
    audit.note(Action.CHANGED, slide, second_reading=(True, False))
    disputes.recount(slide)


def _forget_silent(slide: Slide, but: User | None = None) -> None:
    """Of whoever said nothing, or took it back: they read as if for the first time."""
    silent = slide.readings.filter(conclusion="", comment="")
    (silent.exclude(reader=but) if but else silent).delete()


def is_awaited(slide: Slide, known: Collection[SlideReading]) -> bool:
    """A second reader who was asked for, and has not begun."""
    begun = [one for one in known if one.place]
    return bool(slide.second_asked_by) and slide.is_read_twice and len(begun) < len(Place)


def may_take_back(slide: Slide, known: Collection[SlideReading], user: User) -> bool:
    """Nobody who could be the second reader lifts the blindness, to read it all and ask anew."""
    is_first = any(one.place and one.reader_id == user.pk for one in known)
    asked = user.get_username() == slide.second_asked_by
    return is_first or asked or access.administers(user, slide)


def _open(slide: Slide, user: User) -> SlideReading:
    taken = set(slide.readings.values_list("place", flat=True))
    is_reviewer = access.role_to_review(user, slide) == Role.REVIEWER
    order = sorted(Place, reverse=is_reviewer)
    free = [place for place in order if place not in taken]
    if not free:
        raise NotNow(_(TAKEN))
    return _new(slide, user, free[0])


def _new(slide: Slide, user: User, place: int | None) -> SlideReading:
    reading: SlideReading = slide.readings.create(reader=user, who=user.get_username(), place=place)
    audit.note(Action.MADE, reading)
    return reading


def _close(slide: Slide, reading: SlideReading) -> None:
    if slide.predictions.filter(state__in=PENDING_STATES).exists():
        raise NotNow(_(BEING_READ))
    if reading.conclusion not in Conclusion.values:
        raise NotNow(_(NO_CONCLUSION))
    newest = slide.predictions.aggregate(newest=rollups.NEWEST)["newest"]
    now = timezone.now()
    reading.closed_at = max(now, newest or now)  # a worker's clock may be ahead


def _both_closed(slide: Slide) -> bool:
    closed = slide.readings.filter(place__isnull=False, closed_at__isnull=False).count()
    return slide.is_read_twice and slide.readings_closed_at is None and closed == len(Place)


def _finish(slide: Slide) -> None:
    _unite(slide)
    slide.readings_closed_at = timezone.now()
    slide.save(update_fields=["readings_closed_at"])


def _unite(slide: Slide) -> None:
    """What both drew, while neither saw the other's."""
    readers = list(slide.readings.exclude(place=None))
    if len(readers) < len(Place):
        return
    first, second = readers
    for image in slide.images.filter(cells__prediction=None, cells__isnull=False).distinct():
        carrying.unite(_added_by(image, first), _added_by(image, second))


def _added_by(image: SmearImage, reading: SlideReading) -> list[Cell]:
    """Cells that this reader drew, because the machine had missed them."""
    theirs = image.cells.filter(reviews__is_standing=True, reviews__reviewer=reading.reader_id)
    return list(theirs.filter(prediction=None).distinct())
