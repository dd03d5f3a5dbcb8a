from datetime import timedelta
from math import inf

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from diagnosis import gallery, reviews
from tests.people import laboratory_of
from tests.readings import failed, new_slide, read, read_field, waiting

NOBODY = AnonymousUser()
pytestmark = pytest.mark.django_db


@pytest.fixture
def slide():
    return new_slide(laboratory_of("ada"))


@pytest.fixture
def images(slide):
    """In the order of upload."""
    return {
        "pending": waiting(slide),
        "uninfected": read(slide),
        "rejected": read(slide, "rejected", probability=0.99),
        "parasitized": read(slide, "parasitized"),
        "failed": failed(slide),
        "uncertain": read(slide, "uncertain"),
        "aside": set_aside(slide),
    }


def set_aside(slide):
    """A field that was read."""
    prediction = read_field(slide, "uninfected")
    reviews.say(prediction.image, slide.laboratory.members.get(), "aside")
    prediction.image.refresh_from_db()
    return prediction


def test_every_image_has_one_status(images):
    assert {name: gallery.status(prediction) for name, prediction in images.items()} == {
        name: name for name in images
    }


@pytest.mark.parametrize("name", gallery.STATUSES)
def test_shows_those_of_one_status(slide, images, name):
    assert list(gallery.results(slide, NOBODY, show=name)["page"]) == [images[name]]


def test_what_people_said_decides_where_an_image_is_shown(slide, images):
    ada = slide.laboratory.members.get()
    for name, label in {
        "uninfected": "parasitized",
        "parasitized": "uninfected",
        "rejected": "cannot-tell",
    }.items():
        reviews.say(images[name].image, ada, label)
    found = gallery.results(slide, NOBODY)
    shown = {(row.pk, gallery.status(row), gallery.answer(row)) for row in found["page"]}
    assert shown == {
        (images["uninfected"].pk, "parasitized", "uninfected"),
        (images["parasitized"].pk, "uninfected", "parasitized"),
        (images["rejected"].pk, "uncertain", "rejected"),
        *((images[name].pk, name, name) for name in ("uncertain", "failed", "pending")),
        (images["aside"].pk, "aside", "uninfected"),
    }
    assert found["page"][0] == images["uninfected"]
    for name, _, count in found["chips"][1:]:
        assert len(gallery.results(slide, NOBODY, show=name)["page"]) == count
    assert [r.label for r in found["page"][0].image.standing_reviews] == ["parasitized"]


def test_shows_all_where_the_status_is_none(slide, images):
    assert (
        len(gallery.results(slide, NOBODY, show="nonsense", order="nonsense", page="99")["page"])
        == 7
    )


def test_the_most_suspicious_come_first(slide, images):
    more = read(slide, "parasitized", probability=0.99)
    found = list(gallery.results(slide, NOBODY)["page"])
    assert found[0] == more
    assert [gallery.status(prediction) for prediction in found[1:]] == list(gallery.STATUSES)


def test_or_in_the_order_of_upload(slide, images):
    assert list(gallery.results(slide, NOBODY, order="upload")["page"]) == list(images.values())


def test_an_earlier_reading_is_not_shown(slide):
    old = read(slide)
    old.is_current = False
    old.save()
    assert not list(gallery.results(slide, NOBODY)["page"])


@pytest.mark.parametrize(
    ("seconds", "every"), [(1, "100ms"), (10, "500ms"), (30, "2s"), (90, "10s")]
)
def test_asks_less_often_the_longer_it_takes(slide, seconds, every):
    waiting(slide, queued_at=timezone.now() - timedelta(seconds=seconds))
    found = gallery.results(slide, NOBODY)
    assert found["every"] == every
    assert found["late"] is (seconds == 90)


@pytest.mark.parametrize(
    ("before", "after", "every"), [(1, 4, "100ms"), (2, 0, "500ms"), (4, 0, "2s"), (9, 0, "2s")]
)
def test_asks_less_often_the_more_of_others_waits_before(slide, monkeypatch, before, after, every):
    monkeypatch.setattr(gallery, "MANY", 4)
    few_many = zip(gallery.PACES, (2, 4, inf, inf), strict=True)
    monkeypatch.setattr(gallery, "PACES", [(limit, n, pace) for (limit, _, pace), n in few_many])
    now, other = timezone.now(), new_slide(slide.laboratory)
    waiting(slide, queued_at=now, sent_at=now)
    for number in range(1, before + 1):
        waiting(other, sent_at=now - timedelta(seconds=number))
    for number in range(1, after + 1):
        waiting(other, sent_at=now + timedelta(seconds=number))
    for _ in range(4):
        waiting(other, sent_at=None)
    found = gallery.results(slide, NOBODY)
    assert (found["every"], found["late"]) == (every, False)


def test_asks_no_more_when_all_is_read(slide):
    read(slide)
    failed(slide)
    assert gallery.results(slide, NOBODY)["every"] == ""


def test_what_changed_changes_the_fingerprint(slide):
    prediction = waiting(slide)
    before = gallery.results(slide, NOBODY)["seen"]
    assert gallery.results(slide, NOBODY)["seen"] == before
    prediction.state, prediction.decision = "done", "uninfected"
    prediction.save()
    assert gallery.results(slide, NOBODY)["seen"] != before


def test_says_the_resolution_of_the_heatmaps(slide):
    assert gallery.results(slide, NOBODY)["grid"] == ""
    read(slide, activation=[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert gallery.results(slide, NOBODY)["grid"] == "3 × 2"


def test_pages_hold_sixty_and_cost_few_queries(slide, django_assert_max_num_queries):
    for _ in range(61):
        read(slide)
    with django_assert_max_num_queries(7):
        page = gallery.results(slide, NOBODY)["page"]
        for prediction in page:
            assert prediction.image.name
            assert prediction.model.name
            assert prediction.image.others == []
    assert (len(page), page.paginator.num_pages) == (60, 2)
