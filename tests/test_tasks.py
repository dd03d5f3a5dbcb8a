import errno
import io
import itertools
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from uuid import uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings as site
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from diagnosis import pulse, registry, storage, tasks, verdict
from diagnosis.models import Kind, ModelVersion, Prediction, Slide
from ml.artifact import ArtifactError
from ml.decisions import Thresholds
from ml.drawing import draw_field
from ml.field_reading import NO_THIN_FILM
from ml.fields import FoundCell
from ml.predictor import CellPrediction
from tests.databases import at_once, connected, slow_down
from tests.people import laboratory_of
from tests.readings import (
    active_model,
    another_model,
    failed,
    new_image,
    new_slide,
    read,
    waiting,
)
from tests.servers import ROOT, clean_environment

MILLISECOND = timedelta(milliseconds=1)  # SQLite's clock has no finer ones
MAP = ((0.0, 1.23456789), (2.0, -1.0))


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


class Answers:
    """A predictor whose answers are set by the test; it notes the sizes of its batches."""

    manifest = SimpleNamespace(name="m", thresholds=Thresholds(0.2, 0.8))

    def __init__(self, decision: str = "parasitized", probability: float = 0.9) -> None:
        self.decision, self.probability = decision, probability
        self.batches: list[int] = []
        self.faults: dict[int, Exception] = {}
        """By the number of the call, from 1."""
        self.watch: Callable[[], object] = int

    def predict(self, images: list[Image.Image]) -> list[CellPrediction]:
        self.batches.append(len(images))
        self.watch()
        if fault := self.faults.get(len(self.batches)):
            raise fault
        return [self.answer() for _ in images]

    def answer(self) -> CellPrediction:
        label = "parasitized" if self.probability >= 0.5 else "uninfected"
        reasons = ("why",) if self.decision == "rejected" else ()
        return CellPrediction(label, self.probability, self.decision, reasons, "m", MAP)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(tasks, "PAUSE", 0)


@pytest.fixture
def predictor(monkeypatch):
    predictor = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: predictor)
    return predictor


@pytest.fixture
def sent(monkeypatch):
    messages: list[list[int]] = []
    monkeypatch.setattr(tasks.analyse, "apply_async", lambda args, **_: messages.append(args[0]))
    return messages


def make_slide() -> Slide:
    active_model()
    return new_slide(laboratory_of("ada"))


@pytest.fixture
def slide(db):
    return make_slide()


def queued(slide, count=3, **fields):
    return [waiting(slide, sent_at=timezone.now(), **fields).pk for _ in range(count)]


def states():
    return list(Prediction.objects.order_by("pk").values_list("state", flat=True))


def attempts():
    return list(Prediction.objects.order_by("pk").values_list("attempts", flat=True))


def ago(seconds):
    return timezone.now() - timedelta(seconds=seconds)


SEND = """
import time
import django
django.setup()
from diagnosis import tasks
tasks.send([1])
before = time.monotonic()
tasks.send([1])
print(time.monotonic() - before)
"""


@pytest.mark.parametrize("listens", [True, False])
def test_a_broker_that_is_gone_or_silent_keeps_no_page_waiting(
    listens, sqlite_file, tmp_path, django_db_blocker
):
    with socket.socket() as redis, django_db_blocker.unblock(), connected(sqlite_file):
        redis.bind(("127.0.0.1", 0))
        if listens:
            redis.listen()
        (pk,) = queued(make_slide(), 1)
        address = f"redis://127.0.0.1:{redis.getsockname()[1]}/0"
        done = subprocess.run(
            [sys.executable, "-c", SEND.replace("[1]", f"[{pk}]")],
            env=clean_environment(VAR=str(tmp_path), REDIS_URL=address),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) < 10
        assert "a sweep will send" in done.stderr
        assert Prediction.objects.get().sent_at is None


