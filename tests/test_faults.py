"""Whatever falls over while images are uploaded: none is lost, doubled, stuck or failed unsaid.

A round for each fault; `make soak` goes on for 200 rounds drawn at random.
"""

import time

import pytest

from tests import servers
from tests.conftest import missing
from tests.faults import (
    AMISS,
    FAULTS,
    broker_full,
    clock_jumped,
    database_full,
    kernel_kills,
    lacking,
    media_full,
    model_missing,
    model_of_another_format,
    model_truncated,
    stands,
    under,
    worker_out_of_memory,
)


@pytest.fixture(scope="module")
def stand():
    try:
        servers.postgres_program("initdb")
        with servers.redis_server():
            pass
    except servers.Missing as reason:
        missing(reason)
    with stands(pause=0.1) as stand:
        yield stand


def elsewhen(stand):
    """Readings whose time is far from now."""
    return stand.query(
        "SELECT count(*) FROM diagnosis_prediction WHERE finished_at"
        " NOT BETWEEN now() - interval '30 min' AND now() + interval '30 min'"
    )[0][0]


def troubled(stand):
    return stand.troubled


def said(text):
    return lambda stand: stand.site.said(text)


SIGNS = {
    worker_out_of_memory: lambda stand: kernel_kills(),
    clock_jumped: elsewhen,
    media_full: troubled,
    database_full: troubled,
    model_missing: said("lacks its file model.onnx"),
    model_truncated: said("was altered or not copied whole"),
    model_of_another_format: said("has format 99"),
    broker_full: said("No space left on device"),
}
"""How often a fault that could pass unnoticed has been felt."""


def nothing_is_missing(stand):
    found = stand.settle()
    assert {name: found[name] for name in AMISS} == dict.fromkeys(AMISS, 0)
    assert found["read"] + found["ill and failed"] >= found["accepted"] > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_under_uploads(stand, fault):
    if reason := lacking(stand, fault):
        missing(reason)
    signs = SIGNS.get(fault, lambda stand: len(stand.accepted))
    before = signs(stand), len(stand.accepted)
    under(stand, fault)
    assert signs(stand) > before[0]
    assert len(stand.accepted) > before[1]
    nothing_is_missing(stand)
    assert stand.upload() == 200


def test_uploads_go_on_without_redis(stand):
    """None fails, and none waits long; what they sent is read when it is back."""
    stand.redis.end()
    try:
        began = time.monotonic()
        assert [stand.upload() for _ in range(10)] == [200] * 10
        assert time.monotonic() - began < 30
    finally:
        stand.redis.start()
    nothing_is_missing(stand)
