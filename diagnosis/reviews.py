"""What clinicians say of an image: agree with the network, overrule it, take it back.

Of a chosen cell they say what it is, of a whole field whether its cells count; those are reviewed
one by one besides (`cells`).

One review of each person stands. Those that stand are put together on the image itself
(`SmearImage.reviewed`), so that slides are added up and searched without looking at reviews.
"""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import access, audit, blindness, cells, counting, current, opinions, readings, verdict
from .models import (
    OPINIONS,
    READ_STATES,
    Action,
    FieldOpinion,
    Kind,
    Prediction,
    Review,
    SmearImage,
    State,
)

NOT_OF: dict[str, str] = {
    Kind.CELL: gettext_noop("%(image)s shows one cell: say what it is."),
    Kind.FIELD: gettext_noop(
        "%(image)s is a whole field: its cells are reviewed one by one, "
        "and it counts or is set aside."
    ),
}
NO_CELLS = gettext_noop(
    "No cell of %(image)s can be counted: none was found, or all are cut by its edge or rejected. "
    "Photograph the place again."
)
NO_REASON = gettext_noop("Say why you set it aside: a cell of this field counts as parasitized.")


class NothingToReview(ValueError):
    """Not read yet, or nothing that can be said of this kind; the text is a sentence for people."""


class NoReason(ValueError):
    """A field with a parasite is set aside for a reason; the text is a sentence for people."""


@transaction.atomic
def say(
    image: SmearImage, user: User, label: str, comment: str = "", seen: int | None = None
) -> Review:
    """`seen` is the prediction that the person looked at; by default the current one.

    Raises NothingToReview, NoReason or readings.NotNow.
    """
    locked = _locked(image)
    readings.take_part(locked.slide_id, user, locked)
    prediction = _prediction(locked, seen)
    _check(prediction, user, label, comment)
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
    found = opinions.with_readings(blindness.reviews(user)).select_related("reviewer")
    return Prefetch("image__reviews", found, to_attr="standing_reviews")


def _locked(image: SmearImage) -> SmearImage:
    """Of two people who judge it at once, the later sees what the first said."""
    current.lock([image.slide_id])
    return SmearImage.objects.get(pk=image.pk)


def _prediction(image: SmearImage, seen: int | None) -> Prediction:
    read = image.predictions.filter(state__in=READ_STATES)
    prediction = read.filter(pk=seen).first() if seen else None
    prediction = prediction or read.filter(is_current=True).first()
    if prediction is None:
        raise NothingToReview(_("%(image)s was not read yet.") % {"image": image.name})
    return prediction


def _check(prediction: Prediction, user: User, label: str, comment: str) -> None:
    image = prediction.image
    if label not in OPINIONS[prediction.kind].values:
        raise NothingToReview(_(NOT_OF[prediction.kind]) % {"image": image.name})
    if label == FieldOpinion.COUNTS and not _has_cells(prediction):
        raise NothingToReview(_(NO_CELLS) % {"image": image.name})
    if label == FieldOpinion.ASIDE and not comment.strip() and needs_reason(prediction, user):
        raise NoReason(_(NO_REASON))


def needs_reason(prediction: Prediction, user: access.Visitor) -> bool:
    """To set this field aside: it counts, and holds a parasite. Nobody else's word tells of it to
    whoever reads blind."""
    if prediction.kind != Kind.FIELD:
        return False
    was_rejected = prediction.state == State.REJECTED and not counting.counts(prediction)
    return not was_rejected and cells.suspects(prediction.image, user)


def _has_cells(prediction: Prediction) -> bool:
    return any(found.counted for found in counting.of_readings([prediction]).values())


def _standing(image: SmearImage) -> QuerySet[Review]:
    return image.reviews.filter(is_standing=True)


def _settle(image: SmearImage) -> None:
    opinions.settle(image)
    verdict.recount([image.slide_id])
