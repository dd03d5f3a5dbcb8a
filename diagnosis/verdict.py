"""What the images of a slide say together: what people said of an image counts before the model.

Crops are picked by hand, so their share of parasitized cells is no parasitaemia, and a slide
without any is not negative: no sentence here may say so.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from .models import READ_STATES, Decision, Prediction, Slide, State

RESEARCH_USE = "Research use only. Decision support, not a diagnosis: confirm by microscopy."
TRAINED_ON = "Trained on P. falciparum."
ALARM = "Parasites suspected: tell the responsible clinician now, and confirm by microscopy."
NOT_NEGATIVE = (
    "This is not a negative result: chosen cells cannot rule malaria out. "
    "Examine the film by microscopy and repeat it."
)


@dataclass(frozen=True)
class Tally:
    """How many of a slide's images came out how. `pending` ones are queued or being read."""

    total: int = 0
    parasitized: int = 0
    uninfected: int = 0
    uncertain: int = 0
    rejected: int = 0
    failed: int = 0
    pending: int = 0
    reviewed: int = 0
    """Of them all: how many count as people judged them."""

    @property
    def cells(self) -> int:
        return self.parasitized + self.uninfected + self.uncertain

    @property
    def result(self) -> str:
        """`parasitized`, `uncertain`, `uninfected` (which is not "negative") or `none`."""
        names = (Decision.PARASITIZED, Decision.UNCERTAIN, Decision.UNINFECTED)
        return next((str(name) for name in names if getattr(self, name)), "none")

    @property
    def status(self) -> str:
        """`empty`, `reading`, `failed` (some image was not read) or `done`."""
        if not self.total:
            return "empty"
        if self.pending:
            return "reading"
        return "failed" if self.failed else "done"

    @property
    def is_critical(self) -> bool:
        """Someone must be told at once, also while other images are still being read."""
        return self.parasitized > 0

    @property
    def sentence(self) -> str:
        if not self.total:
            return "No images yet."
        if self.cells:
            return f"{self.parasitized} of {_counted(self.cells, 'cell')} parasitized."
        if self.pending:
            return f"Reading {_counted(self.pending, 'image')}."
        return "No cell could be read."

    @property
    def advice(self) -> str:
        """What to do about it; empty while nothing can be said yet."""
        if self.is_critical:
            return ALARM
        if self.pending or not self.cells:
            return ""
        if self.uncertain:
            return f"{_counted(self.uncertain, 'cell')} to be judged by a person. {NOT_NEGATIVE}"
        return NOT_NEGATIVE

    @property
    def remarks(self) -> list[str]:
        """What the sentence leaves out."""
        counts = {
            "uncertain: a person must look": self.uncertain,
            "rejected: not a single stained red cell": self.rejected,
            "not read: an error, try again": self.failed,
            "still to be read": self.pending if self.cells else 0,
            "reviewed: a person's answer counts": self.reviewed,
        }
        return [f"{_counted(n, 'image')} {text}." for text, n in counts.items() if n]


CHANGED_AT_ONCE = 100
COUNTS = [field.name for field in fields(Tally) if field.name not in ("total", "reviewed")]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tally(slide: Slide) -> Tally:
    return tallies([slide])[slide.pk]


def tallies(slides: Iterable[Slide]) -> dict[UUID, Tally]:
    """One query, however many slides."""
    return _count([slide.pk for slide in slides])


@transaction.atomic
def recount(slide_ids: Collection[UUID]) -> None:
    """Keep the slides' own counts, in the transaction that changed a state of their predictions.

    The slides are locked before anything is counted, so that of two workers which finish images
    of one slide the later counts what the earlier wrote.
    """
    chosen = Slide.objects.filter(pk__in=slide_ids).order_by("pk")
    slides = list(chosen.select_for_update(no_key=True))
    counted = _count([slide.pk for slide in slides])
    changed = [slide for slide in slides if _take_over(slide, counted[slide.pk])]
    Slide.objects.bulk_update(changed, COUNTS, batch_size=CHANGED_AT_ONCE)


def _take_over(slide: Slide, tally: Tally) -> bool:
    """Whether anything changed."""
    before = [getattr(slide, name) for name in COUNTS]
    for name in COUNTS:
        setattr(slide, name, getattr(tally, name))
    return before != [getattr(slide, name) for name in COUNTS]


def _count(slide_ids: Iterable[UUID]) -> dict[UUID, Tally]:
    counts = {slide: asdict(Tally()) for slide in slide_ids}
    found = Prediction.objects.filter(slide__in=list(counts), is_current=True)
    groups = found.order_by().values_list("slide", "state", "decision", "image__reviewed")
    for slide, state, decision, reviewed, number in groups.annotate(n=Count("*")):
        counts[slide][outcome(state, decision, reviewed)] += number
        counts[slide]["reviewed"] += number if state in READ_STATES and reviewed else 0
        counts[slide]["total"] += number
    return {slide: Tally(**numbers) for slide, numbers in counts.items()}


def outcome(state: str, decision: str, reviewed: str) -> str:
    """What an image counts as; `reviewed` is what its standing reviews say together, or empty."""
    if state in READ_STATES and reviewed:
        return reviewed
    if state == State.DONE:
        return decision
    return state if state in (State.REJECTED, State.FAILED) else "pending"
