"""django-allauth's forms in this site's words, and honest where no mail server is set."""

from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.internal.flows.manage_email import email_already_exists
from allauth.account.models import EmailAddress
from allauth.core import context
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import credentials
from .accounts import invitation_on_the_way
from .models import Invitation

NO_MAIL = gettext_noop(
    "This site cannot send e-mail: ask your laboratory's administrator for a reset link."
)


class Invited:
    @property
    def invitation(self) -> Invitation | None:
        return invitation_on_the_way(context.request)


class Mailed:
    @property
    def can_send_mail(self) -> bool:
        return settings.EMAIL_CONFIGURED


class LoginForm(Invited, allauth_forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("Username or e-mail")
        self.fields["login"].widget.attrs |= {"autocomplete": "username", "autocapitalize": "none"}
        self.fields["remember"].label = _("Keep me signed in on this computer")


class SignupForm(Invited, allauth_forms.SignupForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs["autocapitalize"] = "none"
        self.fields["email"].label = _("E-mail (optional)")


class ResetPasswordForm(Mailed, allauth_forms.ResetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail")

    def clean(self) -> dict[str, Any] | None:
        if not self.can_send_mail:
            raise forms.ValidationError(_(NO_MAIL))
        return super().clean()


class AddEmailForm(Mailed, allauth_forms.AddEmailForm):
    """Changes the address: after a confirmation by mail, or at once where none can be sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("New address")

    def clean_email(self) -> str:
        email = super().clean_email()
        if not self.can_send_mail:
            email_already_exists(email, user=self.user)
        return email

    def save(self, request: HttpRequest) -> EmailAddress:
        if self.can_send_mail:
            return super().save(request)
        messages.success(request, _("Your e-mail address is changed."))
        return self._replace()

    @transaction.atomic
    def _replace(self) -> EmailAddress:
        EmailAddress.objects.filter(user=self.user).delete()
        address = EmailAddress.objects.create(user=self.user, email=self.cleaned_data["email"])
        address.set_as_primary()
        credentials.address_changed(self.user)
        return address
