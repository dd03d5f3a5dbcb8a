"""What a slide keeps for the charts: the model's own answers, and how people saw the same cells.

Compared are chosen cells, each an image, and the cells that a model found in fields, as their
current readings say. Where people disagree, cannot tell or see no cell, there is nothing to
compare; nor with a cell that only a person found.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, F, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from ml.agreement import Pairs

from . import counting
from .models import (
    READ_STATES,
    Cell,
    Decision,
    FieldOpinion,
    Kind,
    Label,
    Prediction,
    Review,
    State,
)

KEPT = ("answered", "called_uncertain", "called_rejected", *Pairs._fields)
_PAIRS = dict(
    zip(
        ((said, heard) for said in Label.values for heard in Label.values),
        Pairs._fields,
        strict=True,
    )
)


SUSPICIOUS = (Decision.PARASITIZED, Decision.UNCERTAIN)
_ADDED = F("image__created_at")
CAME = Greatest(Coalesce("finished_at", _ADDED), _ADDED)
"""As `Prediction.came_at`."""
NEWEST = Max(CAME)


class Group(NamedTuple):
    """Images of one slide that are alike, by their current readings."""

    slide: UUID
    kind: str
    state: str
    decision: str
    reviewed: str
    counted: str
    number: int
    newest: datetime
    """When the last of them came to the slide, or was read."""


def newest_open(groups: Iterable[Group]) -> dict[UUID, datetime]:
    """When the last suspicious cell that nobody spoke of came; slides without one are left out.

    One query for cells of fields, where some field is as suspicious.
    """
    found: dict[UUID, datetime] = {}
    fields = set()
    for group in groups:
        if group.kind == Kind.FIELD:
            is_taken_in = group.counted == FieldOpinion.COUNTS and group.reviewed in SUSPICIOUS
            if group.state == State.DONE and group.decision in SUSPICIOUS or is_taken_in:
                fields.add(group.slide)
        elif group.state == State.DONE and group.decision in SUSPICIOUS and not group.reviewed:
            found[group.slide] = max(group.newest, found.get(group.slide, group.newest))
    for slide, newest in _open_in_fields(fields) if fields else ():
        found[slide] = max(newest, found.get(slide, newest))
    return found


def _open_in_fields(slide_ids: Collection[UUID]) -> Iterable[tuple[UUID, datetime]]:
    open_cells = Cell.objects.filter(
        prediction=OuterRef("pk"), is_cut=False, reviewed="", decision__in=SUSPICIOUS
    )
    fields = counting.fields_read().filter(
        Exists(open_cells),
        slide__in=slide_ids,
        decision__in=(*SUSPICIOUS, Decision.REJECTED),
    )
    newest = Max(Greatest(CAME, Coalesce(Subquery(_newest_word()), CAME)))
    return fields.order_by().values_list("slide").annotate(newest=newest)


def _newest_word() -> QuerySet[Any]:
    """When somebody last said that a whole field counts or not, or took it back: that, too, may
    bring cells to a slide."""
    said = Review.objects.filter(image=OuterRef("image"), label__in=FieldOpinion.values)
    moment = Greatest("created_at", Coalesce("withdrawn_at", "created_at"))
    return said.order_by().values("image").annotate(at=Max(moment)).values("at")


def of_groups(groups: Iterable[Group], reviewed: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """By the names KEPT, what is not 0. People spoke of the `reviewed` slides: two queries."""
    kept: dict[UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for group in groups:
        if group.state in READ_STATES:
            of = kept[group.slide]
            of["answered"] += group.number
            of["called_uncertain"] += group.number if group.decision == Decision.UNCERTAIN else 0
            of["called_rejected"] += group.number if group.state == State.REJECTED else 0
    if reviewed:
        for slide, said, heard, number in (*_of_crops(reviewed), *_of_cells(reviewed)):
            kept[slide][_PAIRS[said, heard]] += number
    return kept


def _of_crops(slide_ids: Collection[UUID]) -> Iterable[tuple[Any, ...]]:
    found = Prediction.objects.filter(
        slide__in=slide_ids, is_current=True, kind=Kind.CELL, state__in=READ_STATES
    )
    return _grouped(found.annotate(of=F("slide"), heard=F("image__reviewed")))


def _of_cells(slide_ids: Collection[UUID]) -> Iterable[tuple[Any, ...]]:
    found = Cell.objects.filter(
        counting.is_counted("prediction__"),
        prediction__slide__in=slide_ids,
        prediction__is_current=True,
    )
    return _grouped(found.annotate(of=F("prediction__slide"), heard=F("reviewed")))


def _grouped(found: QuerySet[Any]) -> Iterable[tuple[Any, ...]]:
    both = found.filter(label__in=Label.values, heard__in=Label.values).order_by()
    return both.values_list("of", "label", "heard").annotate(n=Count("*"))
