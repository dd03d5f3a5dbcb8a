from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from diagnosis import cells, disputes, readings, reviews, signing, waiting
from diagnosis.models import Role
from diagnosis.waiting import Reason
from tests.people import join, laboratory_of, signed_in
from tests.readings import (
    failed,
    measured_model,
    new_slide,
    read,
    read_field,
)
from tests.readings import waiting as queued

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def tray(laboratory):
    """One slide for each reason, and some that wait for nobody; made the least urgent first."""
    slides = {name: new_slide(laboratory, name) for name in ("EMPTY", "FAILED", "OTHER", "NEG")}
    failed(slides["FAILED"])
    queued(slides["OTHER"])
    read(slides["NEG"])
    for name, decision in (("UNCERTAIN", "uncertain"), ("POSITIVE", "parasitized")):
        slides[name] = new_slide(laboratory, name)
        read(slides[name], decision)
        read(slides[name])
    return slides


def found(user):
    return [(slide.code, Reason(slide.waits)) for slide in list[Any](waiting.slides(user))]


def test_the_most_urgent_come_first_each_with_its_reason(ada, tray):
    assert found(ada) == [
        ("POSITIVE", Reason.POSITIVE),
        ("UNCERTAIN", Reason.UNCERTAIN),
        ("NEG", Reason.UNSIGNED),
        ("FAILED", Reason.FAILED),
    ]


def test_of_one_reason_the_critical_come_first_then_the_oldest(ada, laboratory):
    now = timezone.now()
    for code, decision, days in (("A", "uninfected", 1), ("B", "uninfected", 2), ("C", "", 0)):
        slide = new_slide(laboratory, code, created_at=now - timedelta(days=days))
        prediction = read(slide, decision or "parasitized")
        if not decision:
            reviews.say(prediction.image, ada, "parasitized")
    assert found(ada) == [(code, Reason.UNSIGNED) for code in "CBA"]


def test_what_was_looked_at_waits_to_be_signed_and_then_no_more(ada, tray):
    slide = tray["POSITIVE"]
    image = slide.images.get(predictions__decision="parasitized")
    reviews.say(image, ada, "parasitized")
    assert ("POSITIVE", Reason.UNSIGNED) in found(ada)
    signing.sign(slide, ada)
    assert "POSITIVE" not in dict(found(ada))


def test_suspicious_cells_that_come_after_the_signature_wait_again(ada, tray):
    slide = tray["NEG"]
    signing.sign(slide, ada)
    read(slide)
    assert "NEG" not in dict(found(ada))
    read(slide, "parasitized")
    assert found(ada)[0] == ("NEG", Reason.POSITIVE)


def test_a_picture_that_was_read_before_the_signature_and_added_after_it_waits(ada, tray):
    slide = tray["NEG"]
    signing.sign(slide, ada)
    read(slide, "uncertain", finished_at=timezone.now() - timedelta(days=9))
    assert ("NEG", Reason.UNCERTAIN) in found(ada)


def test_every_suspicious_cell_of_a_field_is_to_be_looked_at(ada, laboratory):
    measured_model()
    slide = new_slide(laboratory, "FIELD")
    image = read_field(slide, "parasitized", "uncertain", "edge", *["uninfected"] * 500).image
    first, second = image.cells.filter(decision__in=("parasitized", "uncertain"))
    assert found(ada) == [("FIELD", Reason.UNCERTAIN)]
    cells.say(image, ada, first.pk, "parasitized")
    assert found(ada) == [("FIELD", Reason.POSITIVE)]
    cells.say(image, ada, second.pk, "uninfected")
    assert found(ada) == [("FIELD", Reason.UNSIGNED)]


def test_a_technician_is_asked_about_what_failed_alone(laboratory, tray):
    ben = join(laboratory, "ben", Role.TECHNICIAN).user
    assert found(ben) == [("FAILED", Reason.FAILED)]


def test_other_laboratories_and_deleted_slides_wait_for_nobody_here(ada, tray):
    assert found(laboratory_of("eve", "Mombasa").members.get()) == []
    tray["POSITIVE"].deleted_at = timezone.now()
    tray["POSITIVE"].save()
    assert "POSITIVE" not in dict(found(ada))


