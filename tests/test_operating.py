"""What those who watch over the site are told, and what strangers are not."""

import json
import shutil
from collections import namedtuple
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from diagnosis import health, registry
from diagnosis.models import ModelVersion
from tests import servers
from tests.people import laboratory_of
from tests.processes import UNREACHABLE
from tests.readings import new_slide, read, waiting
from tests.servers import Site, free_port, wait_for

TOKEN = "t" * 30
ALL_OK = dict.fromkeys(("database", "broker", "model", "disk", "storage"), "ok")


def ready(client=None):
    answer = (client or Client()).get("/readyz")
    return answer.status_code, answer.json()


@pytest.fixture
def model(db, tmp_path, trained_model, settings):
    """A copy that may be spoilt."""
    health._verified.cache_clear()
    folder = tmp_path / "model"
    shutil.copytree(trained_model, folder)
    registry.register(folder, activate=True)
    settings.CELERY_BROKER_URL = "memory://"
    return folder


def test_healthz_says_that_the_process_answers():
    """Without a database: the test has none."""
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]
    assert Client().post("/healthz").status_code == 405


def test_all_is_ready(model):
    assert ready() == (200, ALL_OK)
    assert ready() == (200, ALL_OK)


def test_a_database_that_is_away_is_named_without_its_address(model, monkeypatch):
    def away():
        raise OperationalError("connection to host secret.example failed for user malaria")

    monkeypatch.setattr(health, "connection", SimpleNamespace(cursor=away))
    status, states = ready()
    assert (status, states["database"]) == (503, "It cannot be reached.")
    assert "secret" not in str(states)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_truncated_or_missing_model_is_named(model, name):
    assert ready()[0] == 200
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[:-9])
    expected = ALL_OK | {"model": "No model is active, or its files here are missing or damaged."}
    assert ready() == (503, expected)
    (model / name).unlink()
    assert ready() == (503, expected)
    (model / name).write_bytes(content)
    assert ready() == (200, ALL_OK)


def test_no_model_is_named(model):
    ModelVersion.objects.update(is_active=False)
    assert ready()[1]["model"].startswith("No model is active")


def test_a_full_disk_is_named(model, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    expected = ALL_OK | {"disk": "It is full or cannot be written to."}
    assert ready() == (503, expected)


def test_a_disk_that_cannot_be_written_is_named(model, settings):
    settings.MEDIA_ROOT = "/proc/media"
    assert ready()[1]["disk"] == "It is full or cannot be written to."


def test_a_storage_that_is_away_is_named(model, settings):
    read(new_slide(laboratory_of("ada")))
    assert ready()[0] == 200
    shutil.rmtree(settings.MEDIA_ROOT)
    assert ready() == (503, ALL_OK | {"storage": "The stored images cannot be reached."})


def test_probes_are_not_sent_to_https(model, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/healthz").status_code == 200
    assert ready()[0] == 200
    assert Client().get("/accounts/login/").status_code == 301


def test_a_web_process_whose_servers_are_down_says_which(tmp_path):
    site = Site(tmp_path, **UNREACHABLE)
    try:
        site.start_web()
        assert site.get("/healthz") == "ok\n"
        status, body = site.status("/readyz")
        assert status == 503
        assert '"database": "It cannot be reached.", "broker": "It cannot be reached."' in body
        assert '"disk": "ok"' in body
        assert "nobody" not in body
        assert "127.0.0.1" not in body
    finally:
        site.stop()


def test_a_redis_that_goes_and_comes_back_is_seen(live_stack, redis_server):
    port = free_port()
    with servers.redis_server(port) as url:
        site = live_stack(workers=0, REDIS_URL=url)
        servers.wait_for(lambda: site.status("/readyz")[0] == 200, "readiness", log=site.log)
    status, body = site.status("/readyz")
    assert (status, json.loads(body)) == (503, ALL_OK | {"broker": "It cannot be reached."})
    with servers.redis_server(port):
        servers.wait_for(lambda: site.status("/readyz")[0] == 200, "readiness", log=site.log)


class TestMetrics:
    def get(self, token=TOKEN):
        return Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})

    def test_there_are_none_unless_asked_for(self, db, settings):
        settings.METRICS_TOKEN = ""
        assert self.get().status_code == 404
        assert self.get("").status_code == 404

    def test_strangers_get_none(self, db, settings):
        settings.METRICS_TOKEN = TOKEN
        assert self.get("wrong").status_code == 404
        assert Client().get("/metrics").status_code == 404

    def test_the_queue_is_counted_in_the_database(self, db, settings):
        settings.METRICS_TOKEN = TOKEN
        slide = new_slide(laboratory_of("ada"), "KSM-77")
        read(slide)
        waiting(slide, queued_at=timezone.now() - timedelta(seconds=90))
        text = self.get().text
        assert 'malariaweb_predictions{state="done"} 1.0' in text
        assert 'malariaweb_predictions{state="failed"} 0.0' in text
        (line,) = [
            line for line in text.splitlines() if line.startswith("malariaweb_oldest_pending")
        ]
        assert 90 <= float(line.split()[1]) < 120
        assert "KSM-77" not in text

    def test_requests_of_several_web_processes_are_added_up(self, live_stack):
        site = live_stack(workers=0, METRICS_TOKEN=TOKEN, WEB_CONCURRENCY="2")
        for _ in range(20):
            site.get("/healthz")

        def counted() -> bool:
            text = site.get("/metrics", Authorization=f"Bearer {TOKEN}")
            line = 'malariaweb_request_seconds_count{method="GET",route="/healthz",status="200"}'
            return f"{line} 20.0" in text

        wait_for(counted, "all requests in the figures", 30, site.log)
