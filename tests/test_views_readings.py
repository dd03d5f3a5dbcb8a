import pytest
from django.test import Client
from django.urls import reverse

from diagnosis import readings, reviews
from diagnosis.models import Event, Role
from tests.people import join, laboratory_of, signed_in
from tests.readings import new_slide, read, read_field

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    laboratory.second_reading = True
    laboratory.save()
    return new_slide(laboratory, "KSM-7")


@pytest.fixture
def image(slide):
    return read(slide, "uncertain").image


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get(username="ada"))


@pytest.fixture
def ben(laboratory):
    return signed_in(join(laboratory, "ben", Role.REVIEWER).user)


def url(name, slide):
    return reverse(name, args=[slide.pk])


def page(client, slide):
    return " ".join(client.get(url("slide", slide)).text.split())


def conclude(client, slide, **fields):
    return " ".join(client.post(url("slide_reading", slide), fields, follow=True).text.split())


def settle(client, slide, **fields):
    return " ".join(client.post(url("slide_settle", slide), fields, follow=True).text.split())


def test_a_conclusion_and_a_comment_without_second_reading(ada, laboratory):
    slide = new_slide(laboratory)
    read(slide)
    assert "What do you conclude of the whole slide?" in page(ada, slide)
    shown = conclude(ada, slide, conclusion="negative", comment="Thin <b>film</b>")
    assert "<strong>ada</strong> concludes: <strong>negative</strong>" in shown
    assert "Thin &lt;b&gt;film&lt;/b&gt;" in shown
    assert "Concluded negative by a person." in shown
    assert "Close my reading" not in shown


def test_the_page_says_who_is_blind_to_what(ada, ben, slide, image):
    assert "each blind to the other" in page(ben, slide)
    shown = conclude(ada, slide, conclusion="positive", comment="Rings.", close="yes")
    assert "Your reading is closed." in shown
    assert "Rings." in page(ada, slide)
    assert "Rings." not in page(ben, slide)
    assert "The two readings of this slide are not both closed yet." in page(ben, slide)


def test_where_they_differ_is_shown_and_settled(ada, ben, slide, image, laboratory):
    conclude(ada, slide, conclusion="positive", close="yes")
    shown = conclude(ben, slide, conclusion="negative", close="yes")
    assert "Where the readings differ" in shown
    assert "<strong>ada</strong> says positive" in shown
    refused = settle(ada, slide, key="slide", label="positive", reason="")
    assert "Say why it is settled so." in refused
    third = signed_in(join(laboratory, "cleo").user)
    shown = settle(third, slide, key="slide", label="positive", reason="Rings & dots.")
    assert "Settled as <strong>positive</strong> by cleo, a third person" in shown
    assert "Rings &amp; dots." in shown
    assert url("slide_sign", slide) in shown


def test_readings_that_agree_say_so(ada, ben, slide, image):
    for client in (ada, ben):
        shown = conclude(client, slide, conclusion="negative", close="yes")
    assert "The two readings agree" in shown


def test_a_review_after_the_reading_is_closed_is_refused_in_words(ada, slide, image):
    conclude(ada, slide, conclusion="positive", close="yes")
    address = url("image_review", image)
    assert readings.CLOSED in ada.post(address, {"label": "parasitized"}, follow=True).text
    answer = ada.post(address, {"label": "parasitized"}, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.text) == (400, readings.CLOSED)
    assert not image.reviews.exists()


def test_a_closed_reading_offers_no_answers_but_for_what_came_later(ada, ben, slide, image):
    answers = f'data-opinion="{image.pk}"'
    assert answers in page(ada, slide)
    for client in (ada, ben):
        conclude(client, slide, conclusion="negative", close="yes")
        assert answers not in page(client, slide)
    later = read(slide, "uncertain").image
    shown = page(ada, slide)
    assert f'data-opinion="{later.pk}"' in shown
    assert answers not in shown


def test_a_cell_of_a_closed_reading_is_refused_in_words(ada, slide, laboratory):
    field = read_field(slide, "uncertain").image
    conclude(ada, slide, conclusion="positive", close="yes")
    said = {"cell": field.cells.get().pk, "label": "parasitized"}
    answer = ada.post(url("field_cells", field), said, content_type="application/json")
    assert (answer.status_code, answer.json()) == (409, {"error": readings.CLOSED})


@pytest.mark.parametrize("fields", [{"conclusion": "maybe"}, {"comment": 501 * "x"}])
def test_bad_input_is_refused_in_words(ada, slide, image, fields):
    assert "Choose one of the conclusions" in conclude(ada, slide, **fields)
    assert not slide.readings.exists()


def test_one_reading_is_let_do_by_an_administrator(ada, ben, slide, image):
    assert ben.post(url("slide_one_reading", slide), {"reason": "Mine."}).status_code == 403
    assert "No second reader?" not in page(ben, slide)
    shown = ada.post(url("slide_one_reading", slide), {"reason": ""}, follow=True).text
    assert readings.NO_REASON in shown
    shown = ada.post(url("slide_one_reading", slide), {"reason": "Alone here."}, follow=True).text
    assert "ada: Alone here." in shown


def test_a_slide_that_is_read_once_has_no_second_reading_to_let_go(ada, laboratory):
    slide = new_slide(laboratory)
    answer = ada.post(url("slide_one_reading", slide), {"reason": "x"}, follow=True)
    assert readings.READ in answer.text
    slide.refresh_from_db()
    assert slide.single_reading == ""


def test_a_technician_sees_and_says_nothing(laboratory, slide, image):
    technician = signed_in(join(laboratory, "tom", Role.TECHNICIAN).user)
    assert "What do you conclude" not in page(technician, slide)
    for name in ("slide_reading", "slide_settle", "slide_one_reading"):
        assert technician.post(url(name, slide), {"conclusion": "positive"}).status_code == 403


def test_outsiders_and_other_methods(slide, image, ada):
    eve = signed_in(laboratory_of("eve", "Mombasa").members.get())
    for name in ("slide_reading", "slide_settle", "slide_one_reading"):
        assert eve.post(url(name, slide)).status_code == 404
        assert Client().post(url(name, slide)).status_code == 302
        assert ada.get(url(name, slide)).status_code == 405


def test_the_setting_is_an_administrators_and_noted(ada, ben, laboratory):
    address = url("laboratory_second_reading", laboratory)
    assert ben.post(address, {"second_reading": "on"}).status_code == 403
    assert "read by two people" in ada.post(address, {"second_reading": "on"}, follow=True).text
    assert "checked" in ada.get(url("laboratory", laboratory)).text
    assert "read by one person" in ada.post(address, {}, follow=True).text
    changes = [one.changes for one in Event.objects.filter(action="changed")]
    assert changes == [{"second_reading": [True, False]}, {"second_reading": [False, True]}]


def test_a_slide_costs_the_same_however_much_differs(
    ada, ben, laboratory, slide, django_assert_num_queries
):
    users = [laboratory.members.get(username=name) for name in ("ada", "ben")]

    def differ() -> None:
        image = read(slide).image
        for user, label in zip(users, ("parasitized", "uninfected"), strict=True):
            reviews.say(image, user, label)

    differ()
    differ()
    for user in users:
        readings.conclude(slide, user, "positive", close=True)
    page(ada, slide)
    with django_assert_num_queries(28):
        page(ada, slide)
