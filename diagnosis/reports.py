"""Results as files: one row an image, however many there are."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from .models import Prediction, Slide
from .verdict import RESEARCH_USE, TRAINED_ON

COLUMNS = (
    "slide", "image", "kind", "label", "probability", "decision", "reasons", "state", "error",
    "model", "uploaded by", "uploaded at", "read at", "notice",
)  # fmt: skip
NOTICE = f"{RESEARCH_USE} {TRAINED_ON}"
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet take a text for a formula (the wide forms too)."""
ROWS_IN_MEMORY = 500


def csv_response(slides: QuerySet[Slide], filename: str) -> StreamingHttpResponse:
    """`filename` is without an ending."""
    response = StreamingHttpResponse(csv_lines(slides), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{_plain(filename)}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


def csv_lines(slides: QuerySet[Slide]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    found = Prediction.objects.filter(slide__in=slides.order_by().values("pk"), is_current=True)
    found = found.select_related("image__uploaded_by", "slide", "model")
    found = found.order_by("-slide__created_at", "-slide_id", "image__created_at", "image_id")
    for prediction in found.iterator(chunk_size=ROWS_IN_MEMORY):
        yield writer.writerow([_harmless(value) for value in _row(prediction)])


def _row(prediction: Prediction) -> Sequence[str]:
    image = prediction.image
    probability = prediction.probability
    return (
        prediction.slide.code,
        image.name,
        image.kind,
        prediction.label,
        "" if probability is None else f"{probability:.4f}",
        prediction.decision,
        "; ".join(prediction.reasons),
        prediction.state,
        prediction.error,
        prediction.model.name,
        image.uploaded_by.get_username() if image.uploaded_by else "",
        _time(image.created_at),
        _time(prediction.finished_at),
        NOTICE,
    )


def _time(moment: datetime | None) -> str:
    return timezone.localtime(moment).isoformat(timespec="seconds") if moment else ""


def _harmless(text: str) -> str:
    """A file called "=cmd|..." must stay a text in a spreadsheet."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _plain(filename: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in filename)


class _Echo:
    """A file that hands back what is written: csv.writer wants one."""

    def write(self, line: str) -> str:
        return line
