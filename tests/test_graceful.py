"""Asked to stop, web and worker end what they have begun, within 30 seconds."""

import http.client
import os
import signal
import time

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from diagnosis.models import Prediction
from tests.ill_worker import SLOW
from tests.readings import png
from tests.servers import wait_for
from tests.test_worker import rows_of, slide_with, workers  # noqa: F401
from tests.visitors import Visitor

SECONDS = 30


def half_sent(visitor, path) -> tuple[http.client.HTTPConnection, bytes]:
    """An upload on its way, and what is still to be sent of it."""
    body = encode_multipart(BOUNDARY, {"images": SimpleUploadedFile("cell.png", png())})
    connection = http.client.HTTPConnection("127.0.0.1", visitor.site.port, timeout=60)
    connection.putrequest("POST", path)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    length = {"Content-Length": str(len(body)), "Content-Type": MULTIPART_CONTENT}
    for name, value in (visitor.headers | length | {"Cookie": cookies}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[: len(body) // 2])
    return connection, body[len(body) // 2 :]


def test_the_web_process_takes_an_upload_that_is_on_its_way_and_ends(live_stack):
    site = live_stack(workers=0)
    visitor = Visitor(site)
    connection, rest = half_sent(visitor, visitor.new_slide("KSM-1"))
    time.sleep(1)
    asked = time.monotonic()
    site.web.send_signal(signal.SIGTERM)
    time.sleep(8)  # longer than it used to wait
    assert site.web.poll() is None
    connection.send(rest)
    answer = connection.getresponse()
    assert answer.status == 200
    assert b'"code": "new"' in answer.read()
    assert site.web.wait(timeout=SECONDS) == 0
    assert time.monotonic() - asked < SECONDS


def test_the_web_process_waits_for_nobody_for_ever(live_stack):
    site = live_stack(workers=0)
    visitor = Visitor(site)
    half_sent(visitor, visitor.new_slide("KSM-1"))
    time.sleep(1)
    asked = time.monotonic()
    site.web.send_signal(signal.SIGTERM)
    site.web.wait(timeout=SECONDS)
    assert time.monotonic() - asked < SECONDS


@pytest.mark.parametrize("ask", [os.kill, os.killpg])
def test_a_worker_ends_its_task_and_begins_no_other(workers, ask):  # noqa: F811
    """Some hosts ask its main process, others each of its processes."""
    slide = slide_with([SLOW] * 10 + [None] * 70)
    worker = workers.start_worker()
    running = Prediction.objects.filter(state="running")
    wait_for(running.exists, "the first chunk", log=workers.log)
    asked = time.monotonic()
    ask(worker.pid, signal.SIGTERM)
    assert worker.wait(timeout=SECONDS) == 0
    assert time.monotonic() - asked < SECONDS
    assert {(row.state, row.attempts) for row in rows_of(slide)} <= {("done", 1), ("queued", 0)}
    assert Prediction.objects.filter(state="done").exists()
    assert Prediction.objects.filter(state="queued").exists()


def test_an_idle_site_ends_at_once(live_stack):
    site = live_stack()
    asked = time.monotonic()
    for process in (site.web, *site.workers):
        process.send_signal(signal.SIGTERM)
    for process in (site.web, *site.workers):
        assert process.wait(timeout=SECONDS) == 0
    assert time.monotonic() - asked < 10
