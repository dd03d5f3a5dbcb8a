"""What a worker does: claim predictions, read their images, save; and sweep up what was left.

The row is the truth, a message only says "look at these". So a message may come twice, late or
never: whoever claims no row walks away, and the sweep sends again what no message led to.
"""

import io
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from PIL import Image

from ml.artifact import ArtifactError, read_manifest
from ml.decisions import decide

from . import bulk, current, post, pulse, registry, storage, verdict
from .counting import Found
from .models import Band, Cell, Decision, Kind, ModelVersion, Prediction, State

if TYPE_CHECKING:
    from ml.field_reading import FieldCell
    from ml.fields import Finder
    from ml.predictor import CellPrediction, Predictor

logger = logging.getLogger(__name__)

BATCH_PIXELS = 40_000_000
"""A batch is cut here, so that 64 large photographs do not fill a worker's memory."""
SENT_AT_ONCE = 10_000
CELLS_AT_ONCE = 500
PATIENCE = {"socket_connect_timeout": 2, "socket_timeout": 2}
"""A page waits while its images are sent: a broker that is silent is soon left alone."""
CLOCKS_DIFFER = timedelta(seconds=5)
PAUSE = 1
"""Seconds that a worker which can read nothing leaves the next message to others."""
READING = [
    "state", "label", "probability", "decision", "band_id", "reasons", "activation", "finder",
    "error",
]  # fmt: skip

LONGEST_REASON = Prediction._meta.get_field("error").max_length
"""What an engine says of a broken model may be longer."""
NOTHING_COUNTS = "No cell of this field can be counted: all are cut by its edge or rejected."
UNREADABLE = "The stored image cannot be opened any more."
TOO_SLOW = "Reading took too long and was stopped."
BROKE_OFF = "The worker broke off each time it read this image."
ERROR = "An error stopped the reading ({name})."


class Lacking(Exception):
    """This worker can read nothing now, and no image is at fault: all wait for what it lacks."""

    def __init__(self, what: str, reason: object) -> None:
        super().__init__(str(reason))
        self.what = what


class Unreadable(Exception):
    """The file of one image cannot be read, while those of others can."""


def send(prediction_ids: Sequence[int], size: int | None = None) -> None:
    """Wake workers. Without a broker nothing is lost: the next sweep sends what is marked here."""
    size = size or settings.CHUNK
    sent = 0
    try:
        with analyse.app.connection_for_write(transport_options=PATIENCE) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            for sent in range(0, len(prediction_ids), size):
                chunk = list(prediction_ids[sent : sent + size])
                analyse.apply_async((chunk,), retry=False, connection=connection)  # type: ignore[call-arg]
    except Exception as error:  # each broker has its own kinds
        logger.warning("The broker cannot be reached, a sweep will send: %s", error)
        unsent = Prediction.objects.filter(pk__in=prediction_ids[sent:], state=State.QUEUED)
        unsent.update(sent_at=None)


@shared_task
def analyse(prediction_ids: list[int]) -> None:
    """Read the images of those predictions that are still queued, and of other cells up to a chunk.

    A first attempt takes all crops of cells in one batch. A whole field is claimed alone, just
    before it is read; from the second attempt on a crop is, too: an image that kills its worker
    then uses up no attempt but its own.
    """
    try:
        _analyse(prediction_ids)
    except Lacking as lacking:
        _wait(lacking)


def _wait(lacking: Lacking) -> None:
    """The next sweep sends again what was given back; workers that lack nothing go on meanwhile."""
    logger.error("Images wait: %s", lacking)
    pulse.lacks(lacking.what)
    time.sleep(PAUSE)


def _analyse(prediction_ids: list[int]) -> None:
    until = time.monotonic() + settings.ANALYSIS_SOFT_TIME_LIMIT / 2
    _attempt(_claim(_with_others(prediction_ids), attempts=0, kind=Kind.CELL))
    alone = Prediction.objects.filter(pk__in=prediction_ids, state=State.QUEUED)
    left = list(alone.order_by("pk").values_list("pk", flat=True))
    while left and time.monotonic() < until:
        _attempt(_claim([left.pop(0)]))
    if left:
        Prediction.objects.filter(pk__in=left, state=State.QUEUED).update(sent_at=timezone.now())
        send(left)


