"""The events of a laboratory as its administrators read them: in words, and as a file."""

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from . import blindness, phrases, reports
from .models import Action, Event, Laboratory

KINDS = {
    "membership": "member",
    "smearimage": "image",
    "modelversion": "model",
    "slidereading": "reading",
    "user": "account",
}
OF_THE_SITE = (
    "label", "role", "kind", "conclusion", "second_reading", "password", "of", "e-mail",
    "second_factor", "active", "staff", "superuser",
)  # fmt: skip
"""Changes in the site's own words; others hold what people wrote."""
COLUMNS = ("at", "who", "token", "action", "kind", "id", "name", "what changed")


def events(laboratory: Laboratory, user: User, action: str = "", who: str = "") -> QuerySet[Event]:
    """Newest first. A person who is to read a slide blind does not learn from it what others said;
    the lines are there once both readings are closed."""
    found = laboratory.events.exclude(blindness.hidden_events(user, laboratory.pk))
    if action in Action.values:
        found = found.filter(action=action)
    if who:
        found = found.filter(who=who)
    return found.order_by("-at", "-pk")


def kind(event: Event) -> str:
    return phrases.shown(KINDS.get(event.kind, event.kind))


def changes(event: Event) -> str:
    colon, semicolon = _(":"), _(";")
    return f"{semicolon} ".join(
        f"{phrases.shown(name.replace('_', ' '))}{colon} {_text(name, old)} → {_text(name, new)}"
        for name, (old, new) in event.changes.items()
    )


def _text(name: str, value: Any) -> str:
    if value in (None, "", []):
        return phrases.shown("none")
    text = _plain(value)
    return phrases.shown(text) if name in OF_THE_SITE else text


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def csv_response(found: QuerySet[Event], filename: str) -> StreamingHttpResponse:
    return reports.streamed(_lines(found), filename)


def _lines(found: QuerySet[Event]) -> Iterator[str]:
    out = reports.writer()
    yield out.writerow(COLUMNS)
    for event in found.iterator(chunk_size=reports.ROWS_IN_MEMORY):
        row = (
            reports.time(event.at),
            event.who,
            event.token,
            event.action,
            kind(event),
            event.subject,
            event.name,
            changes(event),
        )
        yield out.writerow([reports.harmless(value) for value in row])
