import re

import pytest
from django.test import Client
from django.urls import reverse

from diagnosis import reviews
from diagnosis.models import Review, Role
from tests.people import join, laboratory_of, signed_in
from tests.readings import failed, new_slide, read, waiting

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
NAMES = ["image_review", "image_review_undo"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def prediction(laboratory):
    return read(new_slide(laboratory), "parasitized", name="cell-7.png")


def say(client, prediction, label="uninfected", query="", headers=None, **fields):
    values = {"label": label, "seen": prediction.pk} | fields
    return client.post(url("image_review", prediction) + query, values, headers=headers)


def undo(client, prediction, query="", headers=None):
    return client.post(url("image_review_undo", prediction) + query, headers=headers)


def url(name, prediction):
    return reverse(name, args=[prediction.image_id])


def page(client, prediction):
    return client.get(reverse("slide", args=[prediction.slide_id])).text


def offered(text):
    return re.findall(r'value="([\w-]+)" id="say-[^"]+" aria-pressed="(\w+)">([^<]+)<', text)


@pytest.mark.parametrize("name", NAMES)
def test_only_people_who_signed_in_post_it(name, ada, prediction):
    assert Client().post(url(name, prediction))["Location"].startswith(reverse("account_login"))
    assert ada.get(url(name, prediction)).status_code == 405


@pytest.mark.parametrize("name", NAMES)
def test_for_strangers_there_is_no_such_image(name, prediction):
    stranger = signed_in(laboratory_of("eve", "Mombasa").members.get())
    answer = stranger.post(url(name, prediction), {"label": "uninfected"})
    assert answer.status_code == 404
    assert not Review.objects.exists()


@pytest.mark.parametrize("role", Role)
def test_clinicians_review_and_technicians_look_on(role, laboratory, prediction):
    client = signed_in(join(laboratory, "ben", role).user)
    may = role != Role.TECHNICIAN
    assert bool(offered(page(client, prediction))) is may
    assert say(client, prediction).status_code == (302 if may else 403)
    assert Review.objects.exists() is may
    assert undo(client, prediction).status_code == (302 if may else 403)


@pytest.mark.parametrize("headers", [HTMX, {"Accept": "application/json"}])
def test_a_script_is_told_that_the_role_does_not_allow_it(headers, laboratory, prediction):
    client = signed_in(join(laboratory, "ben", Role.TECHNICIAN).user)
    answer = say(client, prediction, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("Your role in this laboratory does not allow this")


def test_what_a_script_sends_without_the_token_is_refused_by_the_page_alone(ada, prediction):
    """The page is out of date: its opinion is kept, and sent when it is loaded anew."""
    client = Client(enforce_csrf_checks=True)
    client.cookies = ada.cookies
    answer = say(client, prediction, headers=HTMX)
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")


def test_a_plain_form_leads_back_to_where_one_was(ada, prediction):
    answer = say(ada, prediction, query="?show=parasitized&page=2&evil=1", comment=" a platelet ")
    slide = reverse("slide", args=[prediction.slide_id])
    anchor = f"#image-{prediction.image_id}"
    assert answer["Location"] == f"{slide}?show=parasitized&page=2{anchor}"
    text = page(ada, prediction)
    assert "You reviewed cell-7.png: Uninfected." in text
    assert "0 of 1 cell parasitized" in text
    assert "a platelet" in text
    assert undo(ada, prediction)["Location"] == slide + anchor
    assert "1 of 1 cell parasitized" in page(ada, prediction)


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ("parasitized", ["Agree", "Uninfected", "Cannot tell"]),
        ("uninfected", ["Agree", "Parasitized", "Cannot tell"]),
        ("uncertain", ["Parasitized", "Uninfected", "Cannot tell"]),
        ("rejected", ["Parasitized", "Uninfected", "Cannot tell"]),
    ],
)
def test_one_agrees_with_an_answer_or_gives_ones_own(ada, laboratory, decision, words):
    found = offered(page(ada, read(new_slide(laboratory), decision)))
    assert [word for _, _, word in found] == words
    assert [pressed for _, pressed, _ in found] == ["false"] * 3
    if words[0] == "Agree":
        assert found[0][0] == decision


