"""How django-allauth behaves here: who may sign up, and into which laboratory."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.utils import get_request_param
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import roster
from .models import Invitation

logger = logging.getLogger(__name__)


def invitation_on_the_way(request: HttpRequest) -> Invitation | None:
    """The open invitation that this visitor of a sign-in or sign-up page will return to."""
    try:
        match = resolve(get_request_param(request, "next") or "")
    except Resolver404:
        return None
    if match.url_name != "invitation":
        return None
    found = Invitation.objects.select_related("laboratory").filter(token=match.kwargs["token"])
    invitation = found.first()
    return invitation if invitation and invitation.is_open else None


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "too_many_login_attempts": gettext_lazy(
            "Too many failed tries. Wait five minutes, then try again."
        ),
        "username_password_mismatch": gettext_lazy("The username or the password is not right."),
        "email_password_mismatch": gettext_lazy("The e-mail address or the password is not right."),
        "email_taken": gettext_lazy("Another account has this e-mail address."),
        "incorrect_password": gettext_lazy("The password is not right."),
        "enter_current_password": gettext_lazy("This is not your current password."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """An invitation opens the door where SIGNUP_OPEN is off."""
        return settings.SIGNUP_OPEN or invitation_on_the_way(request) is not None

    @transaction.atomic
    def save_user(self, request: HttpRequest, user: User, form: Form, commit: bool = True) -> User:
        super().save_user(request, user, form, commit)
        if commit:
            self._settle(request, user)
        return user

    def _settle(self, request: HttpRequest, user: User) -> None:
        """Invited people join the laboratory that asked them; others get one of their own."""
        invitation = invitation_on_the_way(request)
        if not invitation:
            roster.open_laboratory(user)
            return
        try:
            roster.accept(invitation, user)
        except roster.RosterError as error:
            messages.warning(request, str(error))
            roster.open_laboratory(user)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is down must not take sign-up and sign-in down with it."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError as error:
            logger.error("No e-mail could be sent (%s): %s", template_prefix, error)
            messages.error(self.request, _("The e-mail could not be sent. Try again later."))
