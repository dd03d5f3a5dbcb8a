"""A second reader who is asked for after the slide was made."""

import pytest
from django.urls import reverse

from diagnosis import blindness, cells, readings, reviews, roster, signing, summary
from diagnosis.models import Event, Role
from diagnosis.readings import NotNow
from tests.people import join, laboratory_of, signed_in
from tests.readings import again, new_slide, places, read, read_field
from tests.test_api import program_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "KSM-7")


@pytest.fixture
def image(slide):
    return read(slide, "uncertain").image


def refused(act, *arguments):
    with pytest.raises(NotNow) as refusal:
        act(*arguments)
    return str(refusal.value)


def test_who_asks_reads_first_where_nobody_spoke(slide, image, ada, ben):
    readings.ask_for_second(slide, ada)
    assert (again(slide).is_read_twice, slide.second_asked_by) == (True, "ada")
    assert places(slide) == {"ada": 1}
    reviews.say(image, ben, "uninfected")
    assert places(slide) == {"ada": 1, "ben": 2}
    event = Event.objects.filter(kind="slide").first()
    assert (event.action, event.name) == ("changed", "KSM-7")
    assert event.changes == {"second_reading": [False, True]}


def test_who_spoke_reads_first_and_what_they_said_waits(slide, image, ada, ben, cleo):
    reviews.say(image, ben, "parasitized")
    readings.conclude(slide, ben, "positive", "A ring.")
    assert (again(slide).concluded, slide.parasitized) == ("positive", 1)
    readings.ask_for_second(slide, ada)
    assert places(again(slide)) == {"ben": 1}
    assert (slide.concluded, slide.parasitized, again(image).reviewed) == ("", 0, "")
    assert blindness.hides(cleo, slide)
    assert list(blindness.reviews(cleo)) == []
    assert summary.of_slide(slide)["readings"] == []
    assert signing.hindrance(slide) == signing.BEING_READ_TWICE

    readings.conclude(slide, ben, "positive", "A ring.", close=True)
    readings.conclude(slide, cleo, "positive", close=True)
    assert (again(slide).concluded, again(image).reviewed) == ("positive", "uncertain")
    assert "First reader ben: positive. A ring." in summary.of_slide(slide)["readings"]


def test_who_spoke_of_a_cell_alone_reads_first_too(slide, ada, ben):
    field = read_field(slide, "uncertain", "uninfected")
    cells.say(field.image, ben, field.cells.first().pk, "parasitized")
    readings.ask_for_second(slide, ada)
    assert places(slide) == {"ben": 1}


def test_not_where_several_spoke(slide, image, ada, ben, cleo):
    reviews.say(image, ben, "parasitized")
    readings.conclude(slide, cleo, "positive")
    assert refused(readings.ask_for_second, slide, ada) == readings.NOT_BLIND
    assert not again(slide).is_read_twice


def test_nor_where_who_spoke_has_gone(slide, image, ada, laboratory, ben, cleo):
    reviews.say(image, ben, "parasitized")
    roster.change_role(laboratory.memberships.get(user=ben), Role.TECHNICIAN)
    assert refused(readings.ask_for_second, slide, ada) == readings.GONE
    ben.delete()
    assert refused(readings.ask_for_second, slide, ada) == readings.GONE


def test_nor_once_it_is_signed_nor_twice(slide, image, ada):
    readings.ask_for_second(slide, ada)
    assert refused(readings.ask_for_second, slide, ada) == readings.READ_TWICE
    readings.take_back_second(slide, ada)
    read(slide)
    signing.sign(slide, ada)
    assert refused(readings.ask_for_second, slide, ada) == readings.SIGNED


def test_it_is_taken_back_and_what_was_said_counts_again(slide, image, ada, ben):
    reviews.say(image, ben, "parasitized")
    readings.conclude(slide, ben, "positive")
    readings.ask_for_second(slide, ada)
    readings.conclude(slide, ben, "positive", close=True)
    readings.take_back_second(slide, ben)
    assert (again(slide).is_read_twice, slide.second_asked_by) == (False, "")
    assert (slide.concluded, again(image).reviewed) == ("positive", "parasitized")
    assert places(slide) == {"ben": None}
    readings.conclude(slide, ben, "negative")
    assert again(slide).concluded == "negative"
    assert Event.objects.filter(changes__second_reading=[True, False], name="KSM-7").exists()


def test_not_once_the_second_reader_has_begun(slide, image, ada, ben):
    readings.ask_for_second(slide, ada)
    reviews.say(image, ben, "parasitized")
    assert refused(readings.take_back_second, slide, ada) == readings.OPENED
    assert again(slide).is_read_twice


def test_nor_where_the_laboratory_reads_its_slides_twice(laboratory, ada):
    assert refused(readings.take_back_second, new_slide(laboratory), ada) == readings.NOT_ASKED
    roster.set_second_reading(laboratory, True)
    slide = new_slide(laboratory)
    assert refused(readings.take_back_second, slide, ada) == readings.NOT_ASKED
    assert again(slide).is_read_twice


def test_after_one_reading_was_let_do_it_can_be_asked_for_again(slide, image, ada, ben):
    readings.ask_for_second(slide, ada)
    readings.conclude(slide, ada, "negative", close=True)
    readings.let_one_do(slide, ada, "Nobody else is here.")
    readings.ask_for_second(slide, ada)
    reading = slide.readings.get()
    assert (reading.place, reading.closed_at, again(slide).is_read_twice) == (1, None, True)
    assert "Nobody else" not in page(signed_in(ben), slide)
    readings.take_back_second(slide, ada)
    assert "Nobody else is here." in summary.of_slide(slide)["second_reading"]


