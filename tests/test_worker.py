"""Real workers on real brokers and databases, and what becomes of their work when they die."""

import io
import shutil
import time

import pytest
from django.core.files.base import ContentFile

from diagnosis import registry, tasks
from diagnosis.models import Prediction, Slide, SmearImage
from ml.drawing import draw_cell
from tests.databases import connected
from tests.ill_worker import FAILS, HANGS, KILLS, SLOW, fingerprint
from tests.people import laboratory_of
from tests.readings import new_slide
from tests.servers import wait_for
from tests.workers import Workers

SIZE = 40


@pytest.fixture(params=["sqlite and files", "postgresql and redis"])
def workers(request, tmp_path, settings, django_db_blocker, trained_model):
    """None started yet; the test's own connection leads to their database."""
    if request.param == "sqlite and files":
        workers = Workers(tmp_path)
        workers.var.mkdir()
        url = f"sqlite:///{workers.var / 'db.sqlite3'}"
        migrated = request.getfixturevalue("migrated_sqlite").removeprefix("sqlite:///")
        shutil.copy(migrated, workers.var / "db.sqlite3")
    else:
        url = request.getfixturevalue("postgres_copy")
        redis_url = request.getfixturevalue("redis_url")
        workers = Workers(tmp_path, DATABASE_URL=url, REDIS_URL=redis_url)
    settings.MEDIA_ROOT = workers.var / "media"
    with django_db_blocker.unblock(), connected(url):
        registry.register(trained_model, activate=True)
        yield workers
        workers.stop()


def slide_with(marks) -> Slide:
    """A slide with an image for each mark (None: a harmless one), not yet sent to any worker."""
    slide = new_slide(laboratory_of("ada"))
    for number, mark in enumerate(marks):
        picture = draw_cell(number, False, SIZE)
        if mark:
            picture.putpixel((0, 0), mark)
        file = io.BytesIO()
        picture.save(file, "PNG")
        image = SmearImage(slide=slide, name=str(number), width=SIZE, height=SIZE)
        image.sha256 = fingerprint(picture)
        image.file.save("", ContentFile(file.getvalue()), save=False)
        image.save()
        Prediction.objects.create(image=image, model=registry.active_model())
    return slide


def rows_of(slide) -> list[Prediction]:
    return list(slide.predictions.select_related("image").order_by("pk"))


def wait_until_read(slide, workers, seconds=120):
    def is_read() -> bool:
        slide.refresh_from_db()
        return slide.pending == 0

    wait_for(is_read, "the slide's images", seconds, workers.log)


def test_a_worker_reads_what_is_queued_and_writes_it_once(workers):
    slide = slide_with([None] * 70)
    workers.start_worker()
    wait_until_read(slide, workers)
    for row in rows_of(slide):
        assert (row.state, row.attempts) == ("done", 1)
        assert row.activation
        assert workers.readings_of(row.image.sha256) == 1
    assert slide.parasitized + slide.uninfected + slide.uncertain == 70


def test_an_image_that_kills_or_hangs_its_worker_fails_alone(workers):
    slide = slide_with([None] * 3 + [KILLS] + [None] * 3 + [HANGS] + [None] * 3 + [FAILS])
    workers.start_worker(WORKER_PROCESSES="2")
    wait_until_read(slide, workers)
    rows = rows_of(slide)
    killed, hung, failed = rows[3], rows[7], rows[11]
    for row in (killed, hung, failed):
        assert (row.state, row.attempts) == ("failed", 3)
    assert killed.error == hung.error == tasks.BROKE_OFF
    assert "ZeroDivisionError" in failed.error
    for row in set(rows) - {killed, hung, failed}:
        assert (row.state, row.attempts) == ("done", 2)
        assert workers.readings_of(row.image.sha256) == 1
    assert workers.workers[0].poll() is None


def test_a_worker_killed_in_the_middle_of_a_chunk_loses_nothing(workers):
    slide = slide_with([SLOW] * 20)
    first = workers.start_worker()
    running = Prediction.objects.filter(state="running")
    wait_for(running.exists, "the first chunk", log=workers.log)
    time.sleep(0.5)
    workers.kill_worker(first)
    assert {row.state for row in rows_of(slide)} == {"running"}
    workers.start_worker()
    wait_until_read(slide, workers)
    for row in rows_of(slide):
        assert (row.state, row.attempts) == ("done", 2)
        assert workers.readings_of(row.image.sha256) == 1


def test_two_workers_their_sweeps_and_messages_sent_twice(workers):
    slide = slide_with([None] * 200)
    ids = [row.pk for row in rows_of(slide)]
    with workers.sender() as sender:
        for start in range(0, 200, 25):
            for _ in range(2):
                sender.send_task("diagnosis.tasks.analyse", [ids[start : start + 25]])
    workers.start_worker(WORKER_PROCESSES="2")
    workers.start_worker(WORKER_PROCESSES="2")
    wait_until_read(slide, workers)
    for row in rows_of(slide):
        assert (row.state, row.attempts) == ("done", 1)
        assert workers.readings_of(row.image.sha256) == 1