class TestAnalyse:
    def test_writes_what_the_model_said(self, slide, predictor):
        ids = queued(slide)
        tasks.analyse(ids)
        for row in Prediction.objects.filter(pk__in=ids):
            assert (row.state, row.label, row.decision) == ("done", "parasitized", "parasitized")
            assert (row.probability, row.reasons) == (0.9, [])
            assert row.activation == [[0.0, 1.2346], [2.0, -1.0]]
            assert (row.attempts, row.token, row.error) == (1, None, "")
            assert row.queued_at <= row.started_at + MILLISECOND <= row.finished_at + MILLISECOND
        assert predictor.batches == [3]

    def test_what_is_not_a_cell_is_rejected_and_still_has_its_answer(self, slide, predictor):
        predictor.decision, predictor.probability = "rejected", 0.2
        tasks.analyse(queued(slide, 1))
        row = Prediction.objects.get()
        assert (row.state, row.decision, row.label) == ("rejected", "rejected", "uninfected")
        assert row.reasons == ["why"]

    def test_the_slide_counts_it(self, slide, predictor):
        tasks.analyse(queued(slide))
        slide.refresh_from_db()
        assert (slide.parasitized, slide.pending) == (3, 0)

    def test_twice_changes_nothing(self, slide, predictor):
        ids = queued(slide)
        tasks.analyse(ids)
        before = list(Prediction.objects.order_by("pk").values())
        tasks.analyse(ids)
        assert list(Prediction.objects.order_by("pk").values()) == before
        assert predictor.batches == [3]

    def test_takes_only_what_is_queued(self, slide, predictor):
        others = [read(slide), failed(slide), waiting(slide, state="running", token=uuid4())]
        before = list(Prediction.objects.order_by("pk").values())
        tasks.analyse([row.pk for row in others] + [10**9])
        assert list(Prediction.objects.order_by("pk").values()) == before
        assert predictor.batches == []

    def test_a_small_message_takes_others_along_up_to_a_chunk(self, slide, predictor, settings):
        settings.CHUNK = 4
        ids = queued(slide, 7)
        tasks.analyse(ids[5:6])
        assert predictor.batches == [4]
        assert states() == ["done"] * 3 + ["queued"] * 2 + ["done", "queued"]

    def test_but_none_that_broke_off_before(self, slide, predictor):
        queued(slide, 2, attempts=1)
        ids = queued(slide, 1)
        tasks.analyse(ids)
        assert states() == ["queued"] * 2 + ["done"]

    def test_a_chunk_takes_few_statements(self, slide, predictor, django_assert_max_num_queries):
        ids = queued(slide, 64)
        with django_assert_max_num_queries(22):  # 4 tell people, 5 leave a sign of life
            tasks.analyse(ids)
        assert states() == ["done"] * 64

    def test_each_row_is_read_by_its_own_model(self, slide, monkeypatch):
        predictors = {"a": Answers("uninfected", 0.1), "b": Answers("parasitized", 0.9)}
        models = {
            name: ModelVersion.objects.create(name=name, fingerprint=name, path="", manifest={})
            for name in predictors
        }
        monkeypatch.setattr(tasks, "predictor_of", lambda version: predictors[version.name])
        ids = queued(slide, 4)
        for pk, name in zip(ids, "abab", strict=True):
            Prediction.objects.filter(pk=pk).update(model=models[name])
        tasks.analyse(ids)
        found = Prediction.objects.order_by("pk").values_list("decision", flat=True)
        assert list(found) == ["uninfected", "parasitized"] * 2

    @pytest.mark.parametrize("damage", ["gone", "emptied", "cut", "overwritten"])
    def test_a_lost_or_damaged_file_fails_alone(self, damage, slide, predictor):
        ids = queued(slide)
        image = Prediction.objects.get(pk=ids[1]).image
        whole = image.file.read()
        image.file.close()
        contents = {"emptied": b"", "cut": whole[: len(whole) // 2], "overwritten": b"no" * 999}
        image.file.storage.delete(image.file.name)
        if damage in contents:
            with open(image.file.path, "wb") as file:
                file.write(contents[damage])
        tasks.analyse(ids)
        assert states() == ["done", "failed", "done"]
        row = Prediction.objects.get(pk=ids[1])
        assert row.error == tasks.UNREADABLE
        assert (row.label, row.probability, row.activation) == ("", None, None)

    def test_large_photographs_are_read_in_smaller_batches(self, slide, predictor, monkeypatch):
        monkeypatch.setattr(tasks, "BATCH_PIXELS", 10_000)
        ids = queued(slide, 5)  # of 64 x 64
        tasks.analyse(ids)
        assert predictor.batches == [2, 2, 1]
        assert states() == ["done"] * 5


class TestWhatBreaksOff:
    def test_an_error_in_a_batch_lets_each_be_tried_alone(self, slide, predictor):
        predictor.faults = {1: ValueError("marked"), 3: ValueError("marked")}
        tasks.analyse(queued(slide))
        assert predictor.batches == [3, 1, 1, 1]
        assert states() == ["done", "queued", "done"]
        assert attempts() == [2, 2, 2]
        assert Prediction.objects.get(state="queued").sent_at is None

    def test_what_broke_off_is_claimed_and_read_alone_in_whatever_message(self, slide, predictor):
        ids = queued(slide, 3, attempts=1)
        held = []
        predictor.watch = lambda: held.append(Prediction.objects.filter(state="running").count())
        tasks.analyse(ids + queued(slide, 2))
        assert predictor.batches == [2, 1, 1, 1]
        assert held == [2, 1, 1, 1]

    def test_after_the_last_attempt_it_has_failed_with_a_reason(self, slide, predictor):
        predictor.faults = {n: ValueError("marked") for n in range(1, 10)}
        ids = queued(slide, 2)
        tasks.analyse(ids)
        assert states() == ["queued"] * 2
        tasks.analyse(ids)
        assert states() == ["failed"] * 2
        assert attempts() == [site.MAX_ATTEMPTS] * 2
        row = Prediction.objects.first()
        assert "ValueError" in row.error
        assert "marked" not in row.error
        assert row.finished_at
        assert Slide.objects.get().failed == 2

    def test_a_database_in_trouble_costs_no_image_an_attempt(self, slide, predictor, monkeypatch):
        ids, write = queued(slide, 3), tasks.bulk.write
        monkeypatch.setattr(tasks.bulk, "write", failing(OperationalError("No space left")))
        for _ in range(site.MAX_ATTEMPTS + 1):
            with pytest.raises(OperationalError):
                tasks.analyse(ids)
        assert (states(), attempts()) == (["queued"] * 3, [0] * 3)
        monkeypatch.setattr(tasks.bulk, "write", write)
        tasks.analyse(ids)
        assert states() == ["done"] * 3

    def test_the_soft_limit_gives_all_back_at_once(self, slide, predictor):
        predictor.faults = {1: SoftTimeLimitExceeded()}
        with pytest.raises(SoftTimeLimitExceeded):
            tasks.analyse(queued(slide))
        assert states() == ["queued"] * 3
        assert attempts() == [1] * 3

    def test_what_was_saved_before_the_limit_stays(self, slide, predictor, monkeypatch):
        monkeypatch.setattr(tasks, "BATCH_PIXELS", 64 * 64)
        predictor.faults = {2: SoftTimeLimitExceeded()}
        with pytest.raises(SoftTimeLimitExceeded):
            tasks.analyse(queued(slide))
        assert states() == ["done", "queued", "queued"]

    def test_a_worker_that_slept_cannot_overwrite_its_successor(
        self, slide, predictor, sent, monkeypatch
    ):
        ids = queued(slide, 2)

        class Sleeper(Answers):
            def predict(self, images):
                """Meanwhile the sweep takes its rows away and another worker finishes one."""
                Prediction.objects.filter(pk__in=ids).update(started_at=ago(3600))
                tasks.sweep()
                monkeypatch.setattr(tasks, "predictor_of", lambda version: predictor)
                tasks.analyse(ids[:1])
                return super().predict(images)

        monkeypatch.setattr(tasks, "predictor_of", lambda version: Sleeper("uninfected", 0.1))
        claim = tasks._claim(ids)
        tasks._attempt(claim)
        first, second = Prediction.objects.order_by("pk")
        assert (first.decision, first.attempts) == ("parasitized", 2)
        assert (second.state, second.decision) == ("queued", "")
        slide.refresh_from_db()
        assert (slide.parasitized, slide.uninfected, slide.pending) == (1, 0, 1)


def lose_the_model(monkeypatch, *names):
    """For those versions, or for all."""

    def load(version):
        if not names or version.name in names:
            raise ArtifactError("The model in x lacks its file model.onnx.")
        return Answers()

    monkeypatch.setattr(tasks, "predictor_of", load)


class TestWithoutTheModel:
    def test_images_wait_and_nothing_is_spent(self, slide, monkeypatch, caplog):
        lose_the_model(monkeypatch)
        ids = queued(slide, 2)
        for _ in range(site.MAX_ATTEMPTS + 1):
            tasks.analyse(ids)
        assert states() == ["queued"] * 2
        assert attempts() == [0, 0]
        assert set(Prediction.objects.values_list("token", "sent_at")) == {(None, None)}
        assert "Images wait: The model in x lacks its file model.onnx." in caplog.text
        assert pulse.taken().lacked == pulse.MODEL
        assert not pulse.taken().is_silent

    def test_what_was_tried_before_keeps_its_count(self, slide, monkeypatch):
        lose_the_model(monkeypatch)
        tasks.analyse(queued(slide, 1, attempts=2))
        assert attempts() == [2]

    def test_a_finder_is_a_model_too(self, slide, predictor, monkeypatch):
        def missing():
            raise ArtifactError("The finder cannot be read.")

        monkeypatch.setattr(tasks, "finder", missing)
        tasks.analyse([drawn_field(slide).pk])
        assert (states(), attempts()) == (["queued"], [0])

    def test_it_leaves_the_next_message_to_others_for_a_while(self, slide, monkeypatch):
        slept: list[float] = []
        monkeypatch.setattr(tasks.time, "sleep", slept.append)
        lose_the_model(monkeypatch)
        tasks.analyse([drawn_field(slide).pk, drawn_field(slide).pk])
        assert slept == [tasks.PAUSE]

    def test_the_next_sweep_sends_it_again(self, slide, sent, monkeypatch):
        lose_the_model(monkeypatch)
        ids = queued(slide, 2)
        tasks.analyse(ids)
        tasks.sweep()
        assert sent == [ids]

    def test_what_a_former_version_was_to_read_the_active_one_reads(self, slide, monkeypatch):
        former = another_model("former")
        lose_the_model(monkeypatch, "former")
        ids = queued(slide, 2, model=former)
        tasks.analyse(ids + queued(slide, 1))
        assert states() == ["done"] * 3
        assert set(Prediction.objects.values_list("model", flat=True)) == {active_model().pk}

    def test_beside_a_result_that_counts_it_has_failed_with_the_reason(self, slide, monkeypatch):
        former = another_model("former")
        lose_the_model(monkeypatch, "former")
        image = read(slide).image
        tasks.analyse(queued(slide, 1, model=former, image=image, is_current=False))
        row = Prediction.objects.get(model=former)
        assert (row.state, row.error) == ("failed", "The model in x lacks its file model.onnx.")

    def test_without_any_active_version_all_wait(self, slide, monkeypatch):
        lose_the_model(monkeypatch)
        ids = queued(slide, 1)
        ModelVersion.objects.update(is_active=False)
        tasks.analyse(ids)
        assert (states(), attempts()) == (["queued"], [0])


def break_files(monkeypatch, *names):
    """Opening those ends in an I/O error; without names, opening any image."""
    whole = FileSystemStorage._open  # type: ignore[attr-defined]

    def opened(self, name, mode="rb"):
        if name in names or (not names and name.endswith(".png")):
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, name, mode)

    monkeypatch.setattr(FileSystemStorage, "_open", opened)


class TestAStorageInTrouble:
    def test_a_folder_that_is_not_mounted_costs_nothing(self, slide, predictor, settings, caplog):
        storage.require()
        ids = queued(slide, 3)
        away = settings.MEDIA_ROOT.rename(settings.VAR / "away")
        settings.MEDIA_ROOT.mkdir()
        for _ in range(site.MAX_ATTEMPTS + 1):
            tasks.analyse(ids)
        assert (states(), attempts()) == (["queued"] * 3, [0] * 3)
        assert "Images wait: [Errno 2]" in caplog.text
        assert pulse.taken().lacked == pulse.STORAGE
        settings.MEDIA_ROOT.rmdir()
        away.rename(settings.MEDIA_ROOT)
        tasks.analyse(ids)
        assert (states(), attempts()) == (["done"] * 3, [1] * 3)

    def test_nor_do_errors_of_all_files(self, slide, predictor, monkeypatch):
        ids = queued(slide, 3)
        break_files(monkeypatch)
        for _ in range(site.MAX_ATTEMPTS + 1):
            tasks.analyse(ids)
        assert (states(), attempts()) == (["queued"] * 3, [0] * 3)

    def test_several_lost_files_keep_no_other_waiting(self, slide, predictor):
        storage.require()
        good, *lost = queued(slide, 6)
        for row in Prediction.objects.filter(pk__in=lost).select_related("image"):
            row.image.file.storage.delete(row.image.file.name)
        tasks.analyse([good, *lost])
        assert states() == ["done"] + ["failed"] * 5

    def test_a_file_that_alone_cannot_be_read_fails_alone_at_last(
        self, slide, predictor, monkeypatch
    ):
        ids = queued(slide, 3)
        bad = Prediction.objects.get(pk=ids[1])
        break_files(monkeypatch, bad.image.file.name)
        for _ in range(site.MAX_ATTEMPTS):
            tasks.analyse(ids)
        assert states() == ["done", "failed", "done"]
        bad.refresh_from_db()
        assert (bad.error, bad.attempts) == (tasks.UNREADABLE, site.MAX_ATTEMPTS)


class TestSweep:
    def test_a_long_queue_in_good_health_is_left_alone(self, slide, sent):
        queued(slide, 5)
        Prediction.objects.update(queued_at=ago(7200), sent_at=ago(3600))
        tasks.sweep(sent=ago(3601).timestamp())
        assert sent == []

    def test_what_was_overtaken_is_sent_again_in_chunks_and_once(self, slide, sent, settings):
        settings.CHUNK = 2
        lost = queued(slide, 5)
        Prediction.objects.update(sent_at=ago(100))
        recent = queued(slide, 1)
        now = timezone.now().timestamp()
        tasks.sweep(now)
        assert sent == [lost[:2], lost[2:4], lost[4:]]
        tasks.sweep(now)
        assert len(sent) == 3
        assert states() == ["queued"] * 6
        assert recent[0] not in itertools.chain(*sent)

    def test_what_the_broker_never_got_is_sent(self, slide, sent):
        ids = queued(slide, 2)
        Prediction.objects.update(sent_at=None)
        tasks.sweep(ago(30).timestamp())
        assert sent == [ids]

    def test_what_a_lost_worker_held_is_queued_and_sent_one_by_one(self, slide, sent):
        ids = queued(slide, 3, state="running", token=uuid4(), attempts=1)
        Prediction.objects.update(started_at=ago(site.LEASE_SECONDS + 1))
        tasks.sweep()
        assert sent == [[pk] for pk in ids]
        assert set(Prediction.objects.values_list("state", "token")) == {("queued", None)}

    def test_what_a_worker_holds_within_its_lease_is_left_alone(self, slide, sent):
        queued(slide, 2, state="running", token=uuid4(), attempts=1)
        Prediction.objects.update(started_at=ago(site.LEASE_SECONDS - 5), sent_at=ago(3600))
        tasks.sweep()
        assert states() == ["running"] * 2
        assert sent == []

    def test_after_the_last_attempt_it_has_failed_with_a_reason(self, slide, sent):
        queued(slide, 1, state="running", token=uuid4(), attempts=site.MAX_ATTEMPTS)
        Prediction.objects.update(started_at=ago(site.LEASE_SECONDS + 1))
        tasks.sweep()
        row = Prediction.objects.get()
        assert (row.state, row.error, row.token) == ("failed", tasks.BROKE_OFF, None)
        assert sent == []
        assert Slide.objects.get().failed == 1

    def test_final_rows_are_left_alone(self, slide, sent):
        for row in (read(slide), read(slide, "rejected"), failed(slide)):
            Prediction.objects.filter(pk=row.pk).update(sent_at=None, started_at=ago(9999))
        before = list(Prediction.objects.order_by("pk").values())
        tasks.sweep()
        assert list(Prediction.objects.order_by("pk").values()) == before
        assert sent == []

    @pytest.mark.parametrize("hours", [-2, 2])
    def test_a_worker_whose_clock_is_wrong_takes_nothing_from_others(
        self, slide, sent, monkeypatch, hours
    ):
        tasks._claim(queued(slide, 2))
        whole = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: whole() + timedelta(hours=hours))
        tasks._put_back()
        assert states() == ["running"] * 2

    @pytest.mark.parametrize("hours", [-2, 2])
    def test_nor_do_others_take_from_it(self, slide, sent, monkeypatch, hours):
        ids, whole = queued(slide, 2), timezone.now
        monkeypatch.setattr(timezone, "now", lambda: whole() + timedelta(hours=hours))
        tasks._claim(ids)
        monkeypatch.setattr(timezone, "now", whole)
        tasks._put_back()
        assert states() == ["running"] * 2

    def test_a_clock_that_was_set_back_keeps_nothing_waiting(self, slide, sent):
        waits = queued(slide, 1)
        Prediction.objects.update(sent_at=ago(-3600))
        runs = queued(slide, 1, state="running", attempts=1, started_at=ago(-3600))
        tasks.sweep()
        assert sorted(sent) == sorted([waits, runs])

    def test_a_broker_that_is_gone_again_is_asked_again(self, slide, monkeypatch):
        def refuse(*_, **__):
            raise OSError("nobody listens")

        monkeypatch.setattr(tasks.analyse, "apply_async", refuse)
        queued(slide, 2)
        Prediction.objects.update(sent_at=ago(100))
        tasks.sweep()
        assert Prediction.objects.filter(sent_at=None, state="queued").count() == 2


