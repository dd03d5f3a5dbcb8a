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
    clock_jumped,
    database_full,
    lacking,
    media_full,
    stands,
    under,
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


ELSEWHEN = (
    "SELECT count(*) FROM diagnosis_prediction"
    " WHERE finished_at NOT BETWEEN now() - interval '30 min' AND now() + interval '30 min'"
)
SAID = {
    "model_missing": "lacks its file model.onnx",
    "model_truncated": "was altered or not copied whole",
    "model_of_another_format": "has format 99",
    "broker_full": "No space left on device",
}
"""By the site, where the fault was one."""


def signs_of(stand, fault):
    """How often the site has felt a fault that could pass it by unnoticed."""
    if fault is clock_jumped:
        return stand.query(ELSEWHEN)[0][0]
    if fault in (media_full, database_full):
        return stand.troubled
    return stand.site.said(SAID[fault.__name__])


def nothing_is_missing(stand):
    found = stand.settle()
    assert {name: found[name] for name in AMISS} == dict.fromkeys(AMISS, 0)
    assert found["read"] + found["failed"] >= found["accepted"] > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_under_uploads(stand, fault):
    if reason := lacking(stand, fault):
        missing(reason)
    is_felt = fault in (clock_jumped, media_full, database_full) or fault.__name__ in SAID
    accepted, signs = len(stand.accepted), signs_of(stand, fault) if is_felt else 0
    under(stand, fault)
    assert len(stand.accepted) > accepted
    assert not is_felt or signs_of(stand, fault) > signs
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
