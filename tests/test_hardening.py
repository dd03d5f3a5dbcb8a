"""The site as strangers on the network meet it, in real processes."""

import socket
import subprocess
import sys
import time

import pytest
from django.test import Client

from malariaweb.serving import LEAST_RATE, PATIENCE, PacedSocket
from tests.readings import png
from tests.servers import ROOT, clean_environment
from tests.test_graceful import half_sent
from tests.visitors import Visitor


def test_djangos_own_check_finds_nothing_in_a_real_site(tmp_path):
    settings = {"SITE_URL": "https://malaria.example.org", "VAR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_too_many_resets_of_one_address_are_refused(db, settings):
    settings.EMAIL_CONFIGURED = True
    asked = {"email": "ada@example.org"}
    answers = [Client().post("/accounts/password/reset/", asked).status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]


class TestPace:
    @pytest.fixture
    def pair(self):
        client, server = socket.socketpair()
        paced = PacedSocket(fileno=server.detach())
        with client, paced:
            yield client, paced

    def test_silence_ends_it(self, pair):
        _, server = pair
        server.patience = 0.3
        started = time.monotonic()
        with pytest.raises(ConnectionResetError, match="stalled"):
            server.recv(10)
        assert 0.25 < time.monotonic() - started < 2

    def test_single_bytes_wear_patience_out(self, pair):
        client, server = pair
        server.patience = 0.5
        client.send(b"x" * 100)
        for _ in range(20):
            server.recv(1)
            server.patience -= 0.02  # as if it had been waited for
        assert server.patience < 0.2

    def test_what_arrives_gives_it_back_up_to_its_measure(self, pair):
        client, server = pair
        server.patience = 1
        client.send(bytes(2 * LEAST_RATE))
        server.recv(2 * LEAST_RATE)
        assert 2.5 < server.patience <= 3
        for _ in range(40):
            client.send(bytes(LEAST_RATE))
            server.recv(LEAST_RATE)
        assert server.patience == PATIENCE

    def test_the_senders_timeout_is_left_alone(self, pair):
        client, server = pair
        server.setblocking(True)
        client.send(b"x")
        server.recv(1)
        assert server.gettimeout() is None


def drip(port: int, seconds: float) -> float:
    """Headers of a request, a byte now and then: how long it is listened to."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(0.5)
        connection.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        while time.monotonic() - started < seconds:
            try:
                connection.send(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - started


def test_stalled_uploads_and_dripping_requests_are_cut_and_others_go_on(live_stack):
    site = live_stack(WEB_THREADS="2")
    visitor = Visitor(site)
    images = visitor.new_slide("KSM-1")
    stalled, _ = half_sent(visitor, images)
    assert drip(site.port, 3 * PATIENCE) < 1.5 * PATIENCE
    answer = stalled.getresponse()
    assert answer.status == 408
    assert b"The upload stopped on its way" in answer.read()
    assert visitor.upload(images, {"cell.png": png()}).status == 200
    assert "Traceback" not in site.log.read_text()
