"""Which of an image's readings its slide counts: exactly one, see `models`."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import F

from .models import READ_STATES, Prediction, Slide


def lock(slide_ids: Collection[UUID]) -> None:
    """Whoever changes which readings count holds the slides, until the transaction ends."""
    chosen = Slide.objects.filter(pk__in=slide_ids).order_by("pk")
    list(chosen.select_for_update(no_key=True).values_list("pk"))


def take_over(prediction_ids: Collection[int]) -> None:
    """Those that were read, by a version that is still active and as what they are, count now."""
    if prediction_ids:
        _take_over(prediction_ids)


@transaction.atomic
def _take_over(prediction_ids: Collection[int]) -> None:
    asked = Prediction.objects.filter(pk__in=prediction_ids, is_current=False)
    lock(set(asked.values_list("slide", flat=True)))
    as_it_is = asked.filter(kind=F("image__kind"))
    read = as_it_is.filter(state__in=READ_STATES, model__is_active=True)
    images = dict(read.values_list("image", "pk"))
    former = Prediction.objects.filter(image__in=list(images), is_current=True)
    former.update(is_current=False)
    Prediction.objects.filter(pk__in=list(images.values())).update(is_current=True)
