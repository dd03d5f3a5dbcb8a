"""An uploaded file becomes a stored image with a queued prediction, or a refusal in words."""

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import PurePath
from uuid import UUID

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ml import sandbox
from ml.decisions import decide
from ml.limits import MAX_BYTES, UnreadableImage

from . import audit, current, phrases, registry, storage, tasks, verdict
from .counting import Found
from .models import (
    READ_STATES,
    Action,
    Cell,
    Decision,
    Kind,
    ModelVersion,
    Prediction,
    Slide,
    SmearImage,
    State,
)

logger = logging.getLogger(__name__)

REPEATED = (
    "state", "label", "probability", "decision", "reasons", "activation", "finder",
    "finished_at",
)  # fmt: skip


@dataclass(frozen=True)
class Receipt:
    """What became of one uploaded file: an image, or a refusal in words.

    `code` is for programs: "new", "on-this-slide", "on-another-slide" or the kind of refusal.
    """

    name: str
    image: SmearImage | None = None
    refusal: str = ""
    note: str = ""
    code: str = "new"


def receive(slide: Slide, files: Iterable[UploadedFile], user: User) -> list[Receipt]:
    """One receipt a file, in their order: a bad file does not hold up the good ones.

    Raises registry.NoModel while there is no model to read them.
    """
    upload = Upload(slide, user, registry.active_model())
    try:
        receipts = [upload.take(file) for file in files]
        upload.write_rows()
    finally:
        upload.remove_files_without_row()
    return [upload.settled(receipt) for receipt in receipts]


class Upload:
    """The files of one call; `new` are the images stored for it, by their SHA-256."""

    def __init__(self, slide: Slide, user: User, model: ModelVersion) -> None:
        self.slide, self.user, self.model = slide, user, model
        self.band = registry.band_of(model)
        self.new: dict[str, SmearImage] = {}
        self.rows: dict[str, SmearImage] = {}
        self.elsewhere: dict[str, list[Prediction]] = defaultdict(list)

    def take(self, file: UploadedFile) -> Receipt:
        name = shown_name(file.name or "")
        try:
            decoded = sandbox.decode(file.read(MAX_BYTES + 1))
            return self._keep(name, decoded)
        except UnreadableImage as refusal:
            return Receipt(name, refusal=phrases.shown(str(refusal)), code=refusal.code)

    def _keep(self, name: str, decoded: sandbox.Decoded) -> Receipt:
        twin = (
            self.new.get(decoded.sha256) or self.slide.images.filter(sha256=decoded.sha256).first()
        )
        if twin:
            return _repeated(Receipt(name, twin))
        image = SmearImage(
            slide=self.slide,
            name=name,
            kind=decoded.kind,
            sha256=decoded.sha256,
            width=decoded.width,
            height=decoded.height,
            stored_bytes=len(decoded.png),
            uploaded_by=self.user,
        )
        _store(image, decoded.png)
        self.new[image.sha256] = image
        return Receipt(name, image)

    def write_rows(self) -> None:
        if not self.new:
            return
        with transaction.atomic():
            # Whoever signed meanwhile signed without them: they come now, not when decoding began.
            current.lock([self.slide.pk])
            if not Slide.objects.filter(pk=self.slide.pk, deleted_at=None).exists():
                return
            now = timezone.now()
            for place, image in enumerate(self.new.values()):  # one after the other, by any clock
                image.created_at = now + timedelta(microseconds=place)
            # In one order everywhere: two uploads of the same pictures wait, not deadlock.
            images = [self.new[key] for key in sorted(self.new)]
            SmearImage.objects.bulk_create(images, ignore_conflicts=True)
            rows = self.slide.images.filter(sha256__in=list(self.new))
            self.rows = {row.sha256: row for row in rows}
            mine = [image for image in self.new.values() if self._is_mine(image)]
            ids = self._write_predictions(mine)
            if mine:
                names = [image.name for image in mine]
                audit.note(Action.UPLOADED, self.slide, images=(None, names))
            transaction.on_commit(partial(tasks.send, ids), robust=True)

    def _is_mine(self, image: SmearImage) -> bool:
        """Not so where another upload of the same picture was faster."""
        return self.rows[image.sha256].pk == image.pk

    def _write_predictions(self, images: list[SmearImage]) -> list[int]:
        """The ids of those that have to be read."""
        self._look_elsewhere(images)
        made = Prediction.objects.bulk_create(self._prediction(image) for image in images)
        _repeat_cells([row for row in made if row.same_as_id and row.kind == Kind.FIELD])
        verdict.recount([self.slide.pk])
        return [row.pk for row in made if row.state == State.QUEUED]

    def _look_elsewhere(self, images: list[SmearImage]) -> None:
        """The same pictures on other slides of this laboratory, and of no other."""
        found = Prediction.objects.filter(
            image__sha256__in=[image.sha256 for image in images],
            slide__laboratory=self.slide.laboratory_id,
            slide__deleted_at=None,
            is_current=True,
        ).exclude(slide=self.slide)
        for row in found.select_related("image", "slide", "band").order_by("pk"):
            self.elsewhere[row.image.sha256].append(row)

    def _prediction(self, image: SmearImage) -> Prediction:
        row = Prediction(
            image=image,
            slide=self.slide,
            model=self.model,
            kind=image.kind,
            sent_at=timezone.now(),
        )
        for earlier in self.elsewhere.get(image.sha256, ()):
            if _can_be_repeated(earlier, row):
                for name in REPEATED:
                    setattr(row, name, getattr(earlier, name))
                row.same_as_id = earlier.same_as_id or earlier.pk
                row.band = self.band
                if earlier.band != self.band:
                    _decide(row, row)
                break
        return row

    def remove_files_without_row(self) -> None:
        """After a failed transaction, or where another upload of the same picture was faster."""
        try:
            kept = SmearImage.objects.filter(pk__in=[image.pk for image in self.new.values()])
            rows = set(kept.values_list("pk", flat=True)) if self.new else set()
        except Exception:
            logger.exception("Files may be left without a row")
            return
        for image in self.new.values():
            if image.pk not in rows:
                image.file.delete(save=False)

    def settled(self, receipt: Receipt) -> Receipt:
        image = receipt.image
        if image is None or self.new.get(image.sha256) is not image:
            return receipt
        if not self.rows:
            refusal = _("This slide was deleted meanwhile.")
            return Receipt(receipt.name, refusal=refusal, code="slide-deleted")
        if not self._is_mine(image):
            return _repeated(replace(receipt, image=self.rows[image.sha256]))
        slides = sorted({row.slide.code for row in self.elsewhere[image.sha256]})
        if receipt.code != "new" or not slides:
            return receipt
        note = ngettext(
            "The same picture is also on slide %(slides)s.",
            "The same picture is also on slides %(slides)s.",
            len(slides),
        )
        note %= {"slides": ", ".join(slides)}
        return replace(receipt, note=note, code="on-another-slide")


