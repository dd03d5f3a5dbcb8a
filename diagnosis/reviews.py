"""What clinicians say of an image: agree with the network, overrule it, take it back.

One review of each person stands. Those that stand are put together on the image itself
(`SmearImage.reviewed`), so that slides are added up and searched without looking at reviews.
"""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, blindness, current, opinions, readings, verdict
from .models import READ_STATES, Action, Kind, Prediction, Review, SmearImage


class NothingToReview(ValueError):
    """Not read yet, or a field, whose cells are reviewed; the text is a sentence for people."""


@transaction.atomic
def say(
    image: SmearImage, user: User, label: str, comment: str = "", seen: int | None = None
) -> Review:
    """`seen` is the prediction that the person looked at; by default the current one.

    Raises NothingToReview, or readings.NotNow.
    """
    locked = _locked(image)
    readings.take_part(locked.slide_id, user, locked)
    prediction = _prediction(locked, seen)
    mine = _standing(locked).filter(reviewer=user)
    before = mine.first()
    if before and (before.label, before.comment) == (label, comment):
        return before  # a double click
    mine.update(is_standing=False)
    review = Review.objects.create(
        image=locked, prediction=prediction, reviewer=user, label=label, comment=comment
    )
    _settle(locked)
    said = (before.label, before.comment) if before else (None, "")
    audit.note(Action.REVIEWED, image, label=(said[0], label), comment=(said[1], comment))
    return review


@transaction.atomic
def take_back(image: SmearImage, user: User) -> bool:
    """Nothing of this person stands any more. False: nothing did. Raises readings.NotNow."""
    locked = _locked(image)
    mine = _standing(locked).filter(reviewer=user)
    before = mine.first()
    if before is None:
        return False
    readings.take_part(locked.slide_id, user, locked)
    mine.update(is_standing=False, withdrawn_at=timezone.now())
    _settle(locked)
    audit.note(Action.REVIEWED, image, label=(before.label, None))
    return True


def with_reviews(user: access.Visitor) -> Prefetch:
    """For a query of predictions: the standing reviews of each image, as `standing_reviews`.

    As this person may see them.
    """
    found = blindness.reviews(user).select_related("reviewer")
    return Prefetch("image__reviews", found, to_attr="standing_reviews")


def _locked(image: SmearImage) -> SmearImage:
    """Of two people who judge it at once, the later sees what the first said."""
    current.lock([image.slide_id])
    return SmearImage.objects.get(pk=image.pk)


def _prediction(image: SmearImage, seen: int | None) -> Prediction:
    read = image.predictions.filter(state__in=READ_STATES)
    prediction = read.filter(pk=seen).first() if seen else None
    prediction = prediction or read.filter(is_current=True).first()
    if prediction and prediction.kind == Kind.FIELD:
        sentence = _("%(image)s is a whole field: its cells are reviewed one by one.")
        raise NothingToReview(sentence % {"image": image.name})
    if prediction is None:
        raise NothingToReview(_("%(image)s was not read yet.") % {"image": image.name})
    return prediction


def _standing(image: SmearImage) -> QuerySet[Review]:
    return image.reviews.filter(is_standing=True)


def _settle(image: SmearImage) -> None:
    opinions.settle(image)
    verdict.recount([image.slide_id])