class TestModels:
    def test_is_loaded_once_and_checked(self, db, trained_model, monkeypatch):
        from ml.predictor import Predictor

        checked = []
        monkeypatch.setattr(Predictor, "check", lambda self, path: checked.append(path))
        tasks._loaded.cache_clear()
        version = registry.register(trained_model, activate=True)
        assert tasks.predictor_of(version) is tasks.predictor_of(version)
        assert checked == [trained_model]

    def test_reads_real_cells(self, slide, trained_model):
        Prediction.objects.all().delete()
        registry.register(trained_model, activate=True)
        ids = []
        for _ in range(3):
            image = new_image(slide)
            row = Prediction.objects.create(image=image, model=registry.active_model())
            ids.append(row.pk)
        tasks.analyse(ids)
        for row in Prediction.objects.all():
            assert row.state == "done"
            assert 0 <= row.probability <= 1
            assert len(row.activation) == len(row.activation[0]) > 1

    def test_another_model_in_its_place_is_refused(self, db, trained_model):
        version = registry.register(trained_model)
        version.fingerprint = "0" * 64
        with pytest.raises(ArtifactError, match="Another model"):
            tasks.predictor_of(version)

    def test_a_worker_starts_without_a_model_and_says_so(self, db, caplog):
        tasks.load_active_model()
        assert "No model is active" in caplog.text
        active_model(path="/nowhere")
        tasks.load_active_model()
        assert "no trained model" in caplog.text


