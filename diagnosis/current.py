"""Which of an image's readings its slide counts: exactly one, see `models`."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest

from . import carrying, opinions
from .models import (
    READ_STATES,
    CellReview,
    Kind,
    Prediction,
    Review,
    Slide,
    SlideReading,
    SmearImage,
    State,
)


def lock(slide_ids: Collection[UUID]) -> None:
    """Whoever changes which readings count holds the slides, until the transaction ends."""
    chosen = Slide.objects.filter(pk__in=slide_ids).order_by("pk")
    list(chosen.select_for_update(no_key=True).values_list("pk"))


def take_over(prediction_ids: Collection[int]) -> None:
    """Those that were read, by a version that is still active and as what they are, count now.

    What people said is taken along. A rejection of a field does not hide what they saw in it. The
    caller counts their slides anew, in the same transaction.
    """
    if prediction_ids:
        _take_over(prediction_ids)


@transaction.atomic
def _take_over(prediction_ids: Collection[int]) -> None:
    asked = Prediction.objects.filter(pk__in=prediction_ids, is_current=False)
    lock(set(asked.values_list("slide", flat=True)))
    as_it_is = asked.filter(kind=F("image__kind"))
    read = as_it_is.filter(state__in=READ_STATES, model__is_active=True)
    images = dict(read.exclude(hides_opinions()).values_list("image", "pk"))
    former = Prediction.objects.filter(image__in=list(images), is_current=True)
    fields = dict(former.filter(kind=Kind.FIELD).values_list("image", "pk"))
    former.update(is_current=False)
    Prediction.objects.filter(pk__in=list(images.values())).update(is_current=True)
    for now in Prediction.objects.filter(pk__in=[images[pk] for pk in fields], kind=Kind.FIELD):
        carrying.take_along(now.image, fields[now.image_id], now)
    for image in _spoken_of(images):
        opinions.settle(image)


def hides_opinions() -> Q:
    """Of predictions: a field is rejected of whose cells people spoke. It never counts."""
    said = CellReview.objects.filter(cell__image=OuterRef("image"), is_standing=True)
    return Q(Exists(said), kind=Kind.FIELD, state=State.REJECTED)


def is_closed() -> Q:
    """Of current predictions: somebody closed a reading with what it says, so no other replaces it.

    Whoever says nothing there has accepted it, and not what another version may say.
    """
    saw_it = SlideReading.objects.filter(
        slide=OuterRef("slide"),
        place__isnull=False,
        closed_at__gte=Greatest(OuterRef("finished_at"), OuterRef("image__created_at")),
    )
    return Q(Exists(saw_it), slide__is_read_twice=True, state__in=READ_STATES)


def _spoken_of(image_ids: Collection[UUID]) -> QuerySet[SmearImage]:
    of_image = Review.objects.filter(image=OuterRef("pk"), is_standing=True)
    of_cells = CellReview.objects.filter(cell__image=OuterRef("pk"), is_standing=True)
    said = ~Q(reviewed="") | Exists(of_image) | Exists(of_cells)
    return SmearImage.objects.filter(said, pk__in=list(image_ids))
