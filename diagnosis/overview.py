"""The slides of one page of the history, each with its result and its first pictures."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from . import verdict
from .models import Slide, SmearImage

PICTURES = 4


@dataclass(frozen=True)
class Row:
    slide: Slide
    tally: verdict.Tally
    images: list[UUID]

    @property
    def more(self) -> int:
        return self.tally.total - len(self.images)


def rows(slides: Iterable[Slide]) -> list[Row]:
    """Three queries, however many slides."""
    slides = list(slides)
    tallies, images = verdict.tallies(slides), _first_images(slides)
    return [Row(slide, tallies[slide.pk], images[slide.pk]) for slide in slides]


def _first_images(slides: list[Slide]) -> dict[UUID, list[UUID]]:
    place = Window(RowNumber(), partition_by=F("slide"), order_by=["created_at", "id"])
    found = SmearImage.objects.filter(slide__in=[slide.pk for slide in slides])
    first = found.annotate(place=place).filter(place__lte=PICTURES).order_by("place")
    images = defaultdict(list)
    for slide, image in first.values_list("slide", "pk"):
        images[slide].append(image)
    return images
