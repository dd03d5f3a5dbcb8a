"""The images of a slide as its page shows them: which ones, in what order, and what changed."""

from datetime import timedelta
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Case, F, IntegerField, Min, Q, QuerySet, Value, When
from django.utils import timezone

from . import again, verdict
from .models import PENDING_STATES, Decision, Prediction, Slide, State

PER_PAGE = 60
STATUSES = {
    "parasitized": Q(state=State.DONE, decision=Decision.PARASITIZED),
    "uncertain": Q(state=State.DONE, decision=Decision.UNCERTAIN),
    "uninfected": Q(state=State.DONE, decision=Decision.UNINFECTED),
    "rejected": Q(state=State.REJECTED),
    "failed": Q(state=State.FAILED),
    "pending": Q(state__in=PENDING_STATES),
}
WORDS = {name: name.capitalize() for name in STATUSES}
WORDS |= {"failed": "Not read", "pending": "Waiting"}
ORDERS = {"suspicious": "Most suspicious first", "upload": "As uploaded"}
# How long something has been waiting → how often the page asks. The last one is worth a word.
PACES = ((timedelta(seconds=20), "500ms"), (timedelta(minutes=1), "2s"), (timedelta.max, "10s"))

_SUSPICION = Case(
    *(When(condition, then=Value(rank)) for rank, condition in enumerate(STATUSES.values())),
    default=Value(len(STATUSES)),
    output_field=IntegerField(),
)


def status(prediction: Prediction) -> str:
    """The one word a card carries: a decision, or why there is none."""
    if not prediction.is_final:
        return "pending"
    return prediction.decision if prediction.state == State.DONE else prediction.state


def predictions(slide: Slide, show: str, order: str) -> QuerySet[Prediction]:
    found = Prediction.objects.filter(STATUSES.get(show, Q()), slide=slide, is_current=True)
    found = found.select_related("image__uploaded_by", "model", "band", "same_as__slide")
    found = found.prefetch_related(again.others())
    if order == "upload":
        return found.order_by("image__created_at", "image_id")
    by_probability = F("probability").desc(nulls_last=True)
    return found.order_by(_SUSPICION, by_probability, "image__created_at", "image_id")


def results(slide: Slide, show: str = "", order: str = "", page: str = "") -> dict[str, Any]:
    """All that the results part of a slide's page needs."""
    show = show if show in STATUSES else ""
    order = order if order in ORDERS else next(iter(ORDERS))
    tally = verdict.tally(slide)
    standing = again.standing(slide)
    every = _pace(slide) if tally.pending or standing.pending else ""
    shown: Page = Paginator(predictions(slide, show, order), PER_PAGE).get_page(page)
    return {
        "tally": tally,
        "read": tally.total - tally.pending,
        "every": every,
        "late": every == PACES[-1][1],
        "seen": f"{_fingerprint(tally, every)}-{standing.seen}",
        "standing": standing,
        "show": show,
        "order": order,
        "orders": ORDERS,
        "chips": [("", "All", tally.total), *_chips(tally)],
        "page": shown,
        "grid": _grid(shown),
        "research_use": verdict.RESEARCH_USE,
        "trained_on": verdict.TRAINED_ON,
    }


def _pace(slide: Slide) -> str:
    waiting = Prediction.objects.filter(STATUSES["pending"], slide=slide)
    since = waiting.aggregate(since=Min("queued_at"))["since"]
    waited = timezone.now() - since if since else timedelta()
    return next(pace for limit, pace in PACES if waited < limit)


def _fingerprint(tally: verdict.Tally, every: str) -> str:
    """Two pages of a slide that show the same have the same one."""
    return "-".join([*(str(getattr(tally, name)) for name in STATUSES), every])


def _chips(tally: verdict.Tally) -> list[tuple[str, str, int]]:
    return [(name, WORDS[name], getattr(tally, name)) for name in STATUSES]


def _grid(page: Page) -> str:
    """The resolution of the heatmaps on a page, in words; empty where there are none."""
    maps = (prediction.activation for prediction in page if prediction.activation)
    rows = next(maps, None)
    return f"{len(rows[0])} × {len(rows)}" if rows else ""
