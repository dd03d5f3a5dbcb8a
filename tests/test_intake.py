import io
import resource
import shutil
import threading
from contextlib import suppress
from functools import partial

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import DatabaseError
from django.utils import timezone
from kombu.exceptions import OperationalError
from PIL import Image

from diagnosis import deletion, intake, registry, signing, tasks, verdict
from diagnosis.models import Kind, ModelVersion, Prediction, Slide, SmearImage, State
from ml import sandbox
from ml.decisions import Thresholds
from ml.drawing import draw_cell, draw_field
from ml.limits import MAX_BYTES
from tests.databases import at_once, slow_down
from tests.people import laboratory_of
from tests.readings import active_model, failed, new_slide, png, read

CELL = draw_cell(1, parasitized=True)


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def slide(laboratory):
    active_model()
    return new_slide(laboratory, "S-1")


def upload(data: bytes, name: str = "cell.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def cell(seed: int = 1, name: str = "cell.png") -> SimpleUploadedFile:
    return upload(png(seed), name)


def written(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def stored_files(settings) -> list[str]:
    return sorted(path.name for path in settings.MEDIA_ROOT.rglob("*.png"))


@pytest.mark.django_db
class TestGoodFiles:
    def test_becomes_an_image_and_a_queued_prediction(self, slide, ada, settings):
        (receipt,) = intake.receive(slide, [upload(written(CELL, "PNG"), "a b.png")], ada)
        image = SmearImage.objects.get()
        assert (receipt.name, receipt.image, receipt.code) == ("a b.png", image, "new")
        assert (receipt.refusal, receipt.note) == ("", "")
        assert (image.name, image.kind, image.uploaded_by) == ("a b.png", "cell", ada)
        assert (image.width, image.height) == CELL.size
        prediction = image.predictions.get()
        assert (prediction.state, prediction.attempts) == (State.QUEUED, 0)
        assert prediction.model == registry.active_model()
        assert prediction.slide == slide
        assert verdict.tally(slide).pending == Slide.objects.get().pending == 1
        with Image.open(image.file) as stored:
            assert (stored.format, stored.tobytes()) == ("PNG", CELL.tobytes())

    def test_nothing_of_the_name_reaches_the_disk_and_metadata_are_gone(self, slide, ada, settings):
        exif = Image.Exif()
        exif[0x010F] = "marked-maker"
        data = written(CELL, "JPEG", exif=exif, comment=b"marked-comment")
        intake.receive(slide, [upload(data, "Mrs-Marked.jpg")], ada)
        (path,) = settings.MEDIA_ROOT.rglob("*.png")
        assert b"arked" not in path.read_bytes()
        assert "arked" not in str(path.relative_to(settings.MEDIA_ROOT))

    @pytest.mark.parametrize(
        ("format", "options"),
        [
            ("JPEG", {}),
            ("MPO", {"save_all": True, "append_images": [CELL.rotate(90)]}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("BMP", {}),
            ("WEBP", {"lossless": True}),
            ("AVIF", {}),
            ("HEIF", {}),
        ],
    )
    def test_the_format_is_found_in_the_file_and_not_in_its_name(self, slide, ada, format, options):
        import pillow_heif

        pillow_heif.register_heif_opener()
        data = written(CELL, format, **options)
        (receipt,) = intake.receive(slide, [upload(data, "cell.png")], ada)
        assert receipt.refusal == ""
        with Image.open(receipt.image.file) as stored:
            difference = sum(
                abs(a - b) for a, b in zip(stored.tobytes(), CELL.tobytes(), strict=True)
            )
        assert difference / len(CELL.tobytes()) < 4

    def test_files_that_django_put_on_the_disk(self, slide, ada):
        data = png()
        file = TemporaryUploadedFile("cell.png", "image/png", len(data), None)
        file.write(data)
        file.seek(0)
        (receipt,) = intake.receive(slide, [file], ada)
        assert receipt.image

    def test_many_files_take_a_constant_number_of_writes(
        self, slide, ada, django_assert_max_num_queries
    ):
        files = [cell(seed, f"{seed}.png") for seed in range(12)]
        with django_assert_max_num_queries(12 + 18):
            receipts = intake.receive(slide, files, ada)
        assert [receipt.name for receipt in receipts] == [file.name for file in files]
        assert list(slide.images.values_list("name", flat=True)) == [f.name for f in files]

    def test_images_keep_the_order_in_which_they_were_sent_by_a_clock_that_stands_still(
        self, slide, ada, monkeypatch
    ):
        now = timezone.now()
        monkeypatch.setattr(timezone, "now", lambda: now)
        files = [cell(seed, f"{seed}.png") for seed in range(6)]
        intake.receive(slide, files, ada)
        assert list(slide.images.values_list("name", flat=True)) == [f.name for f in files]

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("cell.png", "cell.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\slides\\7.png", "7.png"),
            ("a\x00b\u202egnp.exe\n", "abgnp.exe"),
            ("\u0000\u200f", "unnamed"),
            ("Zelle-ä-細胞-🔬.png", "Zelle-ä-細胞-🔬.png"),
            ("x" * 300, "x" * 200),
        ],
    )
    def test_names_are_shown_without_folders_and_disguise(self, name, shown):
        assert intake.shown_name(name) == shown


@pytest.mark.django_db
class TestBadFiles:
    BAD = {
        "empty": b"",
        "truncated": written(CELL, "PNG")[:-2000],
        "not-an-image": b"MZ this is a program" * 50,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"></svg>',
        "too-large": b"\x89PNG\r\n\x1a\n" + bytes(MAX_BYTES),
        "too-many-pixels": written(Image.new("1", (7100, 7100)), "PNG"),
        "animated": written(
            CELL, "WEBP", save_all=True, append_images=[CELL.rotate(90)], duration=100
        ),
        "too-small": written(CELL.resize((23, 200)), "PNG"),
    }

    @pytest.mark.parametrize("code", BAD)
    def test_is_refused_by_name_and_reason_while_good_ones_go_on(self, code, slide, ada, settings):
        files = [cell(1, "good.png"), upload(self.BAD[code], "bad.png"), cell(2, "better.png")]
        good, bad, better = intake.receive(slide, files, ada)
        assert (bad.name, bad.code, bad.image) == ("bad.png", code, None)
        assert bad.refusal[0].isupper()
        assert bad.refusal.endswith(".")
        assert good.image
        assert better.image
        assert SmearImage.objects.count() == Prediction.objects.count() == 2
        assert len(stored_files(settings)) == 2

    def test_only_bad_files_leave_nothing(self, slide, ada, settings):
        intake.receive(slide, [upload(b"", "a"), upload(b"no", "b")], ada)
        assert not SmearImage.objects.exists()
        assert stored_files(settings) == []

    def test_more_than_the_limit_is_not_even_read(self, slide, ada):
        file = upload(bytes(MAX_BYTES + 5_000_000))
        (receipt,) = intake.receive(slide, [file], ada)
        assert receipt.code == "too-large"
        assert file.tell() == MAX_BYTES + 1

    def test_without_a_model_nothing_is_taken(self, laboratory, ada, settings):
        with pytest.raises(registry.NoModel):
            intake.receive(new_slide(laboratory), [cell()], ada)
        assert stored_files(settings) == []


@pytest.mark.django_db
class TestTheSamePictureAgain:
    def test_on_this_slide_it_leads_to_the_first_and_counts_once(self, slide, ada, settings):
        (first,) = intake.receive(slide, [cell(name="first.png")], ada)
        (again,) = intake.receive(slide, [cell(name="second.png")], ada)
        assert (again.image, again.name, again.code) == (first.image, "second.png", "on-this-slide")
        assert "lready on this slide" in again.note
        assert Prediction.objects.count() == len(stored_files(settings)) == 1

    def test_also_within_one_upload(self, slide, ada, settings):
        copy = written(Image.open(io.BytesIO(png(1))), "BMP")
        first, again = intake.receive(slide, [cell(1), upload(copy, "copy.bmp")], ada)
        assert again.image == first.image
        assert (first.code, again.code) == ("new", "on-this-slide")
        assert SmearImage.objects.count() == len(stored_files(settings)) == 1

    @pytest.mark.parametrize("decision", ["parasitized", "rejected"])
    def test_on_another_slide_of_the_laboratory_its_reading_is_repeated(
        self, decision, laboratory, slide, ada
    ):
        (receipt,) = intake.receive(slide, [cell()], ada)
        receipt.image.predictions.all().delete()
        earlier = read(slide, decision, image=receipt.image, reasons=["blurred"])
        other = new_slide(laboratory, "S-2")
        (receipt,) = intake.receive(other, [cell()], ada)
        assert receipt.code == "on-another-slide"
        assert "also on slide S-1" in receipt.note
        repeat = receipt.image.predictions.get()
        assert repeat.same_as == earlier
        for name in intake.REPEATED:
            assert getattr(repeat, name) == getattr(earlier, name)
        assert verdict.tally(other).pending == 0
        third = new_slide(laboratory, "S-3")
        (receipt,) = intake.receive(third, [cell()], ada)
        assert "also on slides S-1, S-2" in receipt.note
        assert receipt.image.predictions.get().same_as == earlier

    @pytest.mark.parametrize("state", [State.QUEUED, State.FAILED])
    def test_a_reading_that_is_not_there_is_not_repeated(self, state, laboratory, slide, ada):
        intake.receive(slide, [cell()], ada)
        Prediction.objects.update(state=state)
        (receipt,) = intake.receive(new_slide(laboratory, "S-2"), [cell()], ada)
        assert receipt.code == "on-another-slide"
        assert receipt.image.predictions.get().state == State.QUEUED

    def test_nor_one_of_an_earlier_model(self, laboratory, slide, ada):
        (receipt,) = intake.receive(slide, [cell()], ada)
        receipt.image.predictions.update(state=State.DONE, decision="uninfected", probability=0.1)
        registry.activate(_another_model())
        (receipt,) = intake.receive(new_slide(laboratory), [cell()], ada)
        assert receipt.image.predictions.get().state == State.QUEUED

    @pytest.mark.parametrize("thresholds", [Thresholds(0.1, 0.98), None])
    def test_a_repeated_reading_is_decided_with_the_thresholds_of_now(
        self, thresholds, laboratory, slide, ada
    ):
        (receipt,) = intake.receive(slide, [cell()], ada)
        receipt.image.predictions.all().delete()
        model = registry.active_model()
        registry.set_band(model, Thresholds(0.01, 0.99), "Very careful.")
        band = registry.band_of(model)
        earlier = read(slide, "uncertain", probability=0.985, image=receipt.image, band=band)
        before, after = new_slide(laboratory), new_slide(laboratory)
        intake.receive(before, [cell()], ada)
        registry.set_band(model, thresholds, "Less careful.")
        intake.receive(after, [cell()], ada)
        same, other = before.predictions.get(), after.predictions.get()
        assert (same.decision, same.band) == ("uncertain", band)
        assert (other.decision, other.band) == ("parasitized", registry.band_of(model))
        assert other.same_as == earlier

    def test_nobody_learns_what_another_laboratory_holds(self, slide, ada):
        elsewhere = laboratory_of("eve", "Mombasa")
        eve = elsewhere.members.get()
        theirs = new_slide(elsewhere)
        (receipt,) = intake.receive(theirs, [cell()], eve)
        receipt.image.predictions.update(state=State.DONE, decision="parasitized")
        (receipt,) = intake.receive(slide, [cell()], ada)
        assert (receipt.code, receipt.note) == ("new", "")
        assert receipt.image.predictions.get().state == State.QUEUED


def _another_model():
    return ModelVersion.objects.create(name="next", fingerprint="n" * 64, path="x", manifest={})


@pytest.mark.django_db
class TestWhatGoesWrong:
    def test_a_failed_transaction_leaves_no_file(self, slide, ada, settings, monkeypatch):
        def fail(*_, **__):
            raise DatabaseError("disk full")

        monkeypatch.setattr(Prediction.objects, "bulk_create", fail)
        with pytest.raises(DatabaseError):
            intake.receive(slide, [cell(1), cell(2)], ada)
        assert stored_files(settings) == []
        assert not SmearImage.objects.exists()

    def test_a_place_that_takes_no_files_is_a_refusal(self, slide, ada, settings):
        settings.MEDIA_ROOT = "/dev/full/nowhere"
        (receipt,) = intake.receive(slide, [cell()], ada)
        assert receipt.code == "not-stored"
        assert not SmearImage.objects.exists()

    def test_a_place_that_is_not_mounted_takes_no_files(self, slide, ada, settings):
        intake.receive(slide, [cell(1)], ada)
        shutil.rmtree(settings.MEDIA_ROOT)
        settings.MEDIA_ROOT.mkdir()
        (receipt,) = intake.receive(slide, [cell(2)], ada)
        assert receipt.code == "not-stored"
        assert "could not be stored" in receipt.refusal
        assert list(settings.MEDIA_ROOT.iterdir()) == []
        assert SmearImage.objects.count() == 1

    def test_half_a_file_is_taken_away(self, slide, ada, settings):
        sandbox.decode(png())  # its process is started without the limit
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        try:
            (receipt,) = intake.receive(slide, [cell()], ada)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert receipt.code == "not-stored"
        assert stored_files(settings) == []

    def test_files_of_written_rows_stay_whatever_happens_after(
        self, slide, ada, settings, monkeypatch, django_capture_on_commit_callbacks
    ):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(tasks, "send", interrupt)
        with pytest.raises(KeyboardInterrupt), django_capture_on_commit_callbacks(execute=True):
            intake.receive(slide, [cell()], ada)
        assert len(stored_files(settings)) == SmearImage.objects.count() == 1


@pytest.mark.django_db
class TestSending:
    @pytest.fixture
    def sent(self, monkeypatch):
        messages: list[list[int]] = []
        monkeypatch.setattr(
            tasks.analyse, "apply_async", lambda args, **_: messages.append(args[0])
        )
        return messages

    def test_ids_go_out_on_commit_in_chunks(
        self, slide, ada, settings, sent, django_capture_on_commit_callbacks
    ):
        settings.CHUNK = 2
        with django_capture_on_commit_callbacks(execute=True):
            intake.receive(slide, [cell(seed) for seed in range(5)], ada)
            assert sent == []
        ids = list(Prediction.objects.order_by("pk").values_list("pk", flat=True))
        assert sent == [ids[:2], ids[2:4], ids[4:]]
        assert not Prediction.objects.filter(sent_at=None).exists()

    def test_without_a_broker_the_upload_succeeds(
        self, slide, ada, monkeypatch, django_capture_on_commit_callbacks
    ):
        def refuse(*_, **__):
            raise OperationalError("nobody listens")

        monkeypatch.setattr(tasks.analyse, "apply_async", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            receipts = intake.receive(slide, [cell(1), cell(2)], ada)
        assert all(receipt.image for receipt in receipts)
        assert Prediction.objects.filter(state=State.QUEUED, sent_at=None).count() == 2


@pytest.mark.django_db
class TestRetry:
    def test_a_failed_reading_is_queued_anew(
        self, slide, monkeypatch, django_capture_on_commit_callbacks
    ):
        sent: list[list[int]] = []
        monkeypatch.setattr(tasks.analyse, "apply_async", lambda args, **_: sent.append(args[0]))
        prediction = failed(slide, attempts=3, finished_at=timezone.now())
        registry.activate(_another_model())
        with django_capture_on_commit_callbacks(execute=True):
            assert intake.retry(prediction.image)
        prediction.refresh_from_db()
        assert (prediction.state, prediction.attempts, prediction.error) == ("queued", 0, "")
        assert prediction.finished_at is None
        assert prediction.model == registry.active_model()
        assert sent == [[prediction.pk]]
        assert Slide.objects.get().pending == 1
        assert Slide.objects.get().failed == 0

    @pytest.mark.parametrize("state", [s for s in State if s != State.FAILED])
    def test_nothing_else_is_read_again(self, slide, state):
        prediction = read(slide, state=state)
        before = Prediction.objects.values().get()
        assert not intake.retry(prediction.image)
        assert Prediction.objects.values().get() == before


PICTURES = [png(seed) for seed in range(3)]


def test_uploads_of_the_same_pictures_at_once(real_database, settings):
    laboratory = laboratory_of("ada")
    user = laboratory.members.get()
    active_model()
    slides = [new_slide(laboratory), new_slide(laboratory)]
    uploads = [
        partial(intake.receive, slide, [upload(PICTURES[(first + n) % 3]) for n in range(3)], user)
        for slide in slides
        for first in range(3)
    ]
    outcomes = at_once(*uploads)
    for receipts in outcomes:
        assert [receipt.image is not None for receipt in receipts] == [True] * 3
    for slide in slides:
        assert slide.images.count() == slide.predictions.count() == 3
        slide.refresh_from_db()
        assert slide.pending == 3
    new = [
        receipt for receipts in outcomes for receipt in receipts if receipt.code != "on-this-slide"
    ]
    assert len(new) == 6
    assert len(stored_files(settings)) == 6


def test_uploads_of_different_pictures_to_one_slide_at_once(real_database, monkeypatch):
    laboratory = laboratory_of("ada")
    active_model()
    slide = new_slide(laboratory)
    slow_down(monkeypatch, verdict, "_count")
    user = laboratory.members.get()
    outcomes = at_once(*(partial(intake.receive, slide, [cell(n)], user) for n in range(6)))
    assert [receipts[0].code for receipts in outcomes] == ["new"] * 6
    slide.refresh_from_db()
    assert slide.pending == slide.images.count() == 6


def test_uploads_that_meet_in_opposite_order_do_not_lock_each_other_out(real_database, monkeypatch):
    laboratory = laboratory_of("ada")
    active_model()
    slide = new_slide(laboratory)
    user = laboratory.members.get()
    pictures = sorted(PICTURES, key=lambda picture: sandbox.decode(picture).sha256)
    write, meeting = SmearImage.objects.bulk_create, threading.Barrier(2)

    def write_slowly(images, **options):
        write(images[:1], **options)
        with suppress(threading.BrokenBarrierError):  # whoever waits for a row does not come
            meeting.wait(2)
        write(images[1:], **options)

    monkeypatch.setattr(SmearImage.objects, "bulk_create", write_slowly)
    orders = (pictures, pictures[::-1])
    outcomes = at_once(
        *(partial(intake.receive, slide, [upload(p) for p in order], user) for order in orders)
    )
    assert [len(receipts) for receipts in outcomes] == [3, 3]
    assert slide.images.count() == slide.predictions.count() == 3


@pytest.mark.django_db
class TestFields:
    def test_a_whole_field_waits_to_be_read_as_one(self, slide, ada):
        file = upload(written(draw_field(1), "PNG"), "field.png")
        (receipt,) = intake.receive(slide, [file], ada)
        assert (receipt.code, receipt.image.kind) == ("new", Kind.FIELD)
        assert receipt.image.predictions.get().kind == Kind.FIELD

    def test_the_same_field_on_another_slide_repeats_its_cells(self, slide, laboratory, ada):
        field = written(draw_field(1), "PNG")
        (receipt,) = intake.receive(slide, [upload(field)], ada)
        first = receipt.image.predictions.get()
        first.state, first.decision, first.finder = State.DONE, "parasitized", "drawn-cells"
        first.save()
        for number, decision in ((1, "parasitized"), (2, "uninfected")):
            first.cells.create(
                image=first.image, number=number, x=9, y=9, width=9, height=9,
                decision=decision, probability=0.9 if number == 1 else 0.1, reviewed="removed",
            )  # fmt: skip
        other = new_slide(laboratory)
        (receipt,) = intake.receive(other, [upload(field)], ada)
        second = receipt.image.predictions.get()
        assert (second.state, second.same_as, second.finder) == (State.DONE, first, "drawn-cells")
        found = [(c.number, c.decision, c.reviewed, c.image_id) for c in second.cells.all()]
        assert found == [
            (1, "parasitized", "", receipt.image.pk),
            (2, "uninfected", "", receipt.image.pk),
        ]
        other.refresh_from_db()
        assert (other.cells_counted, other.cells_parasitized) == (2, 1)


@pytest.mark.django_db
def test_who_signs_while_it_is_decoded_signs_without_it(slide, ada, monkeypatch):
    read(slide)
    decode = sandbox.decode

    def slowly(data):
        decoded = decode(data)
        signing.sign(slide, ada)
        return decoded

    monkeypatch.setattr(sandbox, "decode", slowly)
    [receipt] = intake.receive(slide, [cell()], ada)
    slide.refresh_from_db()
    assert receipt.image.created_at > slide.signed_at


@pytest.mark.django_db
def test_a_slide_that_is_deleted_while_they_are_decoded_takes_no_images(
    slide, ada, settings, monkeypatch
):
    known = intake.receive(slide, [cell(0)], ada)[0].image
    decode = sandbox.decode

    def slowly(data):
        deletion.delete(slide, slide.laboratory.members.get())
        return decode(data)

    monkeypatch.setattr(sandbox, "decode", slowly)
    files = [cell(1), cell(1, "copy.png"), cell(2)]
    for receipt, file in zip(intake.receive(slide, files, ada), files, strict=True):
        assert (receipt.name, receipt.image, receipt.note) == (file.name, None, "")
        assert (receipt.code, receipt.refusal) == (
            "slide-deleted",
            "This slide was deleted meanwhile.",
        )
    assert slide.images.get() == known
    assert stored_files(settings) == [f"{known.pk}.png"]


@pytest.mark.django_db
def test_all_copies_in_an_upload_lead_to_the_image_of_an_upload_that_was_faster(
    slide, ada, monkeypatch
):
    def overtaken(image, png):
        monkeypatch.undo()
        intake.receive(slide, [cell(1)], ada)
        intake._store(image, png)

    monkeypatch.setattr(intake, "_store", overtaken)
    receipts = intake.receive(slide, [cell(1), cell(1, "copy.png")], ada)
    assert {receipt.image for receipt in receipts} == {SmearImage.objects.get()}
    assert {receipt.code for receipt in receipts} == {"on-this-slide"}
