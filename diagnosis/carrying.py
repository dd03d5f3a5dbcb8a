"""What people said of the cells of a field, taken along when another reading of it counts.

Two boxes that overlap by half are one cell. A cell that a person named and the other reading did
not find becomes one that a person added; an added cell that is found now is one cell, not two.
"""

from collections.abc import Iterable, Sequence

from django.db.models import Exists, Max, OuterRef, Prefetch, Q, Value
from django.db.models.functions import Mod

from . import opinions
from .models import (
    Cell,
    CellOpinion,
    CellReview,
    Place,
    Prediction,
    Settlement,
    Slide,
    SmearImage,
)

LEAST_OVERLAP = 0.5
"""Intersection over union, as a finder is measured."""
STANDING = CellReview.objects.filter(is_standing=True)


def take_along(image: SmearImage, former: int, now: Prediction) -> None:
    """From the reading `former`; the caller holds the slide."""
    spoken = _spoken_of(image, former)
    if not spoken:
        return
    same = pairs(spoken, list(now.cells.defer("activation")))
    for cell in spoken:
        if cell in same:
            _move(cell, same[cell], cell.standing)  # type: ignore[attr-defined]
        elif cell.prediction_id and (named := _named(cell)):
            _move(cell, _added(image, cell, named), named)


def unite(some: Sequence[Cell], others: Sequence[Cell]) -> None:
    """What two people drew, each blind to the other: two boxes of one cell become one."""
    for cell, same in pairs(others, some).items():
        _move(cell, same, list(STANDING.filter(cell__in=[cell, same])))


def _spoken_of(image: SmearImage, former: int) -> list[Cell]:
    """Cells with reviews that stand, as `standing`."""
    mine = Q(prediction=former) | Q(prediction=None, image=image)
    found = Cell.objects.filter(mine, Exists(STANDING.filter(cell=OuterRef("pk"))))
    standing = Prefetch("reviews", STANDING, to_attr="standing")
    return list(found.defer("activation").prefetch_related(standing))


def pairs(some: Iterable[Cell], others: Sequence[Cell]) -> dict[Cell, Cell]:
    """The closest first; none is taken twice."""
    near = [(overlap(one, other), one, other) for one in some for other in others]
    found: dict[Cell, Cell] = {}
    taken: set[Cell] = set()
    for share, one, other in sorted(near, key=lambda pair: -pair[0]):
        if share >= LEAST_OVERLAP and one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return found


def overlap(one: Cell, other: Cell) -> float:
    """Intersection over union of their boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)


def _named(cell: Cell) -> list[CellReview]:
    return [review for review in cell.standing if review.label != CellOpinion.NO_CELL]  # type: ignore[attr-defined]


def _added(image: SmearImage, cell: Cell, named: Sequence[CellReview]) -> Cell:
    places = image.slide.readings.filter(reader=named[0].reviewer_id)
    number = next_number(image, places.values_list("place", flat=True).first())
    x, y, width, height = cell.box
    return image.cells.create(
        number=number, x=x, y=y, width=width, height=height, is_cut=cell.is_cut
    )


def next_number(image: SmearImage, place: int | None) -> int:
    """Of a cell that a person adds. The first of two readers counts 1, 3, 5 and the second 2, 4, 6:
    no number tells how many the other has added."""
    numbers = image.cells.filter(prediction=None)
    if place is None:
        last = numbers.aggregate(last=Max("number"))["last"]
        return (last or 0) + 1
    mine = numbers.annotate(rest=Mod("number", Value(len(Place)))).filter(rest=place % len(Place))
    last = mine.aggregate(last=Max("number"))["last"]
    return last + len(Place) if last else place


def make_room(slide: Slide) -> None:
    """What one person added so far gets numbers of the first of two readers."""
    added = Cell.objects.filter(image__slide=slide, prediction=None)
    for pk, number in added.order_by("-number").values_list("pk", "number"):
        Cell.objects.filter(pk=pk).update(number=len(Place) * (number - 1) + Place.FIRST)


def _move(cell: Cell, same: Cell, said: Sequence[CellReview]) -> None:
    """The old rows stay, and stand no more."""
    CellReview.objects.filter(cell__in=[cell, same], is_standing=True).update(is_standing=False)
    CellReview.objects.bulk_create(
        CellReview(
            cell=same,
            reviewer_id=r.reviewer_id,
            label=r.label,
            comment=r.comment,
            created_at=r.created_at,
        )
        for r in said
    )
    Settlement.objects.filter(cell=cell).update(cell=same)
    opinions.settle_cells([cell, same], cell.image.slide)
