"""What the images of a slide say together: what people said of them counts before the model.

Crops are picked by hand, so their share of parasitized cells is no parasitaemia, and a slide
without any is not negative: no sentence here may say so. The cells of whole fields are counted, and
`finding` says what they say; crops on the same slide are shown beside them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext, ngettext_lazy

from . import audit, bulk, finding, notices, rollups
from .models import (
    READ_STATES,
    Action,
    Conclusion,
    Decision,
    FieldOpinion,
    Finding,
    Kind,
    Prediction,
    Slide,
    State,
)
from .words import number

RESEARCH_USE = gettext_noop(
    "Research use only. Decision support, not a diagnosis: confirm by microscopy."
)
TRAINED_ON = gettext_noop("Trained on P. falciparum.")
ALARM = gettext_noop(
    "Parasites suspected: tell the responsible clinician now, and confirm by microscopy."
)
NOT_NEGATIVE = gettext_noop(
    "This is not a negative result: chosen cells cannot rule malaria out. "
    "Examine the film by microscopy and repeat it."
)
NO_PARASITAEMIA = gettext_noop("Chosen cells give no parasitaemia.")
CONCLUDED: dict[str, str] = {
    Conclusion.POSITIVE: gettext_noop("Concluded positive by a person."),
    Conclusion.NEGATIVE: gettext_noop("Concluded negative by a person."),
    Conclusion.CANNOT_TELL: gettext_noop(
        "People cannot tell, or disagree, what the whole slide is."
    ),
}
REMARKS = {
    "uncertain": ngettext_lazy(
        "%(count)d image uncertain: a person must look.",
        "%(count)d images uncertain: a person must look.",
        "count",
    ),
    "rejected": ngettext_lazy(
        "%(count)d image rejected: no stained red cell or field.",
        "%(count)d images rejected: no stained red cell or field.",
        "count",
    ),
    "aside": ngettext_lazy(
        "%(count)d field set aside by a person: its cells do not count.",
        "%(count)d fields set aside by a person: their cells do not count.",
        "count",
    ),
    "failed": ngettext_lazy(
        "%(count)d image not read: an error, try again.",
        "%(count)d images not read: an error, try again.",
        "count",
    ),
    "pending": ngettext_lazy(
        "%(count)d image still to be read.", "%(count)d images still to be read.", "count"
    ),
    "reviewed": ngettext_lazy(
        "%(count)d image reviewed: a person's answer counts.",
        "%(count)d images reviewed: a person's answer counts.",
        "count",
    ),
}
ONE_OF_TWO = gettext_noop("One of its two readers says parasites, the other does not.")
NEVER_RULES_OUT = gettext_noop(
    "A thin film never rules malaria out: repeat it, and confirm by microscopy."
)


@dataclass(frozen=True)
class Tally:
    """How many of a slide's images came out how. `pending` ones are queued or being read."""

    total: int = 0
    parasitized: int = 0
    uninfected: int = 0
    uncertain: int = 0
    rejected: int = 0
    aside: int = 0
    """Fields that people set aside, although the model read them."""
    failed: int = 0
    pending: int = 0
    reviewed: int = 0
    """Of them all: how many count as people judged them."""
    fields: int = 0
    """Of those that are parasitized, uninfected or uncertain: how many are whole fields."""
    fields_parasitized: int = 0
    fields_rejected: int = 0
    """Of the rejected ones: by the model."""
    finding: str = ""
    """What the fields say: a `Finding`."""
    cells_counted: int = 0
    """In the fields."""
    cells_parasitized: int = 0
    concluded: str = ""
    """What people conclude of the whole slide: a `Conclusion`."""
    suspected: bool = False
    """One of its two readers says parasites, the other does not; not settled otherwise."""

    @property
    def cells(self) -> int:
        """Chosen ones, each an image."""
        return self.parasitized + self.uninfected + self.uncertain - self.fields

    @property
    def has_fields(self) -> bool:
        """Which say something: also those that do not count, of a parasite in them."""
        return bool(self.fields or self.aside or self.fields_rejected)

    @property
    def is_readable(self) -> bool:
        return is_readable(self)

    @property
    def result(self) -> str:
        """`parasitized`, `uncertain`, `uninfected` (which is not "negative") or `none`.

        What a person concludes stands over what was counted; but "negative" silences no cell that
        counts as parasitized, and says nothing where none counts at all.
        """
        if self.concluded == Conclusion.POSITIVE:
            return str(Decision.PARASITIZED)
        if self.suspected and not self.is_positive:
            return str(Decision.UNCERTAIN)
        if self.concluded and self.is_readable and not self.is_positive:
            is_negative = self.concluded == Conclusion.NEGATIVE and (self.cells or self.fields)
            return str(Decision.UNINFECTED if is_negative else Decision.UNCERTAIN)
        if (self.fields or self.finding) and not self.is_positive:
            return str(Decision.UNINFECTED if self.is_negative else Decision.UNCERTAIN)
        names = (Decision.PARASITIZED, Decision.UNCERTAIN, Decision.UNINFECTED)
        return next((str(name) for name in names if getattr(self, name)), "none")

    @property
    def is_negative(self) -> bool:
        return self.finding == Finding.NEGATIVE

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
        return self.is_positive or self.suspected

    @property
    def is_positive(self) -> bool:
        is_seen = self.finding == Finding.POSITIVE or self.parasitized > self.fields_parasitized
        return is_seen or self.concluded == Conclusion.POSITIVE

    @property
    def sentence(self) -> str:
        return " ".join(filter(None, (self.conclusion, self.beside(self.counted))))

    def beside(self, counted: str) -> str:
        """What was counted, called so where a person's conclusion stands before it."""
        if not self.concluded or not self.is_readable:
            return counted
        return _("Count of model and people: %(counted)s") % {"counted": counted}

    @property
    def conclusion(self) -> str:
        """What people conclude of the whole slide; empty where nobody did."""
        return _(CONCLUDED[self.concluded]) if self.concluded else ""

    @property
    def counted(self) -> str:
        """What the images say."""
        if not self.total:
            return _("No images yet.")
        if self.fields or self.finding:
            return self._sentence_of_fields
        if self.cells:
            sentence = ngettext(
                "%(parasitized)d of %(cells)d cell parasitized.",
                "%(parasitized)d of %(cells)d cells parasitized.",
                self.cells,
            )
            return sentence % {"parasitized": self.parasitized, "cells": self.cells}
        if self.pending:
            sentence = ngettext(
                "Reading %(count)d image.", "Reading %(count)d images.", self.pending
            )
            return sentence % {"count": self.pending}
        if self.aside:
            return _("No field is left that counts.")
        return _("No cell could be read.")

    @property
    def _sentence_of_fields(self) -> str:
        if self.is_negative:
            sentence = ngettext(
                "Negative in %(cells)s red cell.",
                "Negative in %(cells)s red cells.",
                self.cells_counted,
            )
        elif self.finding == Finding.POSITIVE:
            sentence = ngettext(
                "Positive: %(parasitized)s of %(cells)s red cell counted as parasitized.",
                "Positive: %(parasitized)s of %(cells)s red cells counted as parasitized.",
                self.cells_counted,
            )
        else:
            sentence = ngettext(
                "Uncertain: %(parasitized)s of %(cells)s red cell counted as parasitized.",
                "Uncertain: %(parasitized)s of %(cells)s red cells counted as parasitized.",
                self.cells_counted,
            )
        numbers = {"parasitized": self.cells_parasitized, "cells": self.cells_counted}
        return sentence % {name: number(value) for name, value in numbers.items()}

    @property
    def advice(self) -> str:
        """What to do about it; empty while nothing can be said yet."""
        if self.is_critical:
            return _(ALARM)
        if self.pending or not self.is_readable:
            return ""
        if self.fields or self.finding:
            return _(NEVER_RULES_OUT)
        if self.uncertain:
            sentence = ngettext(
                "%(count)d cell to be judged by a person.",
                "%(count)d cells to be judged by a person.",
                self.uncertain,
            )
            return f"{sentence % {'count': self.uncertain}} {_(NOT_NEGATIVE)}"
        return _(NOT_NEGATIVE)

    @property
    def remarks(self) -> list[str]:
        """What the sentence leaves out."""
        remarks = [_(ONE_OF_TWO)] if self.suspected else []
        remarks += self._remarks_on_images
        if self.fields and self.cells:
            sentence = ngettext(
                "%(count)d chosen cell shown beside, not counted.",
                "%(count)d chosen cells shown beside, not counted.",
                self.cells,
            )
            remarks.append(sentence % {"count": self.cells})
        return remarks

    @property
    def _remarks_on_images(self) -> list[str]:
        counts = {
            "uncertain": self.uncertain,
            "rejected": self.rejected,
            "aside": self.aside,
            "failed": self.failed,
            "pending": self.pending if self.is_readable else 0,
            "reviewed": self.reviewed,
        }
        return [REMARKS[name] % {"count": count} for name, count in counts.items() if count]


