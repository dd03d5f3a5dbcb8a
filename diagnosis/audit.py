"""Who did what, when, and what changed: each event is written with the deed itself.

Machines' readings are no deeds: predictions are never edited, and say themselves what they are.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from .models import (
    COMMAND_LINE,
    Action,
    Cell,
    Event,
    Invitation,
    Laboratory,
    Membership,
    ModelVersion,
    Report,
    Settlement,
    Slide,
    SlideReading,
    SmearImage,
    Token,
)

SEEN_AGAIN_AFTER = timedelta(minutes=15)
"""Looking at one thing for a while is one event, however often its page is loaded."""

Changes = dict[str, tuple[Any, Any]]
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class Actors:
    """Middleware behind the one that knows the user: whoever asks is who does it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(before)


def note(action: Action, thing: Model, **changes: tuple[Any, Any]) -> None:
    """In the laboratory that the thing is of."""
    laboratory, _ = _OF[thing.__class__](thing)
    if laboratory:
        note_for([laboratory], action, thing, **changes)


def note_for(
    laboratories: Iterable[UUID], action: Action, thing: Model, **changes: tuple[Any, Any]
) -> None:
    """What is a matter of several: of all, say, whose images a model reads."""
    kept = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
    Event.objects.bulk_create(_event(action, thing, of, kept) for of in laboratories)


def note_account(user: User, **changes: tuple[Any, Any]) -> None:
    """It is a matter of all laboratories that it opens."""
    laboratories = user.memberships.values_list("laboratory_id", flat=True)
    if changes:
        note_for(laboratories, Action.CHANGED, user, **changes)


def saw(things: Iterable[Model]) -> None:
    """One query where all of it was noted a while ago.

    And no transaction, which a generator without events would open: on SQLite it waits for workers.
    """
    events = [_event(Action.SAW, thing) for thing in things]
    known = Event.objects.filter(
        by=person(),
        action=Action.SAW,
        subject__in=[event.subject for event in events],
        at__gt=timezone.now() - SEEN_AGAIN_AFTER,
    )
    seen = set(known.values_list("subject", flat=True))
    Event.objects.bulk_create([event for event in events if event.subject not in seen])


def _event(
    action: Action, thing: Model, laboratory: UUID | None = None, changes: Changes | None = None
) -> Event:
    of, name = _OF[thing.__class__](thing)
    owner, doer = laboratory or of, person() or _holder(thing)
    assert owner  # what belongs to the whole site is noted for each laboratory
    return Event(
        laboratory_id=owner,
        by=doer,
        who=doer.get_username() if doer else COMMAND_LINE,
        token=_token(),
        action=action,
        kind=thing._meta.model_name or "",
        subject=str(thing.pk),
        name=name[:250],
        changes=changes or {},
    )


def person() -> User | None:
    """Who does it; nobody where a worker or a command does."""
    request = _request.get()
    user = getattr(request, "user", None)
    return user if user and user.is_authenticated else None


def _holder(thing: Model) -> User | None:
    """Whoever has the link for a new password changes their own account, before any sign-in."""
    if _request.get() is None:
        return None
    return thing if isinstance(thing, User) else thing.user if isinstance(thing, Token) else None


def _token() -> str:
    """REST framework leaves it on the request."""
    token = getattr(_request.get(), "auth", None)
    return token.name if isinstance(token, Token) else ""


def _of_image(image: SmearImage) -> tuple[UUID, str]:
    return image.slide.laboratory_id, f"{image.slide.code}: {image.name}"


def _of_cell(cell: Cell) -> tuple[UUID, str]:
    laboratory, name = _of_image(cell.image)
    return laboratory, f"{name}, cell {cell.number}"


_OF: dict[type[Model], Callable[[Any], tuple[UUID | None, str]]] = {
    Laboratory: lambda laboratory: (laboratory.pk, laboratory.name),
    Membership: lambda member: (member.laboratory_id, member.user.get_username()),
    Invitation: lambda invitation: (invitation.laboratory_id, invitation.note or invitation.role),
    Slide: lambda slide: (slide.laboratory_id, slide.code),
    SmearImage: _of_image,
    Cell: _of_cell,
    Report: lambda report: (report.slide.laboratory_id, str(report)),
    SlideReading: lambda reading: (reading.slide.laboratory_id, str(reading)),
    Settlement: lambda settled: (settled.slide.laboratory_id, str(settled)),
    ModelVersion: lambda version: (None, version.name),
    Token: lambda token: (None, token.name),
    User: lambda user: (None, user.get_username()),
}
"""Whose matter a thing is, and what it is called."""
