"""Who may not see yet what others said of a slide: everything that shows opinions asks here.

A slide may be read by two people. Whoever reviews in its laboratory sees there what the machine
said and what they said themselves, until they have closed their own reading or both readings are
closed. Technicians, who do not read, see everything.

What is counted needs no question: until both readings are closed no opinion counts
(`Slide.counts_opinions`), so verdicts, counts, summaries, searches and orders hold none.
"""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from .access import Visitor, reviewing
from .models import Action, CellReview, Review, Slide, SlideReading


def hidden_slides(user: Visitor) -> QuerySet[Slide]:
    """Those whose readings by others this person may not see."""
    closed = SlideReading.objects.filter(
        slide=OuterRef("pk"), reader_id=user.pk, closed_at__isnull=False
    )
    return Slide.objects.filter(
        ~Exists(closed),
        is_read_twice=True,
        readings_closed_at=None,
        laboratory__in=reviewing(user).values("laboratory"),
    )


def hides(user: Visitor, slide: Slide) -> bool:
    return slide.is_read_twice and hidden_slides(user).filter(pk=slide.pk).exists()


def reviews(user: Visitor) -> QuerySet[Review]:
    """Those that stand, as this person may see them."""
    return Review.objects.filter(_seen(user, "image__slide__in"), is_standing=True)


def cell_reviews(user: Visitor) -> QuerySet[CellReview]:
    """The same of cells."""
    found = CellReview.objects.filter(_seen(user, "cell__image__slide__in"), is_standing=True)
    return found.select_related("reviewer")


def hidden_events(user: Visitor, laboratory: UUID) -> Q:
    """What others did in readings this person may not see; for the trail of a laboratory."""
    hidden = list(hidden_slides(user).filter(laboratory=laboratory).values_list("pk", flat=True))
    if not hidden:
        return Q(pk__in=[])
    subjects = {
        "slidereading": SlideReading.objects.filter(slide__in=hidden).values_list("pk"),
        "smearimage": Review.objects.filter(image__slide__in=hidden).values_list("image"),
        "cell": CellReview.objects.filter(cell__image__slide__in=hidden).values_list("cell"),
    }
    found = Q()
    for kind, ids in subjects.items():
        found |= Q(kind=kind, subject__in=[str(pk) for (pk,) in ids.distinct()])
    return found & Q(action__in=(Action.MADE, Action.REVIEWED)) & ~Q(by=user.pk)


def _seen(user: Visitor, slides: str) -> Q:
    return Q(reviewer_id=user.pk) | ~Q(**{slides: hidden_slides(user).values("pk")})
