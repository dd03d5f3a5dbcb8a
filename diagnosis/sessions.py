"""How long a sign-in lasts, and for whom a password alone is too little."""

import time
from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, user_logged_in
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import access
from .views.guard import wants_json

Answer = Callable[[HttpRequest], HttpResponseBase]
BEGUN, SEEN = "begun", "seen"
BY_ITSELF = "X-By-Itself"
"""Sent with what an open page asks now and then: nobody is at it for that."""
NOTED_EVERY = 60
"""Seconds: a write for each request would be too much."""
ASKED = gettext_noop("This site asks you for a second factor: turn it on to go on.")


@receiver(user_logged_in)
def begin(request: HttpRequest | None, **_: object) -> None:
    if request is not None:
        request.session[BEGUN] = request.session[SEEN] = int(time.time())


class Expiry:
    """Signs out whoever was away for too long, or signed in too long ago."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            if _is_over(request.session):
                logout(request)
            elif BY_ITSELF not in request.headers:
                _note(request.session)
        return self.get_response(request)


def _is_over(session: SessionBase) -> bool:
    now = time.time()
    if now - session.get(SEEN, now) > 60 * settings.SESSION_IDLE_MINUTES:
        return True
    return bool(now - session.get(BEGUN, now) > 3600 * settings.SESSION_HOURS)


def _note(session: SessionBase) -> None:
    now = int(time.time())
    session.setdefault(BEGUN, now)
    if abs(now - session.get(SEEN, 0)) > NOTED_EVERY:
        session[SEEN] = now


def purge() -> None:
    """Sessions that are over, and what is listed of them for their owners."""
    SessionStore.clear_expired()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()


TO_TURN_IT_ON = {
    "mfa_index",
    "mfa_activate_totp",
    "mfa_reauthenticate",
    "account_reauthenticate",
    "account_logout",
    "set_language",
    "words",
}
"""All that is open to whoever lacks a second factor: nothing of the account can be changed there,
and no token made."""


class SecondFactor:
    """Leads whoever must have one and has none to where it is turned on, and nowhere else."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponseBase | None:
        place = request.resolver_match.view_name if request.resolver_match else ""
        if place in TO_TURN_IT_ON or not lacks_factor(request.user):
            return None
        address = reverse("mfa_activate_totp")
        is_part = request.headers.get("HX-Request")
        if is_part or wants_json(request):
            headers = {"HX-Redirect": address} if is_part else {}
            return JsonResponse({"error": _(ASKED), "waits": True}, status=403, headers=headers)
        messages.info(request, _(ASKED))
        return redirect(address)


def lacks_factor(user: User | AnonymousUser) -> bool:
    return bool(
        settings.SECOND_FACTOR != "free"
        and isinstance(user, User)
        and (settings.SECOND_FACTOR == "everyone" or user.is_staff or access.reviews(user))
        and not is_mfa_enabled(user)
    )
