"""The images of a slide as its page shows them: which ones, in what order, and what changed."""

from collections.abc import Iterable
from datetime import timedelta
from math import inf
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Case, F, IntegerField, Min, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import access, again, counting, finding, opinions, reviews, verdict
from .models import (
    OPINIONS,
    PENDING_STATES,
    READ_STATES,
    Decision,
    FieldOpinion,
    Kind,
    Prediction,
    Slide,
    SmearImage,
    State,
)

PER_PAGE = 60


def _counts_as(decision: str) -> Q:
    """As verdict.outcome: what people said together, or what the model did."""
    by_people = Q(image__reviewed=decision, state__in=READ_STATES)
    return by_people | Q(image__reviewed="", state=State.DONE, decision=decision)


STATUSES = {
    "parasitized": _counts_as(Decision.PARASITIZED),
    "uncertain": _counts_as(Decision.UNCERTAIN),
    "uninfected": _counts_as(Decision.UNINFECTED),
    "rejected": (_counts_as(Decision.REJECTED) | Q(image__reviewed="", state=State.REJECTED))
    & ~counting.is_aside(),
    "aside": counting.is_aside(),
    "failed": Q(state=State.FAILED),
    "pending": Q(state__in=PENDING_STATES),
}
WORDS = dict(Decision.choices)
WORDS |= dict(FieldOpinion.choices)
WORDS |= {"failed": gettext_lazy("Not read"), "pending": gettext_lazy("Waiting")}
ORDERS = {
    "suspicious": gettext_lazy("Most suspicious first"),
    "upload": gettext_lazy("As uploaded"),
}
MANY = 1_000
# How long something has been waiting, how many others before it → how often the page asks.
# The last one is worth a word.
PACES = (
    (timedelta(seconds=2), 64, "100ms"),
    (timedelta(seconds=20), MANY, "500ms"),
    (timedelta(minutes=1), inf, "2s"),
    (timedelta.max, inf, "10s"),
)

_SUSPICION = Case(
    *(When(condition, then=Value(rank)) for rank, condition in enumerate(STATUSES.values())),
    default=Value(len(STATUSES)),
    output_field=IntegerField(),
)

SHOWN = (*STATUSES, "reviewed", *verdict.OVER_COUNTS, *verdict.OF_FIELDS)
"""What a page shows of a tally."""


def status(prediction: Prediction) -> str:
    """The one word a card carries: what the image counts as, or why it counts as nothing yet."""
    return verdict.of_image(prediction)


def answer(prediction: Prediction) -> str:
    """The same word as the model alone would have it."""
    return verdict.outcome(prediction.state, prediction.decision, "")


def is_read(prediction: Prediction) -> bool:
    """There is an answer that a person can agree with or overrule; a field's cells have theirs
    besides."""
    return prediction.state in READ_STATES


def predictions(
    slide: Slide, user: access.Visitor, show: str = "", order: str = ""
) -> QuerySet[Prediction]:
    found = Prediction.objects.filter(STATUSES.get(show, Q()), slide=slide, is_current=True)
    found = _with_all_of_a_card(found, user)
    if order == "upload":
        return found.order_by("image__created_at", "image_id")
    by_probability = F("probability").desc(nulls_last=True)
    return found.order_by(_SUSPICION, by_probability, "image__created_at", "image_id")


def current(image: SmearImage, user: access.Visitor) -> Prediction:
    """The reading of an image that its card shows."""
    prediction = _with_all_of_a_card(image.predictions.filter(is_current=True), user).get()
    _with_cells([prediction])
    return prediction


def _with_cells(shown: Iterable[Prediction]) -> None:
    """What was found in each field, as `found`, and whether it `counts`."""
    found = counting.of_readings(shown)
    for prediction in shown:
        prediction.found = found.get(prediction.pk)  # type: ignore[attr-defined]
        prediction.counts = counting.counts(prediction)  # type: ignore[attr-defined]


def agreement(prediction: Prediction) -> str:
    """What a person says who agrees with this reading; empty where it says nothing."""
    if prediction.kind == Kind.FIELD:
        return opinions.accepted_of(prediction)
    return prediction.decision


