"""What standing reviews say together, put on the row of their image as its current reading is."""

from collections.abc import Collection

from .counting import REMOVED, Found, of_predictions
from .models import CellOpinion, Decision, Kind, Opinion, SmearImage


def together(labels: Collection[str]) -> str:
    """What standing reviews of one image, or of one cell, count as; empty without any."""
    if not labels:
        return ""
    if len(set(labels)) > 1 or Opinion.CANNOT_TELL in labels:
        return Decision.UNCERTAIN
    label = next(iter(labels))
    return REMOVED if label == CellOpinion.NO_CELL else label


def settle(image: SmearImage) -> None:
    """The caller holds its slide, and counts that anew."""
    reading = image.predictions.filter(is_current=True).first()
    if reading and reading.kind == Kind.FIELD:
        image.reviewed = _of_field(of_predictions([reading]).get(reading.pk, Found()))
    else:
        said = image.reviews.filter(is_standing=True)
        image.reviewed = together(list(said.values_list("label", flat=True)))
    image.save(update_fields=["reviewed"])


def _of_field(found: Found) -> str:
    """What it counts as on its slide, once people have spoken of its cells."""
    if not found.reviewed and not found.removed:
        return ""
    return found.decision or Decision.REJECTED
