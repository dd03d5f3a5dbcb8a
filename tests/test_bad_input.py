"""What people send by mistake or with intent: stored or refused in words, and nothing falls over.

The short form; `make soak` sends 10,000 files.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnosis.intake import shown_name
from ml import sandbox
from ml.limits import UnreadableImage
from tests.bad_input import Trial, form_of, try_files
from tests.corpus import MONSTERS, choices, damaged, encoded

FILES = 200
MEMORY = 1_000_000_000
STORABLE = {
    "bomb_of_zeros", "many_notes", "huge_exif", "endless_exif", "wrong_turn", "page_of_itself",
    "packed_tiff", "with_archive", "with_page", "script_first", "a_field", "all_black",
}  # fmt: skip
"""Odd, but pictures."""


def decoded(content: bytes) -> str:
    """Nothing, or why not."""
    try:
        sandbox.decode(content)
    except UnreadableImage as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("made", MONSTERS, ids=lambda made: made.__name__)
def test_each_monster_is_a_picture_or_is_refused_in_words(made):
    said = decoded(made())
    assert (said == "") == (made.__name__ in STORABLE), said
    assert not said or said.endswith(".")
    assert decoded(encoded("PNG", "RGB", 1)) == ""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(), st.binary(max_size=200))
def test_damaged_files_are_pictures_or_are_refused_in_words(seed, bytes_of_ours):
    _, content = damaged(random.Random(seed))
    for data in (content, bytes_of_ours, content[:50] + bytes_of_ours):
        said = decoded(data)
        assert not said or said.endswith(".")


@given(st.text(max_size=300))
def test_any_name_can_be_shown(name):
    shown = shown_name(name)
    assert 0 < len(shown) <= 200
    assert shown.isprintable() or all(c.isprintable() or c.isspace() for c in shown)
    assert "/" not in shown
    assert "\\" not in shown


def test_many_formats_are_tried():
    assert len(choices()) > 100


def test_a_site_under_bad_files(live_stack):
    site = live_stack()
    trial, watch, states = try_files(site, FILES, seed=20)
    tally = trial.tally
    assert tally["tried"] == FILES
    assert tally["stored"] + tally["refused"] + tally["without a name"] == FILES
    assert tally["5xx"] == 0
    assert trial.wordless == []
    assert tally["stored"] > 30
    assert tally["refused"] > 30
    assert set(states) <= {"done", "rejected"}
    for process in (site.web, *site.workers):
        assert process.poll() is None
    assert site.said("WorkerLostError") == 0
    assert max(watch.highest["web"], watch.highest["worker"]) < MEMORY
    assert site.said("Internal Server Error") == 0


def test_odd_requests_are_answered_in_words(live_stack):
    site = live_stack(workers=0)
    trial = Trial(site)
    trial.run(iter([("..", b"x")]))
    long_name = trial.visitor.send(trial.path, form_of([("a" * 5_000, bytes(9_000_000))]))
    assert long_name.status == 400
    assert "Shorten the names of its files" in long_name.json["error"]
    answer = trial.visitor.send(trial.path, form_of([("", b"x")]))
    assert answer.status == 400
    assert answer.json["error"] == "Choose at least one photograph."
    # 5,000 at once, as somebody's program might send a whole folder.
    folder = trial.visitor.send(trial.path, form_of([(f"{i}.png", b"x") for i in range(5_000)]))
    assert folder.status == 400
    assert folder.json["error"] == "Send at most 500 files at a time."
    assert trial._states(("queued",)) == {}
    most = trial.visitor.send(trial.path, form_of([(f"{i}.png", b"x") for i in range(500)]))
    assert most.status == 200
    refusals = [receipt["refusal"] for receipt in most.json["receipts"]]
    assert len(refusals) == 500
    assert refusals[0].startswith("This is not an image we can read")
