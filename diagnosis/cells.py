"""What people say of the red cells of a field, and the cells they add to it.

One opinion of each person stands. Once nobody stands by an added cell any more it is gone. When
another reading counts, `carrying` takes along what was said.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import (
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    prefetch_related_objects,
)
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, blindness, carrying, counting, current, opinions, readings, verdict
from .models import (
    Action,
    Cell,
    CellOpinion,
    CellReview,
    Decision,
    Kind,
    Prediction,
    Slide,
    SmearImage,
)

LEAST_SIDE = 4
LONGEST_COMMENT = 200
IN_ORDER = (F("prediction").asc(nulls_last=True), "number")
MOST_ADDED = 5_000
"""Cells a person may add to one image: more than any field holds."""


class CellError(ValueError):
    """What cannot be said of a cell; the text is a sentence for people."""


class NoSuchCell(LookupError):
    """The image was read anew meanwhile, or never held this cell."""


def of_image(image: SmearImage, user: access.Visitor) -> list[Cell]:
    """Those of its current reading, and those that people added and stand by.

    With what stands as this person may see it, as `standing`.
    """
    found = list(_told(_current(user, image=image), user).order_by(*IN_ORDER))
    for cell in found:
        cell.image = image
    return found


def of_slide(slide: Slide, user: access.Visitor) -> QuerySet[Cell]:
    """The same of all its fields, with image and model, without what is large."""
    found = _told(_current(user, image__slide=slide), user)
    found = found.select_related("image", "prediction__model")
    of_reading = ("activation", "model__manifest", "model__metrics")
    found = found.defer("activation", *(f"prediction__{name}" for name in of_reading))
    return found.order_by("image__created_at", "image_id", *IN_ORDER)


def suspects(image: SmearImage, user: access.Visitor) -> bool:
    """Whether a cell of its current reading counts as parasitized, or does to this person."""
    mine = Exists(
        CellReview.objects.filter(
            cell=OuterRef("pk"),
            reviewer=user.pk,
            is_standing=True,
            label=CellOpinion.PARASITIZED,
        )
    )
    by_machine = Q(reviewed="", decision=Decision.PARASITIZED)
    found = _current(user, image=image).filter(is_cut=False)
    return found.filter(Q(reviewed=Decision.PARASITIZED) | by_machine | mine).exists()


def get(image: SmearImage, user: access.Visitor, id: Any) -> Cell:
    try:
        return _current(user, image=image).get(pk=id)
    except (Cell.DoesNotExist, TypeError, ValueError, OverflowError):
        raise NoSuchCell(
            _(
                "This cell is not in the image any more: the image was read anew. "
                "Load the page again."
            )
        ) from None


def _current(user: access.Visitor, **images: Any) -> QuerySet[Cell]:
    reading = Prediction.objects.filter(**images, kind=Kind.FIELD, is_current=True)
    named = blindness.cell_reviews(user).filter(cell=OuterRef("pk"))
    by_people = Q(Exists(named), **images, prediction=None)
    return Cell.objects.filter(by_people | Q(prediction__in=reading))


def tell(cell: Cell, user: access.Visitor) -> None:
    """Of one cell what `of_image` says of all."""
    prefetch_related_objects([cell], _standing(user))


def _told(cells: QuerySet[Cell], user: access.Visitor) -> QuerySet[Cell]:
    return cells.prefetch_related(_standing(user))


def _standing(user: access.Visitor) -> Prefetch:
    return Prefetch("reviews", blindness.cell_reviews(user), to_attr="standing")


@transaction.atomic
def say(image: SmearImage, user: User, id: Any, label: str, comment: str = "") -> None:
    """Without a label, this person says nothing of the cell any more.

    Raises NoSuchCell, CellError for an unknown label, or readings.NotNow.
    """
    if label and label not in CellOpinion.values:
        raise CellError(_("Choose parasitized, uninfected, cannot tell or not a cell."))
    comment = _checked_comment(comment) if label else ""
    current.lock([image.slide_id])
    readings.take_part(image.slide_id, user, image)
    cell = get(image, user, id)
    mine = cell.reviews.filter(reviewer=user, is_standing=True)
    before = mine.values_list("label", "comment").first() or ("", "")
    if before == (label, comment):
        return  # a double click
    mine.update(is_standing=False, withdrawn_at=None if label else timezone.now())
    if label:
        cell.reviews.create(reviewer=user, label=label, comment=comment)
    _settle(image, cell)
    said = {"label": (before[0] or None, label or None), "comment": (before[1], comment)}
    audit.note(Action.REVIEWED, cell, **said)


def _checked_comment(comment: Any) -> str:
    if not isinstance(comment, str) or len(comment.strip()) > LONGEST_COMMENT:
        raise CellError(_("A note has %(most)d letters at most.") % {"most": LONGEST_COMMENT})
    return comment.strip()


@transaction.atomic
def add(image: SmearImage, user: User, box: Sequence[Any], label: str, comment: str = "") -> Cell:
    """A cell that the machine missed. Raises CellError, or readings.NotNow.

    The same box of the same person is the same cell, sent twice.
    """
    if label not in CellOpinion.values or label == CellOpinion.NO_CELL:
        raise CellError(_("Say what the cell is: parasitized, uninfected or cannot tell."))
    x, y, width, height = _checked(box, image)
    comment = _checked_comment(comment)
    current.lock([image.slide_id])
    reading = readings.take_part(image.slide_id, user, image)
    if not counting.fields_read().filter(image=image).exists():
        raise CellError(
            _(
                "This field was not read, rejected or set aside: "
                "cells that are added to it would count nowhere."
            )
        )
    if known := _drawn(image, user, (x, y, width, height)):
        say(image, user, known.pk, label, comment)
        return known
    number = carrying.next_number(image, reading.place if reading else None)
    if number > MOST_ADDED:
        raise CellError(_("So many cells were added to this image that no more can be."))
    cut = x == 0 or y == 0 or x + width == image.width or y + height == image.height
    cell = image.cells.create(number=number, x=x, y=y, width=width, height=height, is_cut=cut)
    cell.reviews.create(reviewer=user, label=label, comment=comment)
    _settle(image, cell)
    audit.note(Action.MADE, cell, label=(None, label), box=(None, [x, y, width, height]))
    return cell


def _drawn(image: SmearImage, user: User, box: tuple[int, int, int, int]) -> Cell | None:
    x, y, width, height = box
    mine = image.cells.filter(prediction=None, reviews__reviewer=user, reviews__is_standing=True)
    return mine.filter(x=x, y=y, width=width, height=height).first()


def _checked(box: Sequence[Any], image: SmearImage) -> list[int]:
    numbers = list(box) if isinstance(box, list | tuple) else []
    if len(numbers) != 4 or not all(type(n) is int for n in numbers):
        raise CellError(_("A box is four whole numbers: left, top, width and height in pixels."))
    x, y, width, height = numbers
    if min(width, height) < LEAST_SIDE:
        raise CellError(_("The box is too small: draw it around the whole cell."))
    if x < 0 or y < 0 or x + width > image.width or y + height > image.height:
        raise CellError(_("The box reaches beyond the image."))
    return numbers


def _settle(image: SmearImage, cell: Cell) -> None:
    cell.image = image
    opinions.settle_cells([cell], image.slide)
    opinions.settle(image)
    verdict.recount([image.slide_id])
