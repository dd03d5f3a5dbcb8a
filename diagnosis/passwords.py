"""Password reset without a mail server: one-time links, and who may make one for whom."""

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db.models import Exists, OuterRef
from django.urls import reverse

from .models import Membership, Role, Slide


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """A link dies with its use, with the next sign-in, with time, and when rights change: those of
    its account, or of those who may make one.

    Otherwise an administrator could keep a link until its account has grown more powerful, or use
    it after being removed.
    """

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        rights = (user.is_active, user.is_staff, user.is_superuser, *_reach(user))
        return f"{super()._make_hash_value(user, timestamp)}{rights}{_administrators(user)}"


def may_reset(administrator: User, user: User) -> bool:
    """A link hands over the account, so it may open nothing new to `administrator`."""
    if user == administrator or not user.is_active or user.is_staff or user.is_superuser:
        return False
    administered = Membership.objects.filter(user=administrator, role=Role.ADMINISTRATOR)
    laboratories = set(administered.values_list("laboratory_id", flat=True))
    return all(laboratory in laboratories for laboratory, _ in _reach(user))


def reset_path(user: User) -> str:
    """Path of a page on which its first visitor may set a new password for `user`."""
    from allauth.account.forms import default_token_generator
    from allauth.account.utils import user_pk_to_url_str

    key = default_token_generator.make_token(user)
    kwargs = {"uidb36": user_pk_to_url_str(user), "key": key}
    return reverse("account_reset_password_from_key", kwargs=kwargs)


def link_hours() -> int:
    return settings.PASSWORD_RESET_TIMEOUT // 3600


def _administrators(user: User) -> list[tuple[object, int]]:
    """Of the laboratories that `user` is in."""
    laboratories = user.memberships.values("laboratory")
    found = Membership.objects.filter(
        laboratory__in=laboratories, role=Role.ADMINISTRATOR, user__is_active=True
    )
    return list(found.order_by("laboratory_id", "user_id").values_list("laboratory_id", "user_id"))


def _reach(user: User) -> list[tuple[object, str]]:
    """The laboratories, with roles, through which `user` can see something or someone."""
    slides = Slide.objects.filter(laboratory=OuterRef("laboratory"))
    others = Membership.objects.filter(laboratory=OuterRef("laboratory")).exclude(user=user)
    memberships = user.memberships.filter(Exists(slides) | Exists(others))
    return list(memberships.order_by("laboratory_id").values_list("laboratory_id", "role"))
