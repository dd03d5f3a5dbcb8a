"""A slide is analysed again by the active version, or an image as another kind; what was said of it
before stays beside."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import audit, current, intake, registry, tasks, verdict
from .models import (
    PENDING_STATES,
    READ_STATES,
    Action,
    ModelVersion,
    Prediction,
    Slide,
    SmearImage,
    State,
)

CLOSED = gettext_noop(
    "Somebody has closed their reading of this slide, with this image as it is: so it stays."
)


class Closed(ValueError):
    """The text is a sentence for people."""


@dataclass(frozen=True)
class Standing:
    """How the images of a slide stand to the active version."""

    version: ModelVersion | None = None
    """Told where some image was not read by it alone."""
    outdated: int = 0
    """Read by another version, and not on the way to be read by this one."""
    pending: int = 0
    """On the way to be read again; their former results count until then."""
    failed: int = 0
    """Of the outdated ones: reading them again failed."""
    closed: int = 0
    """Read by another version, which stays: a reader has closed their reading of it."""

    @property
    def seen(self) -> str:
        """Changes with what the page says of it."""
        version = self.version.pk if self.version else 0
        return f"{version}.{self.outdated}.{self.pending}.{self.closed}"


def standing(slide: Slide) -> Standing:
    as_read = {"model__is_active": True, "kind": F("image__kind"), "is_current": True}
    if not slide.predictions.exclude(**as_read).exists():
        return Standing()  # so it is with most slides, and each time their page asks
    version = ModelVersion.objects.filter(is_active=True).first()
    if version is None:
        return Standing()
    waits, beside = Q(state__in=PENDING_STATES), Q(is_current=False)
    settled = waits | current.hides_opinions()
    own = Q(model=version, kind=F("image__kind"))
    old, closed = ~waits & ~beside & ~own, current.is_closed()
    counts = slide.predictions.aggregate(
        old=Count("pk", filter=old & ~closed),
        closed=Count("pk", filter=old & closed),
        coming=Count("pk", filter=settled & beside & own),
        pending=Count("pk", filter=waits & beside),
        failed=Count("pk", filter=Q(state=State.FAILED) & beside & own),
    )
    # A row of the active version that is beside another stands beside an outdated one.
    old, coming = counts.pop("old"), counts.pop("coming")
    return Standing(version, old - coming, **counts)


def outdated(slide: Slide, version: ModelVersion) -> QuerySet[Prediction]:
    """The current readings by other versions, of images that this one is not reading now.

    Nor those that it rejected while people had spoken of their cells, or that are closed.
    """
    coming = Prediction.objects.filter(
        Q(state__in=PENDING_STATES) | current.hides_opinions(),
        image=OuterRef("image"),
        model=version,
        kind=OuterRef("image__kind"),
    )
    finished = slide.predictions.filter(is_current=True).exclude(state__in=PENDING_STATES)
    others = finished.exclude(model=version, kind=F("image__kind")).exclude(Exists(coming))
    return others.exclude(current.is_closed())


def others() -> Prefetch:
    """For queries of predictions: the image's other readings as `image.others`, newest first."""
    rows = Prediction.objects.filter(is_current=False).defer("activation").order_by("-queued_at")
    rows = rows.select_related("model", "band")
    return Prefetch("image__predictions", rows, to_attr="others")


def analyse_again(slide: Slide) -> int:
    """How many images the active version now reads, or has read before: these count at once.

    The new readings wait beside the old ones; doing it twice adds nothing. Raises
    registry.NoModel.
    """
    version = registry.active_model()
    with transaction.atomic():
        current.lock([slide.pk])  # of two clicks, the later sees what the first did
        rows = list(outdated(slide, version).only("pk", "image_id", "state"))
        if rows:
            audit.note(Action.READ_AGAIN, slide, version=(None, version.name))
        ids = _queue(slide, version, rows)
        verdict.recount([slide.pk])
        transaction.on_commit(partial(tasks.send, ids), robust=True)
    return len(rows)


def read_as(image: SmearImage, kind: str) -> bool:
    """A person says what an image is: it is read as that, while the old reading counts. One that
    is not there yet is not waited for.

    False: it is taken for this already. Raises registry.NoModel, or Closed.
    """
    version, slide = registry.active_model(), image.slide
    with transaction.atomic():
        current.lock([slide.pk])
        if image.predictions.filter(current.is_closed(), is_current=True).exists():
            raise Closed(_(CLOSED))
        if not slide.images.filter(pk=image.pk).exclude(kind=kind).update(kind=kind):
            return False
        audit.note(Action.CHANGED, image, kind=(image.kind, kind))
        rows = list(outdated(slide, version).filter(image=image).only("pk", "image_id", "state"))
        waits = image.predictions.filter(is_current=True, state__in=PENDING_STATES)
        other = waits.exclude(kind=kind)
        ids = [*intake.as_new(other, version), *_queue(slide, version, rows)]
        verdict.recount([slide.pk])
        transaction.on_commit(partial(tasks.send, ids), robust=True)
    return True


def _queue(slide: Slide, version: ModelVersion, rows: Iterable[Prediction]) -> list[int]:
    """The ids of what has to be read."""
    images = {row.image_id for row in rows if row.state in READ_STATES}
    known = slide.predictions.filter(model=version, image__in=images, kind=F("image__kind"))
    current.take_over(list(known.values_list("pk", flat=True)))
    never = [row.pk for row in rows if row.state == State.FAILED]
    broken = [*never, *known.filter(state=State.FAILED).values_list("pk", flat=True)]
    new = images - set(known.values_list("image_id", flat=True))
    return [*intake.queue_again(broken, version), *_new(slide, version, new)]


def _new(slide: Slide, version: ModelVersion, image_ids: Iterable[UUID]) -> list[int]:
    now = timezone.now()
    made = Prediction.objects.bulk_create(
        Prediction(
            image=image, slide=slide, model=version, kind=image.kind, is_current=False, sent_at=now
        )
        for image in SmearImage.objects.filter(pk__in=list(image_ids)).order_by("pk")
    )
    return [row.pk for row in made]