def _with_others(prediction_ids: list[int]) -> list[int]:
    """Pages send each file on its own; a full batch takes hardly longer than one image."""
    waiting = Prediction.objects.filter(state=State.QUEUED, attempts=0, kind=Kind.CELL)
    others = waiting.exclude(pk__in=prediction_ids).order_by("sent_at").values_list("pk", flat=True)
    return [*prediction_ids, *others[: max(0, settings.CHUNK - len(prediction_ids))]]


@dataclass(frozen=True)
class Claim:
    """Rows that one worker holds, for as long as they carry its token."""

    token: UUID
    rows: list[Prediction]
    cells: dict[int, list[Cell]] = field(default_factory=dict)
    """What was found in the fields among the rows."""

    def held(self) -> QuerySet[Prediction]:
        """Without those that were taken away meanwhile, from a worker that hung and woke up."""
        ids = [row.pk for row in self.rows]
        return Prediction.objects.filter(pk__in=ids, token=self.token, state=State.RUNNING)

    def save(self, rows: Sequence[Prediction]) -> None:
        beside = [row.pk for row in rows if not row.is_current]
        slides = {row.slide_id for row in rows}
        with transaction.atomic():
            current.lock(slides)  # before their rows, and all at once, as everybody does
            self._save_cells(rows)
            mine = list(self.held().filter(pk__in=beside).values_list("pk", flat=True))
            bulk.write(self.held(), rows, READING, token=None, finished_at=timezone.now())
            current.take_over(mine)
            verdict.recount(slides)
        pulse.answered()

    def _save_cells(self, rows: Sequence[Prediction]) -> None:
        fields = [row for row in rows if row.kind == Kind.FIELD]
        if not fields:
            return
        held = set(self.held().select_for_update(no_key=True).values_list("pk", flat=True))
        cells = [cell for row in fields if row.pk in held for cell in self.cells.get(row.pk, ())]
        Cell.objects.bulk_create(cells, batch_size=CELLS_AT_ONCE)

    def give_back(self, reason: str) -> None:
        _give_back(self.held(), reason)

    def release(self) -> None:
        """To the queue as if it had not been claimed: nothing was tried."""
        self.held().update(state=State.QUEUED, token=None, sent_at=None, attempts=F("attempts") - 1)

    def pass_on(self, version: ModelVersion, reason: str) -> None:
        """What a version was to read that is not active any more, and not here either.

        The active one reads it, unless an earlier result counts. Raises Lacking without one.
        """
        active = ModelVersion.objects.filter(is_active=True).first()
        if active is None:
            raise Lacking(pulse.MODEL, reason)
        mine = self.held().filter(model=version)
        mine.filter(is_current=True).update(
            model=active, band=None, state=State.QUEUED, token=None, sent_at=None, attempts=0
        )
        mine.filter(is_current=False).update(
            state=State.FAILED,
            error=reason[:LONGEST_REASON],
            token=None,
            finished_at=timezone.now(),
        )


@transaction.atomic
def _give_back(running: QuerySet[Prediction], reason: str) -> None:
    """To the queue; or, after the last attempt, to a person, with the reason."""
    spent = list(running.filter(attempts__gte=settings.MAX_ATTEMPTS))
    current.lock({row.slide_id for row in spent})
    running.filter(pk__in=[row.pk for row in spent]).update(
        state=State.FAILED, error=reason[:LONGEST_REASON], token=None, finished_at=timezone.now()
    )
    verdict.recount({row.slide_id for row in spent})
    running.filter(attempts__lt=settings.MAX_ATTEMPTS).update(
        state=State.QUEUED, token=None, sent_at=None
    )


def _claim(prediction_ids: list[int], **conditions: Any) -> Claim:
    token = uuid4()
    waiting = Prediction.objects.filter(pk__in=prediction_ids, state=State.QUEUED, **conditions)
    claimed = waiting.update(
        state=State.RUNNING, token=token, attempts=F("attempts") + 1, started_at=Now()
    )
    if not claimed:
        return Claim(token, [])
    held = Prediction.objects.filter(pk__in=prediction_ids, token=token)
    return Claim(token, list(held.select_related("image", "model").order_by("model", "pk")))


