"""Lines of the log: what each carries, and what none may."""

import json
import logging

import pytest
from django.conf import settings
from django.db import IntegrityError
from django.test import Client

from malariaweb import logs, middleware
from tests.readings import png
from tests.servers import wait_for
from tests.visitors import Visitor

ROW = 'duplicate key value\nDETAIL:  Key (code)=(KSM-9) already exists.\nCONTEXT:  a "line"'


def formatted(kind, record):
    logs.Ids().filter(record)
    return kind.format(record)


def record_of(message, *arguments, error=None, **extra):
    trace = (type(error), error, None) if error else None
    record = logging.LogRecord("diagnosis", logging.INFO, "file", 1, message, arguments, trace)
    record.__dict__.update(extra)
    return record


def test_a_json_line_has_named_fields_and_nothing_a_library_adds():
    logs.request_id.set("request-1")
    line = json.loads(formatted(logs.Json(), record_of("Read %s", 7, data={"code": "KSM-9"})))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "diagnosis",
        "message": "Read 7",
        "request_id": "request-1",
    }


@pytest.mark.parametrize("kind", [logs.Json(), logs.Lines("{message}", style="{")])
def test_what_the_database_quotes_of_a_row_is_left_out(kind):
    text = formatted(kind, record_of("It failed: %r", ROW, error=IntegrityError(ROW)))
    assert "duplicate key value" in text
    assert "CONTEXT" in text
    assert "KSM-9" not in text


def test_an_address_is_logged_as_its_route(db, caplog):
    caplog.handler.addFilter(logs.Ids())
    Client().get("/invitations/a-secret-token/?next=KSM-9")
    Client().get("/nowhere/KSM-9")
    assert "Not Found: /invitations/<str:token>/" in caplog.text
    assert "Not Found: unknown" in caplog.text
    assert "secret" not in caplog.text
    assert "KSM-9" not in caplog.text


@pytest.mark.parametrize(
    ("proxies", "given", "kept"),
    [(1, "from-the-proxy", True), (0, "from-a-stranger", False), (1, "two\nlines here", False)],
)
def test_a_request_is_named_by_our_own_proxy_or_by_us(monkeypatch, proxies, given, kept):
    monkeypatch.setattr(settings, "TRUSTED_PROXY_COUNT", proxies)
    answer = Client().get("/healthz", headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is kept
    assert middleware.REQUEST_ID.fullmatch(answer["X-Request-ID"])


def test_each_request_has_an_id_of_its_own():
    client = Client()
    assert client.get("/healthz")["X-Request-ID"] != client.get("/healthz")["X-Request-ID"]


def test_an_upload_can_be_followed_from_the_request_to_the_task(live_stack):
    site = live_stack(LOG_FORMAT="json")
    visitor = Visitor(site)
    name = visitor.upload(visitor.new_slide("KSM-1"), {"cell.png": png()})["X-Request-ID"]

    def lines():
        found = [line for line in site.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in found]

    def followed():
        return [line for line in lines() if line.get("request_id") == name and "task_id" in line]

    wait_for(followed, "a line of the task", log=site.log)
    assert followed()[0]["logger"] == "celery.app.trace"
    (answered,) = [line for line in lines() if line.get("request_id") == name and "route" in line]
    assert answered["route"] == "/slides/<uuid:pk>/images/"
    assert answered["status"] == 200
    odd = [line for line in site.log.read_text().splitlines() if line and line[0] != "{"]
    assert [line for line in odd if not line.startswith("The site is ready")] == []
