"""Limits count on, whether Redis is there or not."""

import socket

import pytest
from django.core.cache import caches

from malariaweb import cache
from malariaweb.cache import SharedCache
from tests.servers import free_port, redis_server

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ask_at_once(monkeypatch):
    monkeypatch.setattr(SharedCache, "asked_again_at", 0.0)
    caches["database"].clear()


def on(url):
    options = {"socket_connect_timeout": 1, "socket_timeout": 1}
    return SharedCache(url, {"OPTIONS": options})


def count(shared):
    shared.add("tries", 0, 60)
    return shared.incr("tries")


def test_redis_holds_it_while_it_is_there(redis_url):
    assert [count(on(redis_url)) for _ in range(3)] == [1, 2, 3]
    assert caches["database"].get("tries") is None


def test_the_database_stands_in_for_a_redis_that_is_gone(monkeypatch, caplog):
    shared = on(f"redis://127.0.0.1:{free_port()}/0")
    assert [count(shared) for _ in range(3)] == [1, 2, 3]
    assert shared.get_or_set("other", lambda: 5, 60) == 5
    assert shared.touch("other", 60)
    shared.delete("other")
    assert "other" not in shared
    assert caplog.text.count("the database stands in") == 1


def test_it_is_asked_again_when_it_is_back(monkeypatch):
    port = free_port()
    shared = on(f"redis://127.0.0.1:{port}/0")
    monkeypatch.setattr(cache, "PAUSE", 0)
    assert count(shared) == 1
    with redis_server(port):
        assert count(shared) == 1
    assert caches["database"].get("tries") == 1


def test_a_silent_redis_is_waited_for_once():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shared = on(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert count(shared) == 1
        assert SharedCache.asked_again_at > 0
        silent.settimeout(0.5)
        silent.accept()
        count(shared)
        with pytest.raises(TimeoutError):
            silent.accept()


def test_a_mistake_in_the_program_is_none_of_redis(redis_url):
    with pytest.raises(ValueError, match="not found"):
        on(redis_url).incr("never")
