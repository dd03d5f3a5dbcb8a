"""Where the two readings of a slide differ, and how that was settled."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet, TextChoices
from django.utils.translation import gettext as _

from . import audit, current, opinions, rollups, verdict
from .models import (
    OPINIONS,
    READ_STATES,
    Action,
    Cell,
    CellOpinion,
    CellReview,
    Conclusion,
    Decision,
    Kind,
    Prediction,
    Review,
    Settlement,
    Slide,
    SlideReading,
    SmearImage,
)
from .opinions import Item

WHOLE: Item = (None, None)
PARASITES = frozenset({str(Conclusion.POSITIVE), str(Decision.PARASITIZED)})


class CannotSettle(ValueError):
    """The text is a sentence for people."""


@dataclass(frozen=True)
class Said:
    """By one of the two readers; without `is_own` they let stand what the model said."""

    who: str
    label: str
    comment: str = ""
    is_own: bool = True


@dataclass
class Difference:
    """Or the whole slide, where images came after both readings: it may be concluded anew."""

    image: SmearImage | None
    cell: Cell | None
    said: tuple[Said, Said]
    kind: str = ""
    """What the image was read as."""
    settlement: Settlement | None = None

    @property
    def differs(self) -> bool:
        first, second = self.said
        return first.label != second.label

    @property
    def is_open(self) -> bool:
        return self.differs and self.settlement is None

    @property
    def alarms(self) -> bool:
        """One of the two says parasites, and it was not settled otherwise.

        Where the machine errs in few of many cells, its word that was let stand is no alarm.
        """
        if self.settlement and self.settlement.label not in PARASITES:
            return False
        heard = [said.label for said in self.said if said.is_own or not self.cell]
        return self.differs and not PARASITES.isdisjoint(heard)

    @property
    def key(self) -> str:
        """Names it in a form."""
        if self.cell:
            return f"cell-{self.cell.pk}"
        return f"image-{self.image.pk}" if self.image else "slide"

    @property
    def name(self) -> str:
        if self.cell:
            place = {"image": self.image, "number": self.cell.number}
            return _("%(image)s, cell %(number)d") % place
        return str(self.image) if self.image else _("The whole slide")

    @property
    def choices(self) -> list[tuple[str, str]]:
        if self.cell:
            return _words(CellOpinion)
        return _words(OPINIONS[self.kind] if self.image else Conclusion)

    def word(self, label: str) -> str:
        return str(dict(self.choices).get(label, CellOpinion.NO_CELL.label)).lower()

    @property
    def words(self) -> list[tuple[Said, str]]:
        return [(said, self.word(said.label)) for said in self.said]

    @property
    def settled_as(self) -> str:
        return self.word(self.settlement.label) if self.settlement else ""


def _words(opinions: type[TextChoices]) -> list[tuple[str, str]]:
    return [(name, str(word)) for name, word in opinions.choices]


def of_slide(slide: Slide) -> list[Difference]:
    """The whole slide first; a few queries, however many."""
    if not (slide.is_read_twice and slide.readings_closed_at):
        return []
    readings = list(slide.readings.exclude(place=None))
    found = [
        *_of_whole(slide, readings),
        *_of_images(slide, readings),
        *_of_cells(slide, readings),
    ]
    settled = {(row.image_id, row.cell_id): row for row in slide.settlements.all()}
    for one in found:
        cell = one.cell.pk if one.cell else None
        one.settlement = settled.get((one.image.pk if one.image else None, cell))
    return found


def find(slide: Slide, key: str) -> Difference | None:
    return next((one for one in of_slide(slide) if one.key == key), None)


@transaction.atomic
def settle(
    slide: Slide, by: User, key: str, label: str, reason: str, seen: int | None = None
) -> Settlement:
    """What counts where the readings differ, by a third person or after discussion.

    `seen` is the settlement that the person looked at, 0 for none. Raises CannotSettle.
    """
    current.lock([slide.pk])
    slide = Slide.objects.get(pk=slide.pk)
    found = find(slide, key)
    if found is None:
        raise CannotSettle(_("The two readings do not differ there."))
    if label not in dict(found.choices):
        raise CannotSettle(_("Choose what counts."))
    if not reason.strip():
        raise CannotSettle(_("Say why it is settled so."))
    stands = found.settlement
    if seen is not None and stands and stands.pk != seen:
        if (stands.by_id, stands.label, stands.reason) == (by.pk, label, reason.strip()):
            return stands  # a double click
        raise CannotSettle(_("Somebody settled this meanwhile: look again."))
    settlement = slide.settlements.create(
        image=found.image,
        cell=found.cell,
        label=label,
        reason=reason.strip(),
        by=by,
        who=by.get_username(),
        is_third=not slide.readings.filter(reader=by).exclude(place=None).exists(),
    )
    before = stands.label if stands else None
    audit.note(Action.SETTLED, settlement, label=(before, label), reason=("", reason.strip()))
    recount(slide)
    return settlement


def recount(slide: Slide) -> None:
    """All that people said of it, anew; the caller holds the slide."""
    heard = opinions.hearing(slide)
    of_people = Q(reviews__is_standing=True) | ~Q(reviewed="")
    spoken = Cell.objects.filter(of_people, image__slide=slide).distinct()
    opinions.settle_cells(spoken.defer("activation").select_related("image"), slide, heard)
    for image in slide.images.all():
        opinions.settle(image, heard)
    found = of_slide(slide)
    slide.disputed = sum(one.is_open for one in found)
    slide.suspected = any(one.alarms for one in found)
    slide.concluded = _concluded(slide)
    slide.save(update_fields=["disputed", "suspected", "concluded"])
    verdict.recount([slide.pk])


def _concluded(slide: Slide) -> str:
    if not slide.counts_opinions:
        return ""
    settled = slide.settlements.filter(image=None, cell=None).last()
    if slide.is_read_twice and settled:
        return settled.label
    said = set(slide.readings.exclude(conclusion="").values_list("conclusion", flat=True))
    return said.pop() if len(said) == 1 else (Conclusion.CANNOT_TELL if said else "")


def _of_whole(slide: Slide, readings: list[SlideReading]) -> list[Difference]:
    first, second = (Said(one.who, one.conclusion, one.comment) for one in readings)
    whole = Difference(None, None, (first, second))
    goes_on = _that_came(slide, came__gt=_saw_until(readings))
    return [whole] if whole.differs or goes_on.exists() else []


def _of_images(slide: Slide, readings: list[SlideReading]) -> list[Difference]:
    said = Review.objects.filter(_seen_by_both(slide, readings), is_standing=True)
    said = opinions.with_readings(said.select_related("image"))
    rows = Prediction.objects.filter(slide=slide, is_current=True, state__in=READ_STATES)
    current = {row.image_id: row for row in rows.only("image_id", "kind", "state", "decision")}
    of_image: dict[SmearImage, dict[Any, Review]] = defaultdict(dict)
    for review in said.order_by("image__created_at", "image_id"):
        row = current.get(review.image_id)
        if row and opinions.holds(review, row):
            of_image[review.image][review.reviewer_id] = review
    return [
        Difference(image, None, pair, current[image.pk].kind)
        for image, by in of_image.items()
        if (pair := _differ(readings, by, opinions.accepted_of(current[image.pk])))
    ]


def _of_cells(slide: Slide, readings: list[SlideReading]) -> list[Difference]:
    cells = Cell.objects.filter(_current_cells(slide), _seen_by_both(slide, readings))
    said = CellReview.objects.filter(cell__in=cells, is_standing=True)
    said = said.select_related("cell__image").defer("cell__activation")
    of_cell: dict[Cell, dict[Any, CellReview]] = defaultdict(dict)
    for review in said.order_by("cell__image__created_at", "cell__image_id", "cell__number"):
        of_cell[review.cell][review.reviewer_id] = review
    return [
        Difference(cell.image, cell, pair)
        for cell, by in of_cell.items()
        if (pair := _differ(readings, by, opinions.accepted(cell.decision)))
    ]


def _seen_by_both(slide: Slide, readings: list[SlideReading]) -> Q:
    """Not the images that came, or could be read, only later."""
    seen = _that_came(slide, came__lte=_saw_until(readings))
    return Q(image__in=seen.values("image"))


def _saw_until(readings: list[SlideReading]) -> datetime:
    """As `Slide.both_saw_until`."""
    return min(one.closed_at for one in readings if one.closed_at)


def _that_came(slide: Slide, **when: datetime) -> QuerySet[Prediction]:
    current = Prediction.objects.filter(slide=slide, is_current=True)
    return current.annotate(came=rollups.CAME).filter(**when)


def _current_cells(slide: Slide) -> Q:
    readings = Prediction.objects.filter(slide=slide, kind=Kind.FIELD, is_current=True)
    added = Q(prediction=None, image__in=readings.values("image"))
    return added | Q(prediction__in=readings)


def _differ(
    readings: list[SlideReading], by: dict[Any, Any], silent: str
) -> tuple[Said, Said] | None:
    first, second = (_said(one, by.get(one.reader_id), silent) for one in readings)
    return (first, second) if first.label != second.label else None


def _said(reading: SlideReading, review: Review | CellReview | None, silent: str) -> Said:
    if review is None:
        return Said(reading.who, silent, is_own=False)
    return Said(reading.who, review.label, review.comment)