def _can_be_repeated(earlier: Prediction, row: Prediction) -> bool:
    same = (earlier.model_id, earlier.kind) == (row.model_id, row.kind)
    return same and earlier.state in READ_STATES


def _repeat_cells(rows: Iterable[Prediction]) -> None:
    for row in rows:
        cells = list(Cell.objects.filter(prediction=row.same_as_id))
        found = Found()
        for cell in cells:
            cell.pk, cell.prediction, cell.image, cell.reviewed = None, row, row.image, ""
            _decide(cell, row)
            found.add(cell.is_cut, cell.decision, "")
        Cell.objects.bulk_create(cells, batch_size=tasks.CELLS_AT_ONCE)
        if row.state == State.DONE:
            Prediction.objects.filter(pk=row.pk).update(decision=found.decision)


def _decide(said: Prediction | Cell, row: Prediction) -> None:
    """With the thresholds of now, which are not those of the reading that `row` repeats."""
    if said.decision != Decision.REJECTED and said.probability is not None and row.thresholds:
        said.decision = Decision(decide(said.probability, row.thresholds))


def _repeated(receipt: Receipt) -> Receipt:
    return replace(receipt, code="on-this-slide", note=_("Already on this slide: it counts once."))


def _store(image: SmearImage, png: bytes) -> None:
    """Raises UnreadableImage where the disk is full or away; no half file stays behind."""
    name = image.file.field.generate_filename(image, "")
    image.file.name = name
    try:
        storage.require()
        image.file.save("", ContentFile(png), save=False)
    except Exception:
        logger.exception("An image could not be stored")
        with suppress(Exception):  # nor deleted, then
            image.file.storage.delete(name)
        raise UnreadableImage(
            "not-stored", _("It could not be stored: tell whoever runs this site.")
        ) from None


def shown_name(name: str) -> str:
    """A file's name without its folders and without characters that control or disguise."""
    last = PurePath(name.replace("\\", "/")).name
    plain = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip()
    return plain[:200] or "unnamed"


def retry(image: SmearImage) -> bool:
    """Queue a failed reading again, for the model that is active now. False: it had not failed."""
    return bool(_retry(image, image.slide_id, image.predictions.all()))


def retry_all(slide: Slide) -> int:
    """The same for every failed image of a slide. How many there were."""
    return len(_retry(slide, slide.pk, slide.predictions.all()))


def _retry(thing: Slide | SmearImage, slide_id: UUID, rows: QuerySet[Prediction]) -> list[int]:
    model = registry.active_model()
    failed = rows.filter(is_current=True, state=State.FAILED)
    with transaction.atomic():
        current.lock([slide_id])
        ids = queue_again(failed.values_list("pk", flat=True), model)
        if ids:
            audit.note(Action.READ_AGAIN, thing, version=(None, model.name))
            verdict.recount([slide_id])
            transaction.on_commit(partial(tasks.send, ids), robust=True)
    return ids


def queue_again(prediction_ids: Iterable[int], model: ModelVersion) -> list[int]:
    """Those of them that had failed, now as new; the caller holds their slides and sends them."""
    failed = Prediction.objects.filter(pk__in=list(prediction_ids), state=State.FAILED)
    return as_new(failed, model)


def as_new(rows: QuerySet[Prediction], model: ModelVersion) -> list[int]:
    """Their ids: a worker that holds one of them has lost it."""
    ids, now = list(rows.values_list("pk", flat=True)), timezone.now()
    of_image = SmearImage.objects.filter(pk=OuterRef("image")).values("kind")
    rows.update(
        state=State.QUEUED,
        model=model,
        kind=Subquery(of_image),
        band=None,
        token=None,
        attempts=0,
        error="",
        queued_at=now,
        sent_at=now,
        started_at=None,
        finished_at=None,
    )
    return ids