CHANGED_AT_ONCE = 100
COUNTING = (Decision.PARASITIZED, Decision.UNINFECTED, Decision.UNCERTAIN)
NOT_KEPT = (
    "total",
    "aside",
    "reviewed",
    "fields",
    "fields_parasitized",
    "fields_rejected",
    "concluded",
    "suspected",
)
COUNTS = [field.name for field in fields(Tally) if field.name not in NOT_KEPT]
KEPT = [*COUNTS, "is_critical", "has_open", *rollups.KEPT]
OF_FIELDS = ("finding", "cells_counted", "cells_parasitized")
OVER_COUNTS = ("concluded", "suspected")
OF_READERS = (*OVER_COUNTS, "disputed", "readings_closed_at")


def is_readable(counted: Tally | Slide) -> bool:
    """Something was read of it. A slide keeps its counts: of it no question is asked."""
    cells_or_fields = counted.parasitized or counted.uninfected or counted.uncertain
    return bool(cells_or_fields or counted.finding)


def tally(slide: Slide) -> Tally:
    return tallies([slide])[slide.pk]


def tallies(slides: Iterable[Slide]) -> dict[UUID, Tally]:
    """Two queries, however many slides: what their fields say was kept with them.

    These very slides get what was kept loaded anew, after the images were counted. Else one that
    is read in between would be read here and waiting there, on a page that asks no more.
    """
    known = {slide.pk: slide for slide in slides}
    counted = _count(known, _groups(known))
    _load_anew(known)
    return {
        pk: replace(tally, **_kept(known[pk], *OF_FIELDS, *OVER_COUNTS))
        for pk, tally in counted.items()
    }


