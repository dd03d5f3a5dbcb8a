"""Nothing accepted is lost or read twice, whatever happens to workers, broker and pictures.

The real site with a real worker, on files and SQLite and on Redis and PostgreSQL; only its
patience is shorter (tests.impatient), and the network dies or stalls on pictures of some sizes.
"""

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tests.impatient import DEADLY, STALLING, STUCK
from tests.servers import Site, wait_for

UPLOAD = """
import io, json, sys
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from diagnosis import intake, roster
from diagnosis.models import Laboratory, Slide
from ml.drawing import draw_cell
user = User.objects.get(username="admin")
slide = Slide.objects.create(laboratory=Laboratory.objects.first(), code="{code}", created_by=user)
def file(seed, size):
    data = io.BytesIO()
    draw_cell(seed, bool(seed % 2), 48).resize(size).save(data, "PNG")
    return SimpleUploadedFile(f"cell-{{seed}}.png", data.getvalue())
receipts = intake.receive(slide, [file(seed, size) for seed, size in enumerate({sizes})], user)
print(sum(receipt.image is not None for receipt in receipts))
"""
COUNT = """
import json
from diagnosis.models import Prediction
rows = Prediction.objects.values_list("slide__code", "state", "attempts", "image__width", "error")
print(json.dumps([list(row) for row in rows]))
"""
ORDINARY = (48, 48)


@pytest.fixture(params=["files", "servers"])
def site(request, live_stack, trained_model) -> Site:
    services = {}
    if request.param == "servers":
        services = {
            "REDIS_URL": request.getfixturevalue("redis_url"),
            "DATABASE_URL": request.getfixturevalue("postgres_url"),
        }
    site = live_stack(start=False, DJANGO_SETTINGS_MODULE="tests.impatient", FAULTS="1", **services)
    site.manage("prepare", "--no-static")
    register = "from diagnosis import registry; registry.register({!r}, activate=True)"
    site.manage("shell", "-v0", "-c", register.format(str(trained_model)))
    return site


def upload(site: Site, sizes: list[tuple[int, int]], code: str = "S-1") -> None:
    said = site.manage("shell", "-v0", "-c", UPLOAD.format(code=code, sizes=sizes))
    assert int(said.split()[-1]) == len(sizes)


def rows(site: Site) -> list[dict[str, Any]]:
    names = ("slide", "state", "attempts", "width", "error")
    said = site.manage("shell", "-v0", "-c", COUNT)
    return [dict(zip(names, row, strict=True)) for row in json.loads(said.splitlines()[-1])]


def states(site: Site) -> list[str]:
    return [row["state"] for row in rows(site)]


def wait_until_final(site: Site, seconds: float = 90) -> list[dict[str, Any]]:
    def final() -> bool:
        time.sleep(0.5)
        return not {"queued", "running"} & set(states(site))

    wait_for(final, "all readings to end", seconds, site.log)
    return rows(site)


def strike_while_reading(site: Site) -> psutil.Process:
    """Wait until a chunk is being read, and kill the process that reads it."""
    wait_for(lambda: "running" in states(site), "a chunk to be read", log=site.log)
    children = psutil.Process(site.workers[-1].pid).children()
    for child in children:
        child.kill()
    return children[0]


def test_a_killed_process_loses_and_doubles_nothing(site):
    upload(site, [ORDINARY] * 200)
    site.start_worker()
    strike_while_reading(site)
    found = wait_until_final(site)
    assert len(found) == 200
    assert {row["state"] for row in found} == {"done"}
    assert max(row["attempts"] for row in found) == 2  # or nothing was struck


def test_a_killed_worker_loses_and_doubles_nothing(site):
    upload(site, [ORDINARY] * 200)
    site.start_worker()
    wait_for(lambda: "running" in states(site), "a chunk to be read", log=site.log)
    site.kill_worker()
    site.start_worker()
    found = wait_until_final(site)
    assert len(found) == 200
    assert {row["state"] for row in found} == {"done"}
    assert max(row["attempts"] for row in found) == 2


def test_an_emptied_broker_loses_nothing(site):
    upload(site, [ORDINARY] * 100)
    empty_broker(site)
    site.start_worker()
    found = wait_until_final(site)
    assert [row["state"] for row in found] == ["done"] * 100


def empty_broker(site: Site) -> None:
    if "REDIS_URL" in site.env:
        with redis.Redis.from_url(site.env["REDIS_URL"]) as client:
            assert client.dbsize()
            client.flushall()
        return
    messages = list(Path(site.var).rglob("queue-*/*.json"))
    assert messages
    for message in messages:
        message.unlink()


@pytest.mark.parametrize(
    ("size", "reason"),
    [(DEADLY, "broke off each time"), (STALLING, "too long"), (STUCK, "broke off each time")],
    ids=["deadly", "stalling", "stuck"],
)
def test_a_poisoned_picture_fails_alone_and_says_why(site, size, reason):
    upload(site, [ORDINARY] * 5 + [size] + [ORDINARY] * 5)
    site.start_worker()
    found = wait_until_final(site, seconds=150)
    poisoned = [row for row in found if row["width"] == size[0]]
    assert [row["state"] for row in found if row not in poisoned] == ["done"] * 10
    assert [(row["state"], row["attempts"]) for row in poisoned] == [("failed", 3)]
    assert reason in poisoned[0]["error"]


def test_workers_that_race_read_each_picture_once(site):
    upload(site, [ORDINARY] * 200)
    for _ in range(2):
        site.start_worker()
    found = wait_until_final(site)
    assert [row["state"] for row in found] == ["done"] * 200
    assert {row["attempts"] for row in found} == {1}
