"""Personal tokens: with one, a program may do what its person may.

They hold 256 random bits, so that an unsalted digest is enough, and a search by it.
"""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit
from .models import Action, Token

PREFIX = "mlw_"
SHOWN = len(PREFIX) + 6
MOST = 20
NOTED_EVERY = timedelta(minutes=1)
"""The last use is as exact as this: not every question should write."""


class Refused(ValueError):
    """The text is a sentence for people."""


def new(user: User, name: str) -> tuple[Token, str]:
    """The token and its text, which nobody can find out later. Raises Refused."""
    if user.tokens.count() >= MOST:
        raise Refused(
            _("You have %(most)d tokens: revoke one that is no longer used.") % {"most": MOST}
        )
    text = PREFIX + secrets.token_urlsafe(32)
    values = {"name": name, "digest": digest(text), "start": text[:SHOWN]}
    try:
        with transaction.atomic():
            token = user.tokens.create(**values)
            _note(Action.MADE, token)
            return token, text
    except IntegrityError:
        raise Refused(_("You have a token of this name already.")) from None


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@transaction.atomic
def revoke(token: Token) -> None:
    _note(Action.DELETED, token)
    token.delete()


@transaction.atomic
def revoke_all(user: User) -> None:
    for token in user.tokens.all():
        revoke(token)


def _note(action: Action, token: Token) -> None:
    """It is a matter of all laboratories that it opens."""
    audit.note_for(token.user.memberships.values_list("laboratory_id", flat=True), action, token)


def find(text: str) -> Token | None:
    """Nothing for what is no token, was revoked or is of a closed account."""
    found = Token.objects.select_related("user").filter(digest=digest(text), user__is_active=True)
    token = found.first()
    if token:
        _note_use(token)
    return token


def _note_use(token: Token) -> None:
    now = timezone.now()
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - NOTED_EVERY)
    Token.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)
