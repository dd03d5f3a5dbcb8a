"""Results as files: one row an image, or a red cell, however many there are."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from . import access, cells, counting, reviews
from .counting import Found
from .models import Cell, CellReview, Prediction, Review, Slide
from .verdict import RESEARCH_USE, TRAINED_ON, of_image
from .words import english

Response = TypeVar("Response", bound=HttpResponseBase)
CELLS = {"red cells": "counted"} | {
    f"{name} cells": name
    for name in ("parasitized", "uncertain", "edge", "rejected", "removed", "reviewed")
}
COLUMNS = (
    "slide", "slide concluded", "image", "kind", "counts as", *CELLS, "label", "probability",
    "decision", "reasons", "state", "error", "model", "reviewed", "reviews", "reviewed at",
    "uploaded by", "uploaded at", "read at", "notice",
)  # fmt: skip
"""What people conclude of the whole slide stands over what its images count as. `counts as` is what
people said together or, without them, the model, and so are the cells, which only a field has: the
red ones are those that count. Label, probability and decision are always the model's own."""
CELL_COLUMNS = (
    "slide", "slide concluded", "image", "cell", "x", "y", "width", "height", "counts as", "label",
    "probability", "decision", "reasons", "model", "reviewed", "reviews", "reviewed at", "notice",
)  # fmt: skip
"""Boxes are in pixels of the upright image. A cell that a person added has no model."""
NOTICE = f"{RESEARCH_USE} {TRAINED_ON}"
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet take a text for a formula (the wide forms too)."""
ROWS_IN_MEMORY = 500


def csv_response(
    slides: QuerySet[Slide], filename: str, user: access.Visitor
) -> StreamingHttpResponse:
    """`filename` is without an ending; `user` is who asks."""
    return streamed(csv_lines(slides, user), filename)


def streamed(lines: Iterator[str], filename: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    return as_private_file(response, f"{filename}.csv")


def as_private_file(response: Response, filename: str) -> Response:
    response["Content-Disposition"] = f'attachment; filename="{_plain(filename)}"'
    response["Cache-Control"] = "private, no-store"
    return response


def csv_lines(slides: QuerySet[Slide], user: access.Visitor) -> Iterator[str]:
    out = writer()
    yield out.writerow(COLUMNS)
    found = Prediction.objects.filter(slide__in=slides.order_by().values("pk"), is_current=True)
    found = found.select_related("image__uploaded_by", "slide", "model")
    found = found.defer("activation", "model__manifest", "model__metrics")
    found = found.prefetch_related(reviews.with_reviews(user))
    found = found.order_by("-slide__created_at", "-slide_id", "image__created_at", "image_id")
    rows = found.iterator(chunk_size=ROWS_IN_MEMORY)
    while chunk := list(islice(rows, ROWS_IN_MEMORY)):
        found_cells = counting.of_predictions(chunk)
        for prediction in chunk:
            row = _row(prediction, found_cells.get(prediction.pk))
            yield out.writerow([harmless(value) for value in row])


def _row(prediction: Prediction, found: Found | None) -> Sequence[str]:
    image = prediction.image
    probability = prediction.probability
    said: list[Review] = image.standing_reviews  # type: ignore[attr-defined]
    return (
        prediction.slide.code,
        prediction.slide.concluded,
        image.name,
        image.kind,
        of_image(prediction),
        *(str(getattr(found, name)) if found else "" for name in CELLS.values()),
        prediction.label,
        "" if probability is None else f"{probability:.4f}",
        prediction.decision,
        "; ".join(prediction.reasons),
        prediction.state,
        prediction.error,
        prediction.model.name,
        image.reviewed,
        "; ".join(_words(review) for review in said),
        time(said[-1].created_at if said else None),
        image.uploaded_by.get_username() if image.uploaded_by else "",
        time(image.created_at),
        time(prediction.finished_at),
        NOTICE,
    )


def cell_lines(slide: Slide, user: access.Visitor) -> Iterator[str]:
    """A row for each red cell found in its fields or added by a person."""
    out = writer()
    yield out.writerow(CELL_COLUMNS)
    for cell in cells.of_slide(slide, user).iterator(chunk_size=ROWS_IN_MEMORY):
        yield out.writerow([harmless(value) for value in _cell_row(slide, cell)])


def _cell_row(slide: Slide, cell: Cell) -> Sequence[str]:
    said: list[CellReview] = cell.standing  # type: ignore[attr-defined]
    return (
        slide.code,
        slide.concluded,
        cell.image.name,
        str(cell.number),
        *map(str, cell.box),
        counting.of_cell(cell),
        cell.label,
        "" if cell.probability is None else f"{cell.probability:.4f}",
        cell.decision,
        "; ".join(cell.reasons),
        cell.prediction.model.name if cell.prediction else "",
        cell.reviewed,
        "; ".join(_words(review) for review in said),
        time(said[-1].created_at if said else None),
        NOTICE,
    )


@english()
def _words(review: Review | CellReview) -> str:
    who = review.reviewer.get_username() if review.reviewer else "a former member"
    note = f" ({review.comment})" if review.comment else ""
    return f"{who}: {review.get_label_display().lower()}{note}"


def time(moment: datetime | None) -> str:
    return timezone.localtime(moment).isoformat(timespec="seconds") if moment else ""


def harmless(text: str) -> str:
    """A file called "=cmd|..." must stay a text in a spreadsheet."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _plain(filename: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in filename)


def writer() -> Any:
    return csv.writer(_Echo())


class _Echo:
    """A file that hands back what is written: csv.writer wants one."""

    def write(self, line: str) -> str:
        return line