def test_workers_and_sweeps_at_once_lose_and_double_nothing(
    real_database, monkeypatch, sent, settings
):
    slide = make_slide()
    ids = queued(slide, 120)
    predictor = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: predictor)
    settings.CHUNK = 16
    shuffled = [random.Random(seed).sample(ids, len(ids)) for seed in range(4)]
    works = [
        partial(tasks.analyse, mixed[n : n + 16]) for mixed in shuffled for n in range(0, 120, 16)
    ]
    now = timezone.now().timestamp() + 60
    outcomes = at_once(*works, *[partial(tasks.sweep, now)] * 3)
    assert outcomes == [None] * len(outcomes)
    for message in sent:
        tasks.analyse(message)
    assert states() == ["done"] * 120
    assert attempts() == [1] * 120
    assert sum(predictor.batches) == 120
    slide.refresh_from_db()
    assert (slide.parasitized, slide.pending) == (120, 0)


def test_counts_are_right_when_workers_finish_one_slide_at_once(
    real_database, monkeypatch, settings
):
    settings.CHUNK = 5
    slide = make_slide()
    ids = queued(slide, 40)
    monkeypatch.setattr(tasks, "predictor_of", lambda version: Answers("uninfected", 0.1))
    slow_down(monkeypatch, verdict, "_count")
    at_once(*(partial(tasks.analyse, ids[n : n + 5]) for n in range(0, 40, 5)))
    slide.refresh_from_db()
    counts = {name: getattr(slide, name) for name in verdict.COUNTS if getattr(slide, name)}
    assert counts == {"uninfected": 40}


