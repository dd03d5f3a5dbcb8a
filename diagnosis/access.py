"""Who may see what: everything else asks here.

One rule: you see the slides of the laboratories you belong to. Whoever belongs to none of them
is told that there is no such thing, whether there is or not. Models are the whole site's: everyone
who signed in sees them, its operators alone change what they do.
"""

from collections.abc import Collection
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import Exists, Model, Q, QuerySet
from django.http import Http404

from .models import Laboratory, Membership, ModelVersion, Report, Role, Slide, SmearImage

Visitor = AbstractBaseUser | AnonymousUser
Found = TypeVar("Found", bound=Model)

REVIEWING = (Role.CLINICIAN, Role.REVIEWER, Role.ADMINISTRATOR)
"""Who may agree with the network or overrule it, and sign reports; a technician uploads."""


def memberships_of(user: Visitor) -> QuerySet[Membership]:
    if not (user.is_authenticated and user.is_active):
        return Membership.objects.none()
    return Membership.objects.filter(user_id=user.pk)


def laboratories_for(user: Visitor) -> QuerySet[Laboratory]:
    return Laboratory.objects.filter(pk__in=memberships_of(user).values("laboratory"))


def slides_for(user: Visitor) -> QuerySet[Slide]:
    return Slide.objects.filter(laboratory__in=_laboratory_ids(user), deleted_at=None)


def images_for(user: Visitor) -> QuerySet[SmearImage]:
    return SmearImage.objects.filter(
        slide__laboratory__in=_laboratory_ids(user), slide__deleted_at=None
    )


def get_slide(user: Visitor, id: UUID | str) -> Slide:
    return _one(slides_for(user).select_related("laboratory", "created_by"), id)


def get_image(user: Visitor, id: UUID | str) -> SmearImage:
    return _one(images_for(user).select_related("slide__laboratory"), id)


def reviews(user: Visitor) -> bool:
    """Of any laboratory."""
    return reviewing(user).exists()


def reviewing(user: Visitor) -> QuerySet[Membership]:
    """Those by which this person may speak of slides."""
    return memberships_of(user).filter(role__in=REVIEWING)


def may_review(user: Visitor, slide: Slide) -> bool:
    return reviewing(user).filter(laboratory=slide.laboratory_id).exists()


def role_to_review(user: Visitor, slide: Slide) -> str:
    """PermissionDenied for whoever may not: a role may have changed since the page was asked."""
    found = reviewing(user).filter(laboratory=slide.laboratory_id).values_list("role", flat=True)
    if role := found.first():
        return role
    raise PermissionDenied


def get_image_to_review(user: Visitor, id: UUID | str) -> SmearImage:
    """Http404 for outsiders; PermissionDenied for members whose role does not review."""
    image = get_image(user, id)
    if not may_review(user, image.slide):
        raise PermissionDenied
    return image


def get_slide_to_sign(user: Visitor, id: UUID | str) -> Slide:
    """Http404 for outsiders; PermissionDenied for members whose role does not review."""
    slide = get_slide(user, id)
    if not may_review(user, slide):
        raise PermissionDenied
    return slide


def administers(user: Visitor, slide: Slide) -> bool:
    mine = memberships_of(user).filter(laboratory=slide.laboratory_id)
    return mine.filter(role=Role.ADMINISTRATOR).exists()


def get_slide_to_administer(user: Visitor, id: UUID | str) -> Slide:
    """Http404 for outsiders; PermissionDenied for other members."""
    slide = get_slide(user, id)
    if not administers(user, slide):
        raise PermissionDenied
    return slide


def may_delete(user: Visitor, slide: Slide) -> bool:
    """Administrators and, until its report is signed, whoever made the slide."""
    mine = memberships_of(user).filter(laboratory=slide.laboratory_id)
    is_unsigned = ~Exists(Report.objects.filter(slide=slide.pk))
    made_it = Q(is_unsigned, user=slide.created_by_id)
    return mine.filter(Q(role=Role.ADMINISTRATOR) | made_it).exists()


def get_slide_to_delete(user: Visitor, id: UUID | str) -> Slide:
    """Http404 for outsiders; PermissionDenied for other members."""
    slide = get_slide(user, id)
    if not may_delete(user, slide):
        raise PermissionDenied
    return slide


def get_laboratory(
    user: Visitor, id: UUID | str, role: str | Collection[str] | None = None
) -> Laboratory:
    """Http404 for outsiders; PermissionDenied for members without (one of) the asked role(s)."""
    laboratory = _one(laboratories_for(user), id)
    roles = {role} if isinstance(role, str) else role
    mine = memberships_of(user).filter(laboratory=laboratory)
    if roles is not None and not mine.filter(role__in=roles).exists():
        raise PermissionDenied
    return laboratory


def versions_for(user: Visitor) -> QuerySet[ModelVersion]:
    known = user.is_authenticated and user.is_active
    return ModelVersion.objects.all() if known else ModelVersion.objects.none()


def get_version(user: Visitor, id: int | str, to_change: bool = False) -> ModelVersion:
    if to_change and not is_operator(user):
        raise Http404
    return _one(versions_for(user), id)


def is_operator(user: Visitor) -> bool:
    """Whoever administers the site, as the first account does; not those of a laboratory."""
    if not isinstance(user, User):
        return False
    return user.is_staff and user.has_perm("diagnosis.change_modelversion")


def _laboratory_ids(user: Visitor) -> list[UUID]:
    """Read at once: with the ids at hand a database can walk its index in the order of history."""
    return list(memberships_of(user).values_list("laboratory_id", flat=True))


def _one(found: QuerySet[Found], id: Any) -> Found:
    try:
        return found.get(pk=id)
    except (ObjectDoesNotExist, ValidationError, ValueError):
        raise Http404 from None