def _kept(slide: Slide, *names: str) -> dict[str, Any]:
    return {name: getattr(slide, name) for name in names}


def _load_anew(slides: Mapping[UUID, Slide]) -> None:
    for row in Slide.objects.filter(pk__in=slides).values("pk", *KEPT, *OF_READERS):
        slide = slides[row.pop("pk")]
        for name, value in row.items():
            setattr(slide, name, value)


@transaction.atomic
def recount(slide_ids: Collection[UUID]) -> None:
    """Keep the slides' own counts, in the transaction that changed a state of their predictions.

    The slides are locked before anything is counted, so that of two workers which finish images
    of one slide the later counts what the earlier wrote.
    """
    chosen = Slide.objects.filter(pk__in=slide_ids).order_by("pk")
    slides = list(chosen.select_for_update(no_key=True))
    groups = _groups([slide.pk for slide in slides])
    counted = _count([slide.pk for slide in slides], groups)
    results = finding.of_slides([slide for slide in slides if counted[slide.pk].has_fields])
    counted = {
        slide.pk: replace(
            counted[slide.pk], **_kept(slide, *OVER_COUNTS), **_of_fields(results.get(slide.pk))
        )
        for slide in slides
    }
    charted = rollups.of_groups(groups, [pk for pk, of in counted.items() if of.reviewed])
    since = rollups.newest_open(groups)
    before = {slide.pk: notices.Before.of(slide) for slide in slides}
    changed = [
        slide
        for slide in slides
        if _take_over(slide, counted[slide.pk], charted.get(slide.pk, {}), since.get(slide.pk))
    ]
    news = notices.news_of(changed, before)
    for start in range(0, len(changed), CHANGED_AT_ONCE):
        part = changed[start : start + CHANGED_AT_ONCE]
        bulk.write(Slide.objects.all(), part, [*KEPT, "pending_since"])
    notices.tell(news)


