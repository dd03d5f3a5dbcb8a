"""Whatever falls over while images are uploaded: none is lost, doubled, stuck or failed unsaid.

A round for each fault; `make soak` goes on for 200 rounds drawn at random.
"""

import time

import pytest

from tests import servers
from tests.conftest import missing
from tests.faults import AMISS, FAULTS, database_full, media_full, stands, under


@pytest.fixture(scope="module")
def stand():
    try:
        servers.postgres_program("initdb")
        with servers.redis_server():
            pass
    except servers.Missing as reason:
        missing(reason)
    with stands() as stand:
        yield stand


def nothing_is_missing(stand):
    found = stand.settle()
    assert {name: found[name] for name in AMISS} == dict.fromkeys(AMISS, 0)
    assert found["read"] + found["failed"] >= found["accepted"] > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_under_uploads(stand, fault):
    if fault in (media_full, database_full) and not stand.disks:
        missing("no right to mount a small disk")
    accepted, troubled = len(stand.accepted), stand.troubled
    under(stand, fault)
    assert len(stand.accepted) > accepted
    assert stand.troubled > troubled or fault not in (media_full, database_full)
    nothing_is_missing(stand)
    assert stand.upload() == 200


def test_uploads_go_on_without_redis(stand):
    """No upload fails, and none waits long; what they sent is read when it is back."""
    stand.redis.end()
    try:
        began = time.monotonic()
        assert [stand.upload() for _ in range(10)] == [200] * 10
        assert time.monotonic() - began < 60
    finally:
        stand.redis.start()
    nothing_is_missing(stand)
