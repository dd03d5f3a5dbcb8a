"""The site as strangers on the network meet it, in real processes."""

import http.client
import socket
import subprocess
import sys
import time

import pytest
from django.test import Client
from django.test.client import MULTIPART_CONTENT

from malariaweb.serving import LEAST_RATE, PATIENCE, SLOW_AFTER, PacedSocket, Slow
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


class TestSlow:
    """Which of those that are waited for is cut."""

    @pytest.fixture
    def slow(self):
        slow = Slow()
        slow.make_room(8)
        return slow

    @staticmethod
    def add(slow, *owners):
        for owner in owners:
            sock = PacedSocket()
            sock.owner = owner
            slow.add(sock)
        return [one.owner for one in slow.sockets]

    def test_one_person_holds_half_of_the_threads(self, slow):
        assert self.add(slow, *"aaaaaa") == list("aaaa")

    def test_all_together_leave_some_free(self, slow):
        assert self.add(slow, *"abcdef") == list("abcdef")
        assert self.add(slow, "g") == list("bcdefg")

    def test_whoever_holds_most_makes_room(self, slow):
        assert self.add(slow, *"aaabbc") == list("aaabbc")
        assert self.add(slow, "d") == list("aabbcd")

    def test_what_has_arrived_counts_no_more(self, slow):
        self.add(slow, *"aaaa")
        slow.discard(slow.sockets[0])
        assert self.add(slow, "a") == list("aaaa")

    def test_a_single_thread_is_given_away(self, slow):
        slow.make_room(1)
        assert self.add(slow, "a") == ["a"]


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
    site = live_stack(workers=0, WEB_THREADS="2")
    visitor = Visitor(site)
    images = visitor.new_slide("KSM-1")
    stalled, _ = half_sent(visitor, images)
    assert drip(site.port, 3 * PATIENCE) < 1.5 * PATIENCE
    answer = stalled.getresponse()
    assert answer.status == 408
    assert b"The upload stopped on its way" in answer.read()
    assert visitor.upload(images, {"cell.png": png()}).status == 200
    assert "Traceback" not in site.log.read_text()


def test_slow_uploads_of_one_person_leave_the_site_to_others(live_stack):
    site = live_stack(workers=0, WEB_THREADS="4")
    eve, ada = Visitor(site, "eve"), Visitor(site, "ada")
    images = eve.new_slide("KSM-1")
    uploads = [half_sent(eve, images)[0] for _ in range(4)]
    time.sleep(SLOW_AFTER + 1)
    started = time.monotonic()
    assert ada.get("/slides/").status == 200
    assert time.monotonic() - started < 3
    answers = [upload.getresponse().status for upload in uploads[-2:]]
    assert answers == [408, 408]


def test_silent_connections_hold_no_thread(live_stack):
    site = live_stack(workers=0, WEB_THREADS="1")
    silent = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(9)]
    started = time.monotonic()
    assert Visitor(site).get("/slides/").status == 200
    assert time.monotonic() - started < 4
    for connection in silent:
        connection.close()


def test_its_health_is_told_while_all_threads_are_busy(live_stack):
    site = live_stack(workers=0, WEB_THREADS="1")
    visitor = Visitor(site)
    upload, rest = half_sent(visitor, visitor.new_slide("KSM-1"))
    time.sleep(0.5)
    started = time.monotonic()
    assert visitor.get("/healthz").status == 200
    assert time.monotonic() - started < 2
    upload.send(rest)
    assert upload.getresponse().status == 200


def test_the_body_of_a_stranger_is_not_waited_for(live_stack):
    site = live_stack(workers=0, WEB_THREADS="1")
    for path in ("/accounts/login/", "/slides/new/", "/api/v1/slides/"):
        strange = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        strange.putrequest("POST", path)
        headers = {"Content-Length": "900000000", "Cookie": "csrftoken=" + "x" * 32}
        headers |= {"Content-Type": MULTIPART_CONTENT, "Accept": "application/json"}
        for name, value in headers.items():
            strange.putheader(name, value)
        strange.endheaders()
        started = time.monotonic()
        assert strange.getresponse().status == 401, path
        assert time.monotonic() - started < 3, path


def test_a_body_without_its_length_is_not_taken_for_an_empty_one(live_stack):
    site = live_stack(workers=0)
    sentence = "Send the length of the request (Content-Length)."
    for path, kind in (("/api/v1/slides/", "application/json"), ("/accounts/login/", "text/html")):
        program = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        parts = iter([b'{"code": ', b'"KSM-1"}'])
        program.request("POST", path, parts, {"Content-Type": "application/json"})
        answer = program.getresponse()
        assert (answer.status, answer.headers.get_content_type()) == (411, kind)
        assert sentence in answer.read().decode()
