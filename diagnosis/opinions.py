"""What standing opinions say together, put on the rows of what they are of.

On a slide that is read twice they count once both readings are closed. A reader who said nothing of
an image or a cell let stand what the machine said. Where the two differ it is uncertain until it is
settled.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from . import rollups
from .counting import REMOVED, Found, of_readings
from .models import (
    OPINIONS,
    Cell,
    CellOpinion,
    CellReview,
    Decision,
    FieldOpinion,
    Kind,
    Opinion,
    Prediction,
    Review,
    Settlement,
    Slide,
    SmearImage,
    State,
)

Item = tuple[UUID | None, int | None]
"""An image, or one of its cells; neither: the whole slide."""
_ACCEPTED = {
    Decision.PARASITIZED: CellOpinion.PARASITIZED,
    Decision.UNINFECTED: CellOpinion.UNINFECTED,
    Decision.UNCERTAIN: CellOpinion.CANNOT_TELL,
}


def together(labels: Collection[str]) -> str:
    """What standing reviews of one image, or of one cell, count as; empty without any."""
    if not labels:
        return ""
    if len(set(labels)) > 1 or Opinion.CANNOT_TELL in labels:
        return Decision.UNCERTAIN
    label = next(iter(labels))
    return REMOVED if label == CellOpinion.NO_CELL else label


def accepted(decision: str) -> str:
    """What a reader says who is silent on this decision; without one, a cell they did not see."""
    return _ACCEPTED.get(decision, CellOpinion.NO_CELL)  # type: ignore[call-overload]


def accepted_of(reading: Prediction) -> str:
    """What a reader says of an image who is silent on this reading of it."""
    if reading.kind == Kind.FIELD:
        return FieldOpinion.COUNTS if reading.state == State.DONE else FieldOpinion.ASIDE
    return accepted(reading.decision)


def holds(review: Review, reading: Prediction) -> bool:
    """Whether it is an opinion on this reading of its image.

    What people said of another kind waits; and so does "counts" of a field that was read where it
    is rejected now, and "set aside" of a rejected one where it is read: they agreed with the model.
    """
    if review.label not in OPINIONS[reading.kind].values:
        return False
    seen = review.prediction if reading.kind == Kind.FIELD else None
    return seen is None or seen.state == reading.state or review.label != accepted_of(seen)


def with_readings(reviews: QuerySet[Review]) -> QuerySet[Review]:
    """Each with the reading that the person saw, as `holds` asks of it."""
    return reviews.select_related("prediction").defer("prediction__activation")


@dataclass(frozen=True)
class Hearing:
    """How the opinions on one slide are put together."""

    counts: bool = True
    readers: tuple[int | None, ...] = ()
    """The two, once both readings are closed."""
    saw_until: datetime | None = None
    """`Slide.both_saw_until`."""
    settled: Mapping[Item, str] = field(default_factory=dict)

    def of(self, item: Item, said: Mapping[int | None, str], silent: str, since: datetime) -> str:
        """`said` by whom; `silent` says who let stand the machine's word, `since` then."""
        if not self.counts:
            return ""
        if item in self.settled:
            return together([self.settled[item]])
        return together(self.labels(said, silent, since))

    def labels(self, said: Mapping[int | None, str], silent: str, since: datetime) -> list[str]:
        """Of what not both have seen whoever speaks is heard."""
        if not said or self.saw_until is None or since > self.saw_until:
            return list(said.values())
        return [said.get(reader) or silent for reader in self.readers]


def hearing(slide: Slide) -> Hearing:
    if not slide.is_read_twice:
        return Hearing()
    if slide.readings_closed_at is None:
        return Hearing(counts=False)
    settled = {
        (row.cell_id is None and row.image_id or None, row.cell_id): row.label
        for row in Settlement.objects.filter(slide=slide)
    }
    readers = tuple(slide.readings.exclude(place=None).values_list("reader", flat=True))
    return Hearing(True, readers, slide.both_saw_until, settled)


def settle(image: SmearImage, heard: Hearing | None = None) -> None:
    """The caller holds its slide, and counts that anew."""
    heard = heard or hearing(image.slide)
    reading = image.predictions.filter(is_current=True).first()
    said: dict[int | None, str] = {}
    if reading:
        standing = with_readings(image.reviews.filter(is_standing=True))
        said = {one.reviewer_id: one.label for one in standing if holds(one, reading)}
    silent = accepted_of(reading) if reading else accepted("")
    since = reading.came_at if reading else image.created_at
    heard_as = heard.of((image.pk, None), said, silent, since)
    if reading and reading.kind == Kind.FIELD:
        image.counted, image.reviewed = heard_as, _of_field(reading, heard_as)
    else:
        image.counted, image.reviewed = "", heard_as
    image.save(update_fields=["counted", "reviewed"])


def settle_cells(cells: Iterable[Cell], slide: Slide, heard: Hearing | None = None) -> None:
    heard = heard or hearing(slide)
    known = list(cells)
    standing = CellReview.objects.filter(cell__in=known, is_standing=True)
    said: dict[int, dict[int | None, str]] = {cell.pk: {} for cell in known}
    for cell, reviewer, label in standing.values_list("cell", "reviewer", "label"):
        said[cell][reviewer] = label
    came = _came({cell.image_id for cell in known})
    for one in known:
        since = came.get(one.image_id, one.image.created_at)
        one.reviewed = heard.of((None, one.pk), said[one.pk], accepted(one.decision), since)
    Cell.objects.bulk_update(known, ["reviewed"], batch_size=100)


def is_late(image: SmearImage, until: datetime | None) -> bool:
    """Its current reading came after what both readers of its slide saw."""
    if until is None:
        return False
    return _came([image.pk]).get(image.pk, image.created_at) > until


def _came(image_ids: Collection[UUID]) -> dict[UUID, datetime]:
    current = Prediction.objects.filter(image__in=image_ids, is_current=True)
    return dict(current.values_list("image", rollups.CAME))


def _of_field(reading: Prediction, counted: str) -> str:
    """What it counts as on its slide, once people have spoken of it or of its cells."""
    if counted == FieldOpinion.ASIDE:
        return Decision.REJECTED
    found = of_readings([reading]).get(reading.pk, Found())
    is_spoken_of = found.reviewed or found.removed if reading.state == State.DONE else False
    if not is_spoken_of and counted != FieldOpinion.COUNTS:
        return ""
    return found.decision or Decision.REJECTED
