from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis import signing
from tests.people import join, laboratory_of, signed_in
from tests.readings import failed, new_slide, read, read_field, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


def codes(response):
    return [row.slide.code for row in response.context["rows"]]


def find(client, **parameters):
    return client.get(reverse("history"), parameters)


@pytest.mark.parametrize("name", ["history", "history_csv"])
def test_is_private_and_only_read(name, ada):
    assert Client().get(reverse(name))["Location"].startswith(reverse("account_login"))
    assert ada.post(reverse(name)).status_code == 405


def test_a_new_laboratory_is_told_what_to_do(ada):
    page = find(ada)
    assert "Your first slide" in page.text
    assert reverse("slide_new") in page.text


def test_members_see_the_slides_of_their_laboratory_alone(laboratory):
    new_slide(laboratory, "OURS")
    new_slide(laboratory_of("eve", "Mombasa"), "THEIRS")
    ben = signed_in(join(laboratory, "ben").user)
    assert codes(find(ben)) == ["OURS"]
    assert "THEIRS" not in ben.get(reverse("history_csv")).getvalue().decode()


def test_the_bar_of_fields_divides_red_cells_and_no_images(ada, laboratory):
    slide = new_slide(laboratory)
    read_field(slide, "parasitized", *["uninfected"] * 7)
    read_field(slide, "uncertain", "uninfected")
    page = find(ada).text
    assert '<rect class="parasitized" x="0.00" width="10.00"' in page
    assert "1 image uncertain" in page


def test_the_newest_comes_first_and_pages_follow(ada, laboratory):
    now = timezone.now()
    for number in range(27):
        new_slide(laboratory, f"S{number}", created_at=now - timedelta(hours=number))
    assert codes(find(ada)) == [f"S{number}" for number in range(25)]
    assert codes(find(ada, page="2")) == ["S25", "S26"]
    assert codes(find(ada, page="x")) == codes(find(ada))


def test_rows_say_how_the_slide_came_out(ada, laboratory):
    slide = new_slide(laboratory, "KSM-1")
    read(slide, "parasitized")
    for _ in range(4):
        read(slide)
    failed(slide)
    page = find(ada)
    assert "1 of 5 cells parasitized" in page.text
    assert "1 not read" in page.text
    assert page.text.count("/photo/?small") == 4
    assert "+2" in page.text


def test_signed_slides_are_marked(ada, laboratory):
    slides = [new_slide(laboratory) for _ in range(2)]
    for slide in slides:
        read(slide)
    signing.sign(slides[0], laboratory.members.get())
    rows = {row.slide: row.slide.is_signed for row in find(ada).context["rows"]}
    assert rows == {slides[0]: True, slides[1]: False}
    assert find(ada).text.count('<span class="signed">') == 1


def test_narrows_by_all_at_once(ada, laboratory):
    suspect, clear, busy = (new_slide(laboratory, code) for code in ("SUSPECT", "CLEAR", "BUSY"))
    read(suspect, "parasitized")
    read(clear)
    waiting(busy)
    today = timezone.localdate()
    assert codes(find(ada, result="parasitized")) == ["SUSPECT"]
    assert codes(find(ada, result="uninfected")) == ["CLEAR"]
    assert codes(find(ada, status="reading")) == ["BUSY"]
    assert codes(find(ada, q="lea")) == ["CLEAR"]
    assert codes(find(ada, until=today - timedelta(days=1))) == []
    assert codes(find(ada, since=today, q="S", result="parasitized")) == ["SUSPECT"]


def test_what_it_cannot_understand_narrows_nothing(ada, laboratory):
    new_slide(laboratory, "S")
    assert codes(find(ada, result="?", status="?", since="yesterday")) == ["S"]


def test_nothing_found_offers_a_way_back(ada, laboratory):
    new_slide(laboratory, "S")
    page = find(ada, q="nowhere")
    assert "No slide is like that" in page.text
    assert "Show all slides" in page.text


def test_fills_in_by_itself_only_while_something_is_read(ada, laboratory):
    prediction = waiting(new_slide(laboratory))
    assert "every 3s" in find(ada).text
    prediction.state, prediction.decision = "done", "uninfected"
    prediction.save()
    assert "every 3s" not in find(ada).text


def test_the_csv_holds_what_was_found(ada, laboratory):
    read(new_slide(laboratory, "SUSPECT"), "parasitized")
    read(new_slide(laboratory, "CLEAR"))
    assert "slides.csv?result=parasitized" in find(ada, result="parasitized").text
    response = ada.get(reverse("history_csv"), {"result": "parasitized"})
    text = response.getvalue().decode()
    assert "SUSPECT" in text
    assert "CLEAR" not in text
    assert "Research use only" in text


def test_costs_the_same_however_many_there_are(ada, laboratory, django_assert_num_queries):
    read(new_slide(laboratory))
    find(ada)
    with django_assert_num_queries(11):
        find(ada)
    for _ in range(5):
        for decision in ("parasitized", "uninfected"):
            read(new_slide(laboratory), decision)
    with django_assert_num_queries(11):
        find(ada)
