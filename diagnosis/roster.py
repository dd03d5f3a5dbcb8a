"""Who belongs to a laboratory: the only place where memberships change.

A laboratory always has an administrator. Changes to one laboratory wait for one another
(a row lock on PostgreSQL, an immediate transaction on SQLite), so two people who step down
at the same moment cannot leave it without one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import access, audit
from .models import Action, Invitation, Laboratory, Membership, Role


class RosterError(ValueError):
    """A change that cannot be made; the text is a sentence for people."""


LAST_ADMINISTRATOR = gettext_noop(
    "A laboratory needs an administrator: hand it over to another member first."
)
NO_LONGER_A_MEMBER = gettext_noop("This person is no longer a member.")
INVITATION_IS_OVER = gettext_noop("This invitation has been used, taken back or is too old.")


@contextmanager
def _held(laboratory: Laboratory) -> Iterator[None]:
    with transaction.atomic():
        if not Laboratory.objects.select_for_update().filter(pk=laboratory.pk).first():
            raise RosterError(_("This laboratory no longer exists."))
        yield


@transaction.atomic
def open_laboratory(user: User, name: str = "") -> Laboratory:
    """A laboratory of one's own, with oneself as its administrator. Raises RosterError."""
    _check_number(user)
    own = _("%(person)s's laboratory") % {"person": user.get_username()[:100]}
    laboratory = Laboratory.objects.create(name=name or own)
    Membership.objects.create(laboratory=laboratory, user=user, role=Role.ADMINISTRATOR)
    audit.note(Action.MADE, laboratory)
    return laboratory


def _check_number(user: User) -> None:
    """Each laboratory has a storage quota of its own: nobody takes as many as they like."""
    User.objects.select_for_update().get(pk=user.pk)  # two at once wait for each other
    mine = Membership.objects.filter(user=user, role=Role.ADMINISTRATOR).count()
    if mine >= settings.LABORATORIES_PER_PERSON and not access.is_operator(user):
        sentence = _(
            "%(person)s administers %(number)d laboratories already, as many as one person may: "
            "ask whoever runs this site."
        )
        raise RosterError(sentence % {"person": user, "number": mine})


def set_second_reading(laboratory: Laboratory, is_on: bool) -> None:
    """Of slides that are made from now on."""
    _change(laboratory, "second_reading", is_on)


def set_report_language(laboratory: Laboratory, language: str) -> None:
    """Of what is signed from now on; what was signed stays as it is."""
    _change(laboratory, "report_language", language)


def rename(laboratory: Laboratory, name: str) -> None:
    _change(laboratory, "name", name)


@transaction.atomic
def _change(laboratory: Laboratory, field: str, value: object) -> None:
    before = getattr(Laboratory.objects.select_for_update().get(pk=laboratory.pk), field)
    setattr(laboratory, field, value)
    laboratory.save(update_fields=[field])
    audit.note(Action.CHANGED, laboratory, **{field: (before, value)})


def open_invitations() -> QuerySet[Invitation]:
    """As Invitation.is_open: the links of a closed account are closed with it."""
    return Invitation.objects.filter(
        accepted_by=None, expires_at__gt=timezone.now(), invited_by__is_active=True
    )


def invite(invitation: Invitation) -> None:
    """By an administrator: whoever stepped down meanwhile makes no way back in.

    Raises RosterError.
    """
    laboratory, by = invitation.laboratory, invitation.invited_by
    with _held(laboratory):
        access.get_laboratory(by, laboratory.pk, role=Role.ADMINISTRATOR)
        invitation.save()
        audit.note(Action.MADE, invitation)


def take_back(invitation: Invitation) -> None:
    """Not one that somebody accepted meanwhile: they belong to the laboratory now."""
    with _held(invitation.laboratory):
        if not Invitation.objects.filter(pk=invitation.pk, accepted_by=None).delete()[0]:
            raise RosterError(_(INVITATION_IS_OVER))
        audit.note(Action.DELETED, invitation)


def accept(invitation: Invitation, user: User) -> Membership:
    """Make `user` a member, once; whoever belongs already leaves the invitation unused."""
    with _held(invitation.laboratory):
        membership = invitation.laboratory.memberships.filter(user=user).first()
        if membership:
            return membership
        taken = open_invitations().filter(pk=invitation.pk).update(accepted_by=user)
        if not taken:
            raise RosterError(_(INVITATION_IS_OVER))
        if invitation.role == Role.ADMINISTRATOR:
            _check_number(user)
        member = invitation.laboratory.memberships.create(user=user, role=invitation.role)
        audit.note(Action.MADE, member, role=(None, member.role))
        return member


def change_role(membership: Membership, role: str) -> None:
    with _held(membership.laboratory):
        if role != Role.ADMINISTRATOR:
            _step_down(membership)
        before = Membership.objects.filter(pk=membership.pk).first()
        if before is None:
            raise RosterError(_(NO_LONGER_A_MEMBER))
        if role == Role.ADMINISTRATOR != before.role:
            _check_number(membership.user)
        Membership.objects.filter(pk=membership.pk).update(role=role)
        audit.note(Action.CHANGED, membership, role=(before.role, role))


def hand_over(giver: Membership, heir: Membership) -> None:
    """`heir` becomes administrator and `giver` a clinician, in one step."""
    with _held(giver.laboratory):
        change_role(heir, Role.ADMINISTRATOR)
        change_role(giver, Role.CLINICIAN)


def remove(membership: Membership) -> None:
    with _held(membership.laboratory):
        _step_down(membership)
        if Membership.objects.filter(pk=membership.pk).delete()[0]:
            audit.note(Action.DELETED, membership, role=(membership.role, None))


def leave(membership: Membership) -> None:
    """As `remove`; but a laboratory that holds nothing is closed by its only member."""
    with _held(membership.laboratory):
        is_there = membership.laboratory.memberships.filter(pk=membership.pk).exists()
        if is_there and holds_nothing(membership.laboratory):
            audit.note(Action.DELETED, membership.laboratory)
            membership.laboratory.delete()
        else:
            remove(membership)


def holds_nothing(laboratory: Laboratory) -> bool:
    return not laboratory.slides.exists() and laboratory.memberships.count() == 1


def is_last_administrator(membership: Membership) -> bool:
    """Of those whose account is open."""
    administrators = Membership.objects.filter(
        laboratory=membership.laboratory_id, role=Role.ADMINISTRATOR
    )
    others = administrators.exclude(pk=membership.pk).filter(user__is_active=True)
    return administrators.filter(pk=membership.pk).exists() and not others.exists()


def left_without(user: User) -> list[Laboratory]:
    """Laboratories of others too, which would have no administrator if this account were closed."""
    administered = user.memberships.filter(role=Role.ADMINISTRATOR).select_related("laboratory")
    return [
        membership.laboratory
        for membership in administered
        if membership.laboratory.memberships.count() > 1 and is_last_administrator(membership)
    ]


def _step_down(membership: Membership) -> None:
    """What must hold before a membership loses its rights, and what goes with them."""
    if is_last_administrator(membership):
        raise RosterError(_(LAST_ADMINISTRATOR))
    # Whoever made a link still knows it: it must not be a way back in.
    dropped = Invitation.objects.filter(
        laboratory=membership.laboratory_id, invited_by=membership.user_id, accepted_by=None
    )
    for invitation in dropped:
        audit.note(Action.DELETED, invitation)
    dropped.delete()
