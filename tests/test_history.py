from datetime import UTC, date, datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from diagnosis import history, readings, reviews, verdict
from diagnosis.models import Slide
from ml.background import Background, Share
from tests.people import laboratory_of
from tests.readings import (
    active_model,
    failed,
    measured_model,
    new_slide,
    read,
    read_field,
    waiting,
)

pytestmark = pytest.mark.django_db
OUTCOMES = ("parasitized", "uncertain", "uninfected", "rejected", "failed", "pending")


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slides(laboratory):
    """One of each mixture of outcomes, the empty one too."""
    for mixture in product((False, True), repeat=len(OUTCOMES)):
        slide = new_slide(laboratory)
        for outcome in (name for name, there in zip(OUTCOMES, mixture, strict=True) if there):
            if outcome == "failed":
                failed(slide)
            elif outcome == "pending":
                waiting(slide)
            else:
                read(slide, outcome)
    return Slide.objects.all()


def search(**chosen):
    return history.search(Slide.objects.all(), **chosen)


def codes(**chosen):
    return [slide.code for slide in search(**chosen)]


def test_finds_what_the_tally_says(slides):
    tallies = verdict.tallies(slides)

    def expected(condition):
        return {pk for pk, tally in tallies.items() if condition(tally)}

    def found(**chosen):
        return {slide.pk for slide in search(**chosen)}

    assert len(tallies) == 64
    assert found(result="parasitized") == expected(lambda t: t.parasitized)
    assert found(result="uncertain") == expected(lambda t: t.uncertain)
    assert found(result="uninfected") == expected(lambda t: t.result == "uninfected")
    assert found(result="rejected") == expected(lambda t: t.rejected)
    for status in history.STATUSES:
        assert found(status=status) == expected(lambda t, s=status: t.status == s)
    both = found(result="uninfected", status="done")
    assert both == expected(lambda t: t.result == "uninfected" and t.status == "done")


def test_what_people_said_decides_what_is_found(laboratory):
    slide = new_slide(laboratory, "S-1")
    image, ada = read(slide, "parasitized").image, laboratory.members.get()
    reviews.say(image, ada, "uninfected")
    assert codes(result="uninfected") == ["S-1"]
    assert codes(result="parasitized") == []
    reviews.say(image, ada, "cannot-tell")
    assert codes(result="uncertain") == ["S-1"]
    reviews.take_back(image, ada)
    assert codes(result="parasitized") == ["S-1"]


def test_what_fields_say_decides_for_their_slides(laboratory):
    share = Share(mean=0.002, spread=0.5, slides=30, cells=30_000)
    background = Background(share, sensitivity=0.95, infected=500, uncertain=share)
    active_model(metrics={"background": background.as_dict()})
    cells = {"POSITIVE": ["parasitized"] * 30, "NEGATIVE": [], "FEW": None}
    for code, some in cells.items():
        number = 9 if some is None else 500
        read_field(new_slide(laboratory, code), *(some or []), *["uninfected"] * number)
    assert codes(result="positive") == ["POSITIVE"]
    assert codes(result="negative") == ["NEGATIVE"]
    assert codes(result="uncertain") == ["FEW"]
    assert codes(result="uninfected") == ["NEGATIVE"]
    results = {slide.code: verdict.tally(slide).result for slide in Slide.objects.all()}
    assert results == {"POSITIVE": "parasitized", "NEGATIVE": "uninfected", "FEW": "uncertain"}


def test_newest_first(laboratory):
    names = [new_slide(laboratory, f"S-{n}").code for n in range(3)]
    assert codes() == names[::-1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("s-12", {"S-12", "S-120"}),
        ("ward", {"S-7"}),
        ("IMG_07", {"S-120"}),
        ("nothing", set()),
        ("%", {"S-7"}),
        ("_", {"S-120"}),
        ("'", set()),
        ("KSM\ns", set()),
        ("Ärztin", {"S-7", "S-8"}),
        ("ärztin", {"S-8"}),
    ],
)
def test_words_are_looked_for_in_codes_notes_and_file_names(words, found, laboratory):
    new_slide(laboratory, "S-12")
    new_slide(laboratory, "S-7", note="Ward 3, 50% blurred, Ärztin")
    new_slide(laboratory, "S-8", note="ärztin")
    slide = new_slide(laboratory, "S-120")
    for name in ("img_07-1.png", "img_07-2.png"):
        read(slide, name=name)
    assert len(codes(q=words)) == len(found)
    assert set(codes(q=words)) == found


def test_days_are_whole_and_local(laboratory):
    for code, moment in {
        "before": datetime(2026, 3, 1, 20, 59, tzinfo=UTC),
        "first": datetime(2026, 3, 1, 21, 0, tzinfo=UTC),
        "last": datetime(2026, 3, 3, 20, 59, 59, tzinfo=UTC),
        "after": datetime(2026, 3, 3, 21, 0, tzinfo=UTC),
    }.items():
        new_slide(laboratory, code, created_at=moment)
    with timezone.override(ZoneInfo("Africa/Nairobi")):
        assert codes(since=date(2026, 3, 2), until=date(2026, 3, 3)) == ["last", "first"]
        assert codes(since=date(2026, 3, 4)) == ["after"]
        assert codes(until=date(2026, 3, 1)) == ["before"]


def test_only_among_the_slides_that_are_given(laboratory):
    mine = new_slide(laboratory, "S-1")
    read(mine, "parasitized")
    read(new_slide(laboratory_of("eve", "Mombasa"), "S-2"), "parasitized", name="S-1.png")
    found = history.search(laboratory.slides.all(), q="s-", result="parasitized")
    assert list(found) == [mine]


def test_file_names_are_gone_through_once_where_they_name_few_slides(slides, monkeypatch):
    chosen = {"q": ".png", "result": "parasitized", "status": "done", "since": date(2026, 1, 1)}
    found = []
    for few, number in ((500, 0), (1, 2)):
        monkeypatch.setitem(history.FEW, connection.vendor, few)
        with CaptureQueriesContext(connection) as queries:
            slides_found = search(**chosen)
            found.append((slides_found.count(), list(slides_found)))
        through_names = [q for q in queries if "LIKE" in q["sql"] and "smearimage" in q["sql"]]
        assert len(queries) == 3
        assert len(through_names) == 1 + number
    assert found[0] == found[1]
    assert found[0][0] > 0


def test_days_without_a_neighbour_narrow_nothing(laboratory):
    slide = new_slide(laboratory)
    found = history.search(Slide.objects.all(), since=date.min, until=date.max)
    assert list(found) == [slide]


def test_a_persons_conclusion_is_found_as_the_result(laboratory):
    measured_model()
    ada = laboratory.members.get()
    for concluded in ("positive", "negative", "cannot-tell"):
        slide = new_slide(laboratory, f"crop {concluded}")
        read(slide, "uninfected")
        readings.conclude(slide, ada, concluded)
    doubted = new_slide(laboratory, "doubted")
    read(doubted, "parasitized")
    readings.conclude(doubted, ada, "negative")
    unsure = new_slide(laboratory, "unsure")
    read_field(unsure, *["uninfected"] * 600)
    assert codes(result="negative") == ["unsure", "crop negative"]
    readings.conclude(unsure, ada, "cannot-tell")
    assert codes(result="positive") == ["crop positive"]
    assert codes(result="negative") == ["crop negative"]
