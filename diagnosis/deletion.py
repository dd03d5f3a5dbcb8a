"""Slides that somebody deleted: hidden at once, kept for a while, then gone with their files."""

import logging
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, notices, storage
from .access import Visitor
from .current import lock
from .models import Action, Laboratory, Slide

logger = logging.getLogger(__name__)

KEPT = timedelta(days=30)


class CodeIsTaken(ValueError):
    """The text is a sentence for people."""


@transaction.atomic
def delete(slide: Slide, by: Visitor) -> None:
    """PermissionDenied where whoever made it may not any more: it was signed meanwhile."""
    lock([slide.pk])
    if not access.may_delete(by, slide):
        raise PermissionDenied
    if Slide.objects.filter(pk=slide.pk, deleted_at=None).update(deleted_at=timezone.now()):
        audit.note(Action.DELETED, slide)


def restore(slide: Slide) -> None:
    """Raises CodeIsTaken where another slide was given its code meanwhile."""
    try:
        with transaction.atomic():
            hidden = Slide.objects.filter(pk=slide.pk).exclude(deleted_at=None)
            if hidden.update(deleted_at=None):
                audit.note(Action.RESTORED, slide)
    except IntegrityError:
        raise CodeIsTaken(
            _("Another slide has the code %(code)s now: delete that one first.")
            % {"code": slide.code}
        ) from None


def deleted(laboratory: Laboratory) -> QuerySet[Slide]:
    """Those that can be restored; `purge` may not have come yet for the others."""
    kept = laboratory.slides.filter(deleted_at__gt=timezone.now() - KEPT)
    return kept.order_by("-deleted_at", "-pk")


def purge() -> int:
    """How many slides are gone now. Slide by slide: what was done stays done if it breaks off.

    Raises storage.Away, or what the storage itself raises, before any slide is gone: whoever
    deletes files in the wrong place is told of success.
    """
    notices.purge()
    slides = list(_over())
    if slides:
        storage.require()
    return sum(_purge(slide) for slide in slides)


def _over() -> QuerySet[Slide]:
    return Slide.objects.filter(deleted_at__lte=timezone.now() - KEPT)


def _purge(slide: Slide) -> bool:
    """A file that stays behind names nobody and is told in the log; a row without file is worse.

    False: it was restored just in time, or another purge was faster.
    """
    with transaction.atomic():
        if not _over().select_for_update().filter(pk=slide.pk).first():
            return False
        files = [image.file for image in slide.images.all()]
        audit.note(Action.PURGED, slide, images=(len(files), 0))
        slide.delete()
    for file in files:
        try:
            file.storage.delete(str(file.name))
        except Exception:  # each kind of storage has its own
            logger.exception("A purged image's file could not be deleted: %s", file.name)
    return True
