"""When what opens an account changes: it is noted, and what was opened with the former ends.

A new password ends the account's other sign-ins by itself. Tokens may have been made by whoever
knew the former one, so they end with it; and with a removed second factor, and with all sign-ins.
"""

from typing import Any

from allauth.account.signals import email_changed, email_removed
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed
from allauth.usersessions.forms import ManageUserSessionsForm
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import MinimumLengthValidator
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from . import audit, tokens

NEW = "a new one"
NEW_ADDRESS = {"e-mail": (None, NEW)}
"""Neither passwords nor addresses are kept in the trail."""


class LongEnough(MinimumLengthValidator):
    """Django tells validators of each new password, wherever it is set."""

    @transaction.atomic
    def password_changed(self, password: str, user: User) -> None:
        audit.note_account(user, password=(None, NEW))
        tokens.revoke_all(user)


class SessionsForm(ManageUserSessionsForm):
    def save(self, request: HttpRequest) -> None:
        super().save(request)
        if isinstance(request.user, User):
            tokens.revoke_all(request.user)


@receiver(authenticator_added)
def factor_added(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        audit.note_account(user, second_factor=(False, True))


@receiver(authenticator_removed)
def factor_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        _without_factor(user)


@transaction.atomic
def remove_factor(user: User) -> None:
    if Authenticator.objects.filter(user=user).delete()[0]:
        _without_factor(user)


@transaction.atomic
def _without_factor(user: User) -> None:
    audit.note_account(user, second_factor=(True, False))
    tokens.revoke_all(user)


@receiver(email_changed)
def address_changed(user: User, **_: Any) -> None:
    audit.note_account(user, **NEW_ADDRESS)


@receiver(email_removed)
def address_removed(user: User, **_: Any) -> None:
    audit.note_account(user, **{"e-mail": ("the former", None)})