def test_what_is_not_read_is_not_asked_about(ada, laboratory):
    for make in (waiting, failed):
        prediction = make(new_slide(laboratory))
        assert not offered(page(ada, prediction))
        answer = ada.post(url("image_review", prediction), {"label": "uninfected"}, follow=True)
        assert "was not read yet" in answer.text
        assert say(ada, prediction, headers=HTMX).status_code == 400


@pytest.mark.parametrize(
    "fields", [{"label": "malaria"}, {"label": ""}, {"comment": "x" * 201}, {"seen": "x"}]
)
def test_what_is_no_answer_is_refused(ada, prediction, fields):
    assert say(ada, prediction, headers=HTMX, **fields).status_code == 400
    assert say(ada, prediction, **fields).status_code == 302
    assert "Choose one of the answers" in page(ada, prediction)
    assert not Review.objects.exists()


def test_a_script_gets_the_card_and_what_is_counted(ada, prediction):
    text = say(ada, prediction, headers=HTMX, query="?show=parasitized").text
    assert text.startswith(f'<li class="cell uninfected" id="image-{prediction.image_id}"')
    assert 'id="verdict" hx-swap-oob="true"' in text
    assert 'id="chips" aria-label="Show" hx-swap-oob="true"' in text
    assert "0 of 1 cell parasitized" in text
    assert "1 image reviewed" in text
    assert "Research use only" in text
    assert "You reviewed cell-7.png: Uninfected." in text
    assert 'Parasitized <span class="count">0</span>' in text, "what is shown keeps its chip"
    assert "<html" not in text
    undone = undo(ada, prediction, headers=HTMX).text
    assert "1 of 1 cell parasitized" in undone


def test_the_models_own_answer_stays_beside_it(ada, prediction):
    say(ada, prediction)
    text = page(ada, prediction)
    assert "Model: parasitized" in text
    assert "97 %" in text
    assert re.search(r"<strong>ada</strong> says uninfected,\s+<time", text)
    assert offered(text) == [
        ("parasitized", "false", "Agree"),
        ("uninfected", "true", "Uninfected"),
        ("cannot-tell", "false", "Cannot tell"),
    ]


def test_everyone_sees_who_said_what(ada, prediction, laboratory):
    ben = join(laboratory, "ben").user
    say(ada, prediction, "parasitized")
    reviews.say(prediction.image, ben, "cannot-tell", "<b>blurred</b>")
    text = page(signed_in(join(laboratory, "tom", Role.TECHNICIAN).user), prediction)
    assert re.search(r"<strong>ada</strong> agrees,\s+<time", text)
    assert re.search(r"<strong>ben</strong> cannot tell,\s+<time", text)
    assert "&lt;b&gt;blurred&lt;/b&gt;" in text
    assert 'class="badge uncertain"' in text
    ben.delete()
    assert "<strong>A former member</strong> cannot tell" in page(ada, prediction)


def test_only_ones_own_review_is_undone(ada, prediction, laboratory):
    ben = join(laboratory, "ben").user
    reviews.say(prediction.image, ben, "uninfected")
    assert "Undo your review" not in page(ada, prediction)
    undo(ada, prediction)
    assert "Undo your review" in page(signed_in(ben), prediction)


def test_a_slide_costs_the_same_however_much_was_reviewed(
    ada, laboratory, django_assert_num_queries
):
    slide = new_slide(laboratory)
    prediction = read(slide)
    say(ada, prediction)
    page(ada, prediction)
    with django_assert_num_queries(20):
        page(ada, prediction)
    people = [join(laboratory, f"p{number}").user for number in range(3)]
    for _ in range(5):
        image = read(slide).image
        for user in people:
            reviews.say(image, user, "parasitized")
    with django_assert_num_queries(20):
        page(ada, prediction)