def _attempt(claim: Claim) -> None:
    try:
        for version, rows in groupby(claim.rows, key=lambda row: row.model):
            _read_with(version, claim, rows)
    except SoftTimeLimitExceeded:
        claim.give_back(TOO_SLOW)
        raise
    except ArtifactError as error:
        claim.release()
        raise Lacking(pulse.MODEL, error) from None
    except (Lacking, OperationalError, InterfaceError):  # nor is a database in trouble an image's
        claim.release()
        raise
    except Unreadable as error:
        logger.warning("%s", error)
        claim.give_back(UNREADABLE)
    except Exception as error:
        logger.exception("Reading broke off")
        claim.give_back(ERROR.format(name=type(error).__name__))


def _read_with(version: ModelVersion, claim: Claim, rows: Iterable[Prediction]) -> None:
    try:
        predictor = predictor_of(version)
    except ArtifactError as error:
        if version.is_active:
            raise
        claim.pass_on(version, str(error))
        return
    for part in _portions(rows):
        claim.cells.update(_read(predictor, part, registry.band_of(version)))
        claim.save(part)


def _portions(rows: Iterable[Prediction]) -> Iterator[list[Prediction]]:
    part: list[Prediction] = []
    pixels = 0
    for row in rows:
        size = row.image.width * row.image.height
        if part and pixels + size > BATCH_PIXELS:
            yield part
            part, pixels = [], 0
        part.append(row)
        pixels += size
    yield part


def _read(
    predictor: "Predictor", rows: Sequence[Prediction], band: Band | None
) -> dict[int, list[Cell]]:
    """The cells of those rows that are fields."""
    opened = [(row, image) for row in rows if (image := _open(row))]
    fields = [(row, image) for row, image in opened if row.kind == Kind.FIELD]
    crops = [(row, image) for row, image in opened if row.kind == Kind.CELL]
    results = predictor.predict([image for _, image in crops]) if crops else []
    for (row, _), result in zip(crops, results, strict=True):
        _note(row, result, band)
    return {row.pk: _read_field(predictor, row, image, band) for row, image in fields}


def _read_field(
    predictor: "Predictor", row: Prediction, image: Image.Image, band: Band | None
) -> list[Cell]:
    from ml.field_reading import FieldReader

    reading = FieldReader(predictor, finder()).read(image)
    cells = [_cell(row, number, cell, band) for number, cell in enumerate(reading.cells, 1)]
    found = Found()
    for cell in cells:
        found.add(cell.is_cut, cell.decision, "")
    row.decision, row.reasons = found.decision, list(reading.reasons)
    if reading.decision == Decision.REJECTED or not row.decision:
        row.decision, row.reasons = Decision.REJECTED, row.reasons or [NOTHING_COUNTS]
    row.state = State.REJECTED if row.decision == Decision.REJECTED else State.DONE
    row.finder, row.band = reading.finder, band
    return cells


def _cell(row: Prediction, number: int, cell: "FieldCell", band: Band | None) -> Cell:
    x, y, width, height = cell.box
    return Cell(
        image_id=row.image_id,
        prediction=row,
        number=number,
        x=x,
        y=y,
        width=width,
        height=height,
        is_cut=cell.edge,
        label=cell.said.label,
        probability=cell.said.probability,
        decision=_decision(cell.said, band),
        reasons=list(cell.said.reasons),
        activation=_rows(cell.said),
    )


def _open(row: Prediction) -> Image.Image | None:
    """Our own PNG, as `intake` wrote it. If a disk lost or damaged it, this row alone fails."""
    content = _content(row)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        logger.warning("The file of prediction %s cannot be opened: %s", row.pk, error)
        row.state, row.error = State.FAILED, UNREADABLE
        return None