@transaction.atomic
def set_basis(slide: Slide, red_cells_per_microlitre: int | None) -> None:
    """The red cell count by which parasites per µL are worked out; without one it is assumed."""
    row = Slide.objects.select_for_update(no_key=True).get(pk=slide.pk)
    before = row.red_cells_per_microlitre
    row.red_cells_per_microlitre = red_cells_per_microlitre
    row.save(update_fields=["red_cells_per_microlitre"])
    recount([slide.pk])
    changed = (before, red_cells_per_microlitre)
    audit.note(Action.CHANGED, row, red_cells_per_microlitre=changed)


def _of_fields(result: finding.Result | None) -> dict[str, Any]:
    if result is None:
        return dict(zip(OF_FIELDS, ("", 0, 0), strict=True))
    found = result.found
    return dict(zip(OF_FIELDS, (result.verdict, found.counted, found.parasitized), strict=True))


def _take_over(
    slide: Slide, tally: Tally, charted: dict[str, int], newest_open: datetime | None
) -> bool:
    """Whether anything changed."""
    now = {name: getattr(tally, name) for name in (*COUNTS, "is_critical")}
    now |= {name: charted.get(name, 0) for name in rollups.KEPT}
    looked_at = [at for at in (slide.signed_at, slide.both_saw_until) if at]
    now["has_open"] = newest_open is not None and all(newest_open > at for at in looked_at)
    before = _kept(slide, *KEPT)
    for name, value in now.items():
        setattr(slide, name, value)
    return before != now


def _groups(slide_ids: Iterable[UUID]) -> list[rollups.Group]:
    """How many images of each slide are alike: one query."""
    found = Prediction.objects.filter(slide__in=list(slide_ids), is_current=True)
    alike = found.order_by().values_list(
        "slide", "kind", "state", "decision", "image__reviewed", "image__counted"
    )
    return [rollups.Group(*row) for row in alike.annotate(n=Count("*"), newest=rollups.NEWEST)]


def _count(slide_ids: Iterable[UUID], groups: Iterable[rollups.Group]) -> dict[UUID, Tally]:
    counts = {slide: asdict(Tally()) for slide in slide_ids}
    for slide, kind, state, decision, reviewed, counted, n, _newest in groups:
        name, of = outcome(state, decision, reviewed, counted), counts[slide]
        of[name] += n
        of["reviewed"] += n if state in READ_STATES and reviewed else 0
        of["total"] += n
        if kind == Kind.FIELD and name == state == State.REJECTED:
            of["fields_rejected"] += n
        if kind == Kind.FIELD and name in COUNTING:
            of["fields"] += n
            of["fields_parasitized"] += n if name == Decision.PARASITIZED else 0
    return {slide: Tally(**numbers) for slide, numbers in counts.items()}


def of_image(row: Prediction) -> str:
    """What its image counts as."""
    return outcome(row.state, row.decision, row.image.reviewed, row.image.counted)


def outcome(state: str, decision: str, reviewed: str, counted: str = "") -> str:
    """`reviewed` and `counted` are what its standing reviews say together, or empty."""
    if state == State.DONE and counted == FieldOpinion.ASIDE:
        return str(FieldOpinion.ASIDE)
    if state in READ_STATES and reviewed:
        return reviewed
    if state == State.DONE:
        return decision
    return state if state in (State.REJECTED, State.FAILED) else "pending"
