"""The red cells of fields added up: what each counts as.

A person's word replaces the machine's, and cells at the edge stay out whatever is said of them.
Cells that a person added belong to the image and count with whichever reading is current. A field
that people set aside counts no cell, and one that the model rejected does where people say so. The
parasites in what does not count are known all the same: no slide with one is negative.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from ml.parasitaemia import Counts

from .models import READ_STATES, Cell, Decision, FieldOpinion, Kind, Prediction, State

REMOVED, EDGE = "removed", "edge"
COUNTED = (Decision.PARASITIZED, Decision.UNCERTAIN, Decision.UNINFECTED)
"""The most suspicious first."""


def counts_as(is_cut: bool, decision: str, reviewed: str) -> str:
    """One of COUNTED, or `edge`, `rejected`, `removed`."""
    if reviewed == REMOVED:
        return REMOVED
    if is_cut:
        return EDGE
    return reviewed or decision or REMOVED


def of_cell(cell: Cell) -> str:
    """The same, or `aside` or `rejected` where its whole field is."""
    if cell.image.counted == FieldOpinion.ASIDE:
        return str(FieldOpinion.ASIDE)
    reading = cell.prediction
    if reading and reading.state == State.REJECTED and not cell.image.counted:
        return str(Decision.REJECTED)
    return counts_as(cell.is_cut, cell.decision, cell.reviewed)


@dataclass
class Found:
    """How many cells of a field, or of a slide's fields, count as what."""

    parasitized: int = 0
    uninfected: int = 0
    uncertain: int = 0
    edge: int = 0
    rejected: int = 0
    removed: int = 0
    reviewed: int = 0
    """Of those that count."""
    positives: int = 0
    confirmed: int = 0
    refuted: int = 0
    """As in ml.parasitaemia.Counts."""
    doubtful: int = 0
    """Of the uncertain ones: people have looked, and cannot tell or differ."""
    version: int = 0
    """The newest model version that read them."""
    has_band: bool = False
    """Some were decided by thresholds that are not the model's own."""
    aside: int = 0
    """Cells that would count as parasitized, in fields that people set aside, and those that
    people call so in fields that the model rejected."""

    @property
    def counted(self) -> int:
        return self.parasitized + self.uninfected + self.uncertain

    @property
    def counts(self) -> Counts:
        return Counts(
            cells=self.counted,
            positives=self.positives,
            uncertain=self.uncertain - self.doubtful,
            confirmed=self.confirmed,
            refuted=self.refuted,
            found=self.parasitized - self.positives - self.confirmed,
        )

    @property
    def decision(self) -> str:
        """Of the most suspicious cell that counts; empty without any."""
        return next((str(name) for name in COUNTED if getattr(self, name)), "")

    def add(self, is_cut: bool, decision: str, reviewed: str, number: int = 1) -> None:
        name = counts_as(is_cut, decision, reviewed)
        setattr(self, name, getattr(self, name) + number)
        if name not in COUNTED:
            return
        said_by_machine = decision == Decision.PARASITIZED
        self.reviewed += number if reviewed else 0
        self.doubtful += number if reviewed == Decision.UNCERTAIN else 0
        if not reviewed:
            self.positives += number if said_by_machine else 0
        elif said_by_machine:
            self.confirmed += number if reviewed == Decision.PARASITIZED else 0
            self.refuted += number if reviewed == Decision.UNINFECTED else 0


def of_slides(slide_ids: Collection[UUID]) -> dict[UUID, Found]:
    """Over the fields of each that count; without one, and without a parasite in those that do
    not, it is left out."""
    fields = Prediction.objects.filter(
        kind=Kind.FIELD, state__in=READ_STATES, is_current=True, slide__in=slide_ids
    )
    needed = ("slide_id", "model_id", "band_id", "kind", "state", "image__counted")
    known = list(fields.select_related("image").only(*needed))
    readings = [row for row in known if row.state == State.DONE or counts(row)]
    rejected = [row for row in known if row.state == State.REJECTED and not counts(row)]
    parts = _added_up(readings, {row.pk: (row.slide_id, counts(row)) for row in readings})
    found = {slide: of for (slide, is_in), of in parts.items() if is_in}
    asides = _seen_in(rejected)
    for (slide, is_in), of in parts.items():
        if not is_in:
            asides[slide] += of.parasitized
    for slide, number in (+asides).items():
        found.setdefault(slide, Found()).aside = number
    return found