def drawn_field(slide, **fields):
    """Twelve cells in a grid, one of them cut by the left side."""
    image = new_image(slide, size=400)
    file = io.BytesIO()
    whole = draw_field(1, cells=12, parasitized=1)
    whole.crop((90, 0, whole.width, whole.height)).save(file, "PNG")
    image.file.save("", ContentFile(file.getvalue()), save=False)
    image.kind, image.width, image.height = Kind.FIELD, whole.width - 90, whole.height
    image.save()
    return waiting(slide, image=image, kind=Kind.FIELD, sent_at=timezone.now(), **fields)


class TestFields:
    def test_the_cells_of_a_field_are_found_and_read_in_one_batch(self, slide, predictor):
        row = drawn_field(slide)
        tasks.analyse([row.pk])
        row.refresh_from_db()
        assert (row.state, row.decision, row.probability) == ("done", "parasitized", None)
        assert row.finder == tasks.finder().name
        cells = list(row.cells.all())
        assert predictor.batches == [12]
        assert [cell.number for cell in cells] == list(range(1, 13))
        assert [cell.is_cut for cell in cells if cell.x == 0] == [True] * 3
        assert {(cell.decision, cell.probability) for cell in cells} == {("parasitized", 0.9)}
        assert cells[0].activation == [[0.0, 1.2346], [2.0, -1.0]]
        slide.refresh_from_db()
        assert (slide.cells_counted, slide.parasitized, slide.finding) == (9, 1, "uncertain")

    def test_the_installation_s_band_decides_cells_too(self, slide, predictor):
        registry.set_band(active_model(), Thresholds(0.05, 0.95), "careful")
        row = drawn_field(slide)
        tasks.analyse([row.pk])
        row.refresh_from_db()
        assert row.decision == "uncertain"
        assert {cell.decision for cell in row.cells.all()} == {"uncertain"}

    def test_three_thousand_cells_are_kept_and_shown(
        self, slide, predictor, monkeypatch, client, django_assert_max_num_queries
    ):
        boxes = [(4 * (n % 60), 4 * (n // 60), 9, 9) for n in range(3000)]
        found = [FoundCell(box, 0.9, box[0] == 0) for box in boxes]
        many = SimpleNamespace(name="many", find=lambda image: found)
        monkeypatch.setattr(tasks, "finder", lambda: many)
        row = drawn_field(slide)
        with django_assert_max_num_queries(80):
            tasks.analyse([row.pk])
        assert max(predictor.batches) < 200
        client.force_login(slide.laboratory.members.get())
        answer = client.get(reverse("field_cells", args=[row.image_id])).json()
        assert (len(answer["cells"]), answer["counts"]["counted"]) == (3000, 2950)
        assert [cell["box"] for cell in answer["cells"][:2]] == [[0, 0, 9, 9], [4, 0, 9, 9]]

    def test_a_worker_that_lost_its_claim_leaves_no_cells(self, slide, predictor):
        row = drawn_field(slide)
        predictor.watch = lambda: Prediction.objects.update(token=uuid4())
        tasks.analyse([row.pk])
        assert not row.cells.exists()

    def test_a_field_without_cells_is_rejected_with_the_reason(self, slide, predictor):
        image = new_image(slide, size=400)
        file = io.BytesIO()
        Image.new("RGB", (400, 400), (226, 224, 214)).save(file, "PNG")
        image.file.save("", ContentFile(file.getvalue()), save=False)
        image.kind = Kind.FIELD
        image.save()
        row = waiting(slide, image=image, kind=Kind.FIELD)
        tasks.analyse([row.pk])
        row.refresh_from_db()
        assert (row.state, row.decision) == ("rejected", "rejected")
        assert row.reasons

    def test_a_field_whose_cells_are_all_rejected_is_rejected(self, slide, predictor):
        predictor.decision = "rejected"
        row = drawn_field(slide)
        tasks.analyse([row.pk])
        row.refresh_from_db()
        assert (row.state, row.reasons) == ("rejected", [NO_THIN_FILM])
        slide.refresh_from_db()
        assert (slide.rejected, slide.finding) == (1, "")

    def test_a_field_whose_cells_are_all_cut_is_rejected_and_keeps_them(
        self, slide, predictor, monkeypatch
    ):
        whole = tasks.finder()
        cut = SimpleNamespace(
            name="cut", find=lambda image: [replace(cell, edge=True) for cell in whole.find(image)]
        )
        monkeypatch.setattr(tasks, "finder", lambda: cut)
        row = drawn_field(slide)
        tasks.analyse([row.pk])
        row.refresh_from_db()
        assert (row.state, row.decision) == ("rejected", "rejected")
        assert row.reasons == [tasks.NOTHING_COUNTS]
        assert row.cells.count() == 12
        slide.refresh_from_db()
        assert (slide.rejected, slide.cells_counted, slide.finding) == (1, 0, "")

    def test_fields_that_do_not_fit_into_the_time_are_sent_again(
        self, slide, predictor, sent, settings
    ):
        rows = [drawn_field(slide) for _ in range(3)]
        crops = queued(slide, 2)
        settings.ANALYSIS_SOFT_TIME_LIMIT = 0
        tasks.analyse([*crops, *[row.pk for row in rows]])
        assert states() == ["queued"] * 3 + ["done"] * 2
        assert sent == [[row.pk for row in rows]]
        assert {row.attempts for row in Prediction.objects.filter(kind="field")} == {0}

    def test_what_was_sent_again_is_not_taken_for_lost(self, slide, predictor, sent, settings):
        rows = [drawn_field(slide) for _ in range(3)]
        Prediction.objects.update(sent_at=ago(60))
        settings.ANALYSIS_SOFT_TIME_LIMIT = 0
        tasks.analyse([row.pk for row in rows])
        tasks.sweep(timezone.now().timestamp())
        assert sent == [[row.pk for row in rows]]