def choices(prediction: Prediction) -> list[tuple[str, str]]:
    """What can be said of a reading, with the words for it: first to agree, where it says
    something. A field in which no cell can be counted can only be left out."""
    agrees = agreement(prediction)
    words = {name: str(word) for name, word in OPINIONS[prediction.kind].choices}
    if prediction.kind == Kind.CELL:
        words |= {agrees: _("Agree")} if agrees in words else {}
    elif agrees == FieldOpinion.COUNTS:
        words |= {FieldOpinion.COUNTS: _("Agree: it counts"), FieldOpinion.ASIDE: _("Set aside")}
    else:
        words |= {
            FieldOpinion.COUNTS: _("Count it all the same"),
            FieldOpinion.ASIDE: _("Agree: leave it out"),
        }
        if not _has_cells(prediction):
            del words[FieldOpinion.COUNTS]
    return sorted(words.items(), key=lambda choice: choice[0] != agrees)


def _has_cells(prediction: Prediction) -> bool:
    found = prediction.found  # type: ignore[attr-defined]
    return bool(found and found.counted)


def needs_reason(prediction: Prediction) -> bool:
    """To set it aside: as `reviews.needs_reason`, which knows more, without a query."""
    found = prediction.found  # type: ignore[attr-defined]
    counts = prediction.counts or prediction.state == State.DONE  # type: ignore[attr-defined]
    return bool(found and found.parasitized and counts)


def _with_all_of_a_card(found: QuerySet[Prediction], user: access.Visitor) -> QuerySet[Prediction]:
    found = found.select_related("image__uploaded_by", "band", "same_as__slide")
    # Few versions read many images, and each carries all its figures.
    return found.prefetch_related("model", again.others(), reviews.with_reviews(user))


def results(
    slide: Slide, user: access.Visitor, show: str = "", order: str = "", page: str = ""
) -> dict[str, Any]:
    """All that the results part of a slide's page needs."""
    show = show if show in STATUSES else ""
    order = order if order in ORDERS else next(iter(ORDERS))
    # Counted before the images are loaded: one that is read in between is asked for once more.
    counted = summary(slide, show)
    pages = Paginator(predictions(slide, user, show, order), PER_PAGE)
    pages.count = getattr(counted["tally"], show or "total")
    shown: Page = pages.get_page(page)
    _with_cells(shown.object_list)
    return counted | {
        "order": order,
        "orders": ORDERS,
        "page": shown,
        "grid": _grid(shown),
    }


def summary(slide: Slide, show: str = "", here: SmearImage | None = None) -> dict[str, Any]:
    """What stands above the images, and is said anew when one of them changes.

    `here` is the field whose page it is for, if it is not for the slide's.
    """
    standing = again.standing(slide)  # what is awaited, before what came of it
    tally = verdict.tally(slide)
    result = finding.of_slide(slide) if tally.has_fields else None
    every = _pace(slide) if tally.pending or standing.pending else ""
    return {
        "tally": tally,
        "read": tally.total - tally.pending,
        "every": every,
        "late": every == PACES[-1][-1],
        "seen": f"{_fingerprint(tally, every)}-{standing.seen}",
        "standing": standing,
        "show": show,
        "result": result,
        "here": here,
        "look_at": _look_at(result, slide, here),
        "both_saw_until": slide.both_saw_until,
        "chips": [("", _("All"), tally.total), *_chips(tally)],
        "research_use": _(verdict.RESEARCH_USE),
        "trained_on": _(verdict.TRAINED_ON),
        "no_parasitaemia": _(verdict.NO_PARASITAEMIA),
    }


def _look_at(result: finding.Result | None, slide: Slide, here: SmearImage | None) -> UUID | None:
    if result is None or not result.to_look_at:
        return None
    return counting.first_to_look_at(slide.pk, here.pk if here else None)


def _pace(slide: Slide) -> str:
    waiting = Prediction.objects.filter(STATUSES["pending"])
    since = waiting.filter(slide=slide).aggregate(since=Min("queued_at"))["since"]
    if since is None:
        return PACES[0][2]
    waited = timezone.now() - since
    before = waiting.filter(sent_at__lt=since)[:MANY].count()
    return next(pace for limit, most, pace in PACES if waited < limit and before < most)


def _fingerprint(tally: verdict.Tally, every: str) -> str:
    """Two pages of a slide that show the same have the same one."""
    return "-".join(
        [
            *(str(getattr(tally, name)) for name in SHOWN),
            every,
        ]
    )


def _chips(tally: verdict.Tally) -> list[tuple[str, str, int]]:
    return [(name, str(WORDS[name]), getattr(tally, name)) for name in STATUSES]


def _grid(page: Page) -> str:
    """The resolution of the heatmaps on a page, in words; empty where there are none."""
    maps = (prediction.activation for prediction in page if prediction.activation)
    rows = next(maps, None)
    return f"{len(rows[0])} × {len(rows)}" if rows else ""
