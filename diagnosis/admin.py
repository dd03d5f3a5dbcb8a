"""What an operator needs: accounts, laboratories with their members, models. No slide, and nothing
that was said of one: these are their laboratory's."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _

from . import audit, credentials, roster
from .models import Laboratory, Membership, ModelVersion

for registered in (User, Group, EmailAddress, Authenticator, UserSession):
    admin.site.unregister(registered)


class NotDeleted(admin.ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class NotMade(NotDeleted):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


class Memberships(admin.TabularInline):
    model = Membership
    extra = 0
    can_delete = False
    readonly_fields = ("user", "role", "joined_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Laboratory)
class LaboratoryAdmin(NotMade):
    """Only its name changes here: `roster` keeps every laboratory with an administrator."""

    list_display = ("name", "created_at")
    search_fields = ("name",)
    fields = ("name", "created_at")
    readonly_fields = ("created_at",)
    inlines = (Memberships,)

    def save_model(self, request: HttpRequest, obj: Laboratory, form: Any, change: bool) -> None:
        roster.rename(obj, obj.name)


class AccountForm(UserChangeForm):
    def clean_is_active(self) -> bool:
        is_active: bool = self.cleaned_data["is_active"]
        needed_by = [] if is_active else roster.left_without(self.instance)
        if needed_by:
            sentence = _(
                "%(laboratory)s has no other administrator: it is to be handed over first."
            )
            raise ValidationError(sentence % {"laboratory": needed_by[0]})
        return is_active


class PasswordForm(AdminPasswordChangeForm):
    """Sets one: to take it away is to close the account."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("usable_password", None)


NOTED = {
    "username": "name",
    "first_name": "first name",
    "last_name": "last name",
    "is_active": "active",
    "is_staff": "staff",
    "is_superuser": "superuser",
    "user_permissions": "rights",
}
"""As what a change of an account stands in the trail; its new password stands there anyway."""


@admin.register(User)
class AccountAdmin(NotDeleted, UserAdmin):
    """Accounts are closed, never deleted: what their people said stays theirs."""

    form = AccountForm
    change_password_form = PasswordForm
    list_filter = ("is_active", "is_staff", "is_superuser")
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        (None, {"fields": ("is_active", "is_staff", "is_superuser", "user_permissions")}),
        (None, {"fields": readonly_fields}),
    )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change:
            audit.note_account(form.instance, **_changes(form))


def _changes(form: Any) -> dict[str, tuple[Any, Any]]:
    changes = {
        NOTED[name]: (_plain(form.initial[name]), _plain(form.cleaned_data[name]))
        for name in form.changed_data
        if name in NOTED
    }
    if "email" in form.changed_data:
        changes |= credentials.NEW_ADDRESS
    return changes


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool) else sorted(map(str, value))


@admin.register(ModelVersion)
class ModelVersionAdmin(NotMade):
    """Another one is made active on the model's page, where the reason is kept."""

    list_display = ("name", "is_active", "path", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