def _content(row: Prediction) -> bytes:
    """Empty where the file alone is lost. Raises Unreadable, which may pass, or Lacking."""
    try:
        with row.image.file.open() as file:
            return bytes(file.read())
    except (SoftTimeLimitExceeded, MemoryError):
        raise
    except Exception as error:  # each storage has its own kinds
        if not storage.is_at_fault(row.image, error):
            raise Lacking(pulse.STORAGE, error) from error
        if isinstance(error, FileNotFoundError):
            return b""
        raise Unreadable(f"The file of prediction {row.pk} cannot be read: {error}") from error


def _note(row: Prediction, result: "CellPrediction", band: Band | None) -> None:
    row.state = State.REJECTED if result.decision == Decision.REJECTED else State.DONE
    row.label = result.label
    row.probability = result.probability
    row.decision = _decision(result, band)
    row.band = band
    row.reasons = list(result.reasons)
    row.activation = _rows(result)


def _decision(result: "CellPrediction", band: Band | None) -> str:
    if band and band.thresholds and not result.reasons:
        return decide(result.probability, band.thresholds)
    return result.decision


def _rows(result: "CellPrediction") -> list[list[float]]:
    return [[round(value, 4) for value in line] for line in result.activation]


def predictor_of(version: ModelVersion) -> "Predictor":
    """Loaded once in each process. Raises ArtifactError."""
    return _loaded(registry.folder_of(version), version.fingerprint)


@lru_cache(maxsize=2)
def _loaded(folder: Path, fingerprint: str) -> "Predictor":
    from ml.predictor import Predictor

    if read_manifest(folder).fingerprint != fingerprint:
        raise ArtifactError(f"Another model lies where {folder.name} was.")
    return Predictor.load_checked(folder, settings.MODEL_ENGINE, settings.ENGINE_THREADS)


@lru_cache(maxsize=1)
def finder() -> "Finder":
    """Loaded once in each process. Raises ArtifactError."""
    from ml.fields import Finder

    return Finder.load(threads=settings.ENGINE_THREADS or None)


def load_active_model() -> None:
    """At a worker's start, so that nobody waits for it later."""
    try:
        predictor_of(registry.active_model())
        finder()
    except registry.NoModel as error:
        logger.error("%s", error)
    except ArtifactError as error:
        logger.error("%s", error)
        pulse.lacks(pulse.MODEL)


@shared_task
def sweep(sent: float | None = None) -> None:
    """Put back what a lost worker held, and send again what no message led to.

    `sent` is when this sweep was put into the queue (seconds since 1970). Messages come in order:
    what was sent before it and still waits has lost its message, while a long queue behind it is
    in good health and is left alone.
    """
    pulse.seen()
    now = timezone.now()
    before = datetime.fromtimestamp(sent, UTC) if sent else now - 2 * _seconds("SWEEP_SECONDS")
    _put_back()
    _send_again(now, before - CLOCKS_DIFFER)
    post.deliver()


def _seconds(setting: str) -> timedelta:
    return timedelta(seconds=getattr(settings, setting))


def _put_back() -> None:
    """By the database's clock, as they were claimed: those of several hosts may differ."""
    lease = _seconds("LEASE_SECONDS")
    clock_went_back = Q(started_at__gt=Now() + lease)
    lost = Q(started_at__lt=Now() - lease) | clock_went_back
    _give_back(Prediction.objects.filter(lost, state=State.RUNNING), BROKE_OFF)


def _send_again(now: datetime, before: datetime) -> None:
    clock_went_back = Q(sent_at__gt=now + CLOCKS_DIFFER)
    overdue = Prediction.objects.filter(
        Q(sent_at=None) | Q(sent_at__lt=before) | clock_went_back, state=State.QUEUED
    )
    rows = list(overdue.order_by("pk").values_list("pk", "attempts")[:SENT_AT_ONCE])
    fresh = [pk for pk, attempts in rows if not attempts]
    broken_off = [pk for pk, attempts in rows if attempts]
    for size, ids in ((settings.CHUNK, fresh), (1, broken_off)):
        for start in range(0, len(ids), settings.CHUNK):
            part = ids[start : start + settings.CHUNK]
            if overdue.filter(pk__in=part).update(sent_at=now):  # else another sweep was faster
                send(part, size)