def test_the_roles_of_two_laboratories_are_kept_apart(laboratory, tray):
    eve = laboratory_of("eve", "Mombasa").members.get()
    read(new_slide(eve.memberships.get().laboratory, "THEIRS"), "parasitized")
    laboratory.memberships.create(user=eve, role=Role.TECHNICIAN)
    assert found(eve) == [("THEIRS", Reason.POSITIVE), ("FAILED", Reason.FAILED)]


def test_the_next_one_goes_round_and_is_never_the_same(ada, tray):
    codes, here = [], None
    for _ in range(5):
        here = waiting.following(ada, here)
        codes.append(here.code)
    assert codes == ["POSITIVE", "UNCERTAIN", "NEG", "FAILED", "POSITIVE"]
    assert waiting.following(ada, tray["EMPTY"]).code == "POSITIVE"


def test_nothing_follows_the_only_one(ada, laboratory):
    slide = new_slide(laboratory)
    read(slide)
    assert waiting.following(ada, slide) is None


def test_questions_do_not_grow_with_slides(ada, laboratory, django_assert_num_queries):
    for _ in range(8):
        read(new_slide(laboratory), "parasitized")
    with django_assert_num_queries(4):
        assert len(found(ada)) == 8


def test_the_link_leads_there_and_says_when_nothing_waits(ada, tray):
    client = signed_in(ada)
    first, second = tray["POSITIVE"], tray["UNCERTAIN"]
    address = reverse("slide", args=[second.pk])
    assert client.get(reverse("first_slide"))["Location"] == reverse("slide", args=[first.pk])
    assert client.get(reverse("slide_next", args=[first.pk]))["Location"] == address
    for slide in (first, second, tray["NEG"], tray["FAILED"]):
        slide.deleted_at = timezone.now()
        slide.save()
    page = client.get(reverse("slide_next", args=[tray["EMPTY"].pk]), follow=True)
    assert page.redirect_chain == [(reverse("slide", args=[tray["EMPTY"].pk]), 302)]
    assert "No other slide needs you now." in page.text
    assert "No slide needs you now." in client.get(reverse("first_slide"), follow=True).text


def test_pages_link_to_the_next_one(ada, tray):
    client, slide = signed_in(ada), tray["NEG"]
    address = reverse("slide_next", args=[slide.pk])
    assert address in client.get(reverse("slide", args=[slide.pk])).text
    report = signing.sign(slide, ada)
    assert address in client.get(reverse("slide_report", args=[slide.pk, report.number])).text
    assert reverse("first_slide") in client.get(reverse("history")).text


def test_the_next_one_is_not_made_by_a_form(ada):
    assert signed_in(ada).post(reverse("first_slide")).status_code == 405


class TestOfSlidesThatAreReadTwice:
    @pytest.fixture
    def slide(self, laboratory):
        laboratory.second_reading = True
        laboratory.save()
        slide = new_slide(laboratory, "TWICE")
        read(slide)
        return slide

    @pytest.fixture
    def ben(self, laboratory):
        return join(laboratory, "ben", Role.REVIEWER).user

    def test_a_second_reading_waits_for_those_who_have_not_read(self, slide, ada, ben):
        assert found(ben) == [("TWICE", Reason.UNSIGNED)]
        readings.conclude(slide, ada, "negative", close=True)
        assert (found(ada), found(ben)) == ([], [("TWICE", Reason.SECOND)])

    def test_an_open_reading_waits_for_its_reader_alone(self, slide, laboratory, ada, ben):
        cleo = join(laboratory, "cleo").user
        readings.conclude(slide, ada, "negative", close=True)
        readings.conclude(slide, ben, "")
        assert found(ben) == [("TWICE", Reason.SECOND)]
        assert found(cleo) == []

    def test_a_difference_waits_for_everybody(self, slide, laboratory, ada, ben):
        cleo = join(laboratory, "cleo").user
        readings.conclude(slide, ada, "negative", close=True)
        readings.conclude(slide, ben, "cannot-tell", close=True)
        for user in (ada, ben, cleo):
            assert found(user) == [("TWICE", Reason.SETTLE)]
        disputes.settle(slide, cleo, "slide", "negative", "All fields seen.")
        assert found(ada) == [("TWICE", Reason.UNSIGNED)]

    def test_a_suspicious_one_comes_first_for_each_reader(self, slide, ada, ben):
        image = read(slide, "parasitized").image
        reviews.say(image, ada, "uninfected")
        readings.conclude(slide, ada, "negative", close=True)
        assert (found(ada), found(ben)) == ([], [("TWICE", Reason.POSITIVE)])