def _seen_in(rejected: Collection[Prediction]) -> Counter[UUID]:
    """What people call parasitized there: what the model says of such a field is worth nothing."""
    if not rejected:
        return Counter()
    added = Q(prediction=None, image__in=[row.image_id for row in rejected])
    cells = Cell.objects.filter(added | Q(prediction__in=rejected))
    seen = cells.filter(reviewed=Decision.PARASITIZED, is_cut=False).order_by()
    return Counter(seen.values_list("image__slide", flat=True))


def of_predictions(predictions: Iterable[Prediction]) -> dict[int, Found]:
    """Each field that counts, with the cells that people added to its image."""
    return of_readings(row for row in predictions if counts(row))


def of_readings(predictions: Iterable[Prediction]) -> dict[int, Found]:
    """The same of each field that was read or rejected, whether it counts or not."""
    fields = [row for row in predictions if row.kind == Kind.FIELD and row.state in READ_STATES]
    return _added_up(fields, {row.pk: row.pk for row in fields})


def is_counted(to: str = "") -> Q:
    """Of predictions, or of what leads `to` one: a field that counts. `counts` is the same.

    A field that was rejected counts nothing, whatever was found in it, unless people say so.
    """
    read = Q(**{f"{to}state": State.DONE}) & ~Q(**{f"{to}image__counted": FieldOpinion.ASIDE})
    taken_in = Q(**{f"{to}state": State.REJECTED, f"{to}image__counted": FieldOpinion.COUNTS})
    return Q(**{f"{to}kind": Kind.FIELD}) & (read | taken_in)


def is_aside() -> Q:
    """Of predictions: a field that was read, and that people set aside."""
    return Q(kind=Kind.FIELD, state=State.DONE, image__counted=FieldOpinion.ASIDE)


def counts(row: Prediction) -> bool:
    if row.kind != Kind.FIELD:
        return False
    if row.state == State.DONE:
        return row.image.counted != FieldOpinion.ASIDE
    return row.state == State.REJECTED and row.image.counted == FieldOpinion.COUNTS


def fields_read() -> QuerySet[Prediction]:
    """The current readings of fields that count."""
    return Prediction.objects.filter(is_counted(), is_current=True)


def first_to_look_at(slide_id: UUID, but: UUID | None = None) -> UUID | None:
    """The first field of a slide, other than `but`, with a suspicious cell nobody has looked at."""
    open_cells = Cell.objects.filter(
        prediction__in=fields_read().filter(slide=slide_id).exclude(image=but),
        is_cut=False,
        reviewed="",
        decision__in=(Decision.PARASITIZED, Decision.UNCERTAIN),
    )
    found = open_cells.order_by("image__created_at", "image_id").values_list("image", flat=True)
    return found.first()


def _added_up(readings: Collection[Prediction], key_of: Mapping[int, Any]) -> dict[Any, Found]:
    """Two queries, however many readings; none without any."""
    found: dict[Any, Found] = {key: Found() for key in key_of.values()}
    if not readings:
        return found
    for row in readings:
        of = found[key_of[row.pk]]
        of.version = max(of.version, row.model_id)
        of.has_band = of.has_band or row.band_id is not None
    kinds = ("is_cut", "decision", "reviewed")
    machine = Cell.objects.filter(prediction__in=list(key_of)).order_by()
    machine_groups = machine.values_list("prediction", *kinds).annotate(n=Count("*"))
    for pk, cut, said, heard, number in machine_groups:
        found[key_of[pk]].add(cut, said, heard, number)
    reading_of = {row.image_id: row.pk for row in readings}
    people = Cell.objects.filter(image__in=list(reading_of), prediction=None).exclude(reviewed="")
    people_groups = people.order_by().values_list("image", *kinds).annotate(n=Count("*"))
    for image, cut, said, heard, number in people_groups:
        found[key_of[reading_of[image]]].add(cut, said, heard, number)
    return found