def test_nobody_lifts_the_blindness_of_their_own_reading(slide, image, ada, ben, cleo):
    readings.conclude(slide, ben, "positive")
    readings.ask_for_second(slide, ben)
    assert refused(readings.take_back_second, slide, cleo) == readings.NOT_YOURS
    assert "Take it back" not in page(signed_in(cleo), slide)
    assert "Take it back" in page(signed_in(ada), slide)
    readings.take_back_second(slide, ada)


def test_to_ask_and_take_back_is_not_to_speak(slide, image, ada, ben):
    readings.ask_for_second(slide, ada)
    readings.take_back_second(slide, ada)
    assert not slide.readings.exists()
    reviews.say(image, ben, "parasitized")
    readings.ask_for_second(slide, ada)
    assert places(slide) == {"ben": 1}


def test_who_took_back_what_they_concluded_can_read_second(slide, image, ada, ben, cleo):
    readings.conclude(slide, cleo, "positive")
    readings.conclude(slide, cleo, "")
    reviews.say(image, ben, "parasitized")
    readings.ask_for_second(slide, ada)
    readings.conclude(slide, cleo, "negative", close=True)
    assert places(slide) == {"ben": 1, "cleo": 2}


def test_whose_account_is_closed_cannot_read_first(slide, image, ada, ben):
    reviews.say(image, ben, "parasitized")
    ben.is_active = False
    ben.save()
    assert refused(readings.ask_for_second, slide, ada) == readings.GONE


def test_no_notice_tells_of_what_the_first_reader_said(slide, ada, ben, cleo):
    field = read_field(slide, "uncertain", "uninfected")
    cells.say(field.image, ben, field.cells.first().pk, "parasitized")
    readings.conclude(slide, ben, "positive")
    assert cleo.notices.filter(kind="critical").exists()
    readings.ask_for_second(slide, ada)
    assert not cleo.notices.filter(kind="critical").exists()


def test_no_number_of_a_cell_tells_how_many_the_first_reader_added(slide, ada, ben, cleo):
    image = read_field(slide, "uninfected").image
    for place in range(3):
        cells.add(image, ben, [50 * place, 200, 20, 20], "parasitized")
    readings.ask_for_second(slide, ada)
    added = image.cells.filter(prediction=None)
    assert list(added.order_by("number").values_list("number", flat=True)) == [1, 3, 5]
    assert cells.add(image, cleo, [200, 50, 20, 20], "parasitized").number == 2


def test_the_report_says_since_when_they_were_blind(slide, image, ada, ben):
    readings.ask_for_second(slide, ada)
    for user in (ada, ben):
        readings.conclude(slide, user, "negative", close=True)
    said = summary.of_slide(slide)["second_reading"]
    assert said.startswith("Read by two people. ada asked for the second reader later;")


def address(slide):
    return reverse("slide_second_reader", args=[slide.pk])


def page(client, slide):
    return " ".join(client.get(reverse("slide", args=[slide.pk])).text.split())


def test_the_page_asks_and_takes_back(slide, image, ada, ben):
    ada, ben = signed_in(ada), signed_in(ben)
    assert "Ask for a second reader" in page(ada, slide)
    answer = ada.post(address(slide), follow=True)
    assert "waits for a second reader now" in answer.text
    for client in (ada, ben):
        shown = page(client, slide)
        assert "ada asked for a second reader, who has not begun." in shown
        assert "Ask for a second reader" not in shown
    assert readings.READ_TWICE in ben.post(address(slide), follow=True).text
    answer = ben.post(address(slide), {"take_back": "yes"}, follow=True)
    assert readings.NOT_YOURS in answer.text
    answer = ada.post(address(slide), {"take_back": "yes"}, follow=True)
    assert "One person reads this slide again." in answer.text
    assert "Ask for a second reader" in page(ada, slide)


def test_the_page_offers_it_where_it_can_be_had(laboratory, slide, image, ada, ben, cleo):
    technician = signed_in(join(laboratory, "tom", Role.TECHNICIAN).user)
    assert "Ask for a second reader" not in page(technician, slide)
    assert technician.post(address(slide)).status_code == 403
    reviews.say(image, ben, "parasitized")
    reviews.say(image, cleo, "parasitized")
    assert "Ask for a second reader" not in page(signed_in(ada), slide)


def test_the_second_reader_sees_nothing_of_the_first(slide, image, ada, ben):
    readings.conclude(slide, ben, "positive", "A ring.")
    readings.ask_for_second(slide, ben)
    assert "A ring." in page(signed_in(ben), slide)
    shown = page(signed_in(ada), slide)
    assert "A ring." not in shown
    assert "each blind to the other" in shown


def test_programs_ask_and_take_back(slide, image, ada, ben):
    program = program_of(ada)
    path = reverse("api_second_reader", args=[slide.pk])
    assert program.post(path).json()["is_read_twice"] is True
    answer = program.post(path)
    assert (answer.status_code, answer.json()) == (409, {"detail": readings.READ_TWICE})
    assert program.delete(path).json()["is_read_twice"] is False
    assert program.delete(path).json() == {"detail": readings.NOT_ASKED}
