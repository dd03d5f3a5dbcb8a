import re

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from diagnosis import again, cells, drawn, reviews
from diagnosis.models import Cell, Membership, ModelVersion, Prediction, Role, Slide, SmearImage
from tests.people import join, laboratory_of, signed_in
from tests.readings import another_model, new_slide, read, read_field

pytestmark = pytest.mark.django_db
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Place:
    """A slide of two cells, one of them known from another slide, and a field."""

    def __init__(self) -> None:
        laboratory = laboratory_of("ada")
        self.ada = laboratory.members.get()
        self.fay = join(laboratory, "fay").user
        self.slide, self.other = new_slide(laboratory, "KSM-7"), new_slide(laboratory, "KSM-8")
        self.reading = read(self.slide, "parasitized", same_as=read(self.other, "parasitized"))
        self.image = self.reading.image
        self.field = read_field(self.slide, "uncertain", "uninfected").image
        self.client = signed_in(self.ada)

    def page(self, name="slide_results", client=None, **query):
        address = reverse(name, args=[] if name == "history" else [self.slide.pk])
        return (client or self.client).get(address, query)


@pytest.fixture
def place():
    return Place()


def said(page):
    """Without what is every page's own."""
    return TOKEN.sub("", page.text)


def newer(place):
    ModelVersion.objects.update(is_active=False)
    version = another_model()
    ModelVersion.objects.filter(pk=version.pk).update(is_active=True)
    again.analyse_again(place.slide)


CHANGES = {
    "a colleague reviews": lambda p: reviews.say(p.image, p.fay, "uninfected", "no ring"),
    "I review": lambda p: reviews.say(p.image, p.ada, "parasitized"),
    "a cell of the field is reviewed": lambda p: cells.say(
        p.field, p.ada, Cell.objects.first().pk, "parasitized"
    ),
    "I may not review any more": lambda p: Membership.objects.filter(user=p.ada).update(
        role=Role.TECHNICIAN
    ),
    "another version reads it": newer,
    "its version has another name": lambda _: ModelVersion.objects.update(name="resnet34-renamed"),
    "its picture has another name": lambda p: SmearImage.objects.filter(pk=p.image.pk).update(
        name="another.png"
    ),
    "the slide of its twin has another code": lambda p: Slide.objects.filter(pk=p.other.pk).update(
        code="KSM-9"
    ),
    "it is not read yet": lambda p: Prediction.objects.filter(pk=p.reading.pk).update(
        state="queued"
    ),
    "I read another language": lambda p: p.client.cookies.load({"language": "fr"}),
    "whoever sent it has another name": lambda p: (
        SmearImage.objects.update(uploaded_by=p.fay),
        User.objects.filter(pk=p.fay.pk).update(username="fay2"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_card_never_shows_what_was(place, change):
    before = said(place.page())
    CHANGES[change](place)
    now = said(place.page())
    assert now != before
    caches["parts"].clear()
    assert said(place.page()) == now


def test_a_row_of_the_history_never_shows_what_was(place):
    before = said(place.page("history"))
    reviews.say(place.image, place.ada, "uninfected")
    now = said(place.page("history"))
    assert now != before
    caches["parts"].clear()
    assert said(place.page("history")) == now


@pytest.mark.parametrize(
    ("name", "template"),
    [("slide_results", "diagnosis/cell.html"), ("history", "diagnosis/slide_row.html")],
)
def test_what_did_not_change_is_drawn_once(place, name, template):
    caches["parts"].clear()
    first, second = (place.page(name) for _ in range(2))
    assert template in [one.name for one in first.templates]
    assert template not in [one.name for one in second.templates]
    assert said(first) == said(second)


def test_nobody_sees_the_card_of_another(place):
    reviews.say(place.image, place.ada, "parasitized")
    mine, theirs = place.page().text, place.page(client=signed_in(place.fay)).text
    undo = reverse("image_review_undo", args=[place.image.pk])
    assert undo in mine
    assert undo not in theirs


def test_its_forms_lead_back_to_this_page(place):
    place.page()
    assert (
        f"{reverse('image_review', args=[place.image.pk])}?show=parasitized"
        in place.page(show="parasitized").text
    )


def test_its_forms_carry_the_token_of_this_page(place):
    place.page()
    client = Client(enforce_csrf_checks=True)
    client.force_login(place.ada)
    text = place.page(client=client).text
    assert drawn.TOKEN not in text
    [token] = set(TOKEN.findall(text))
    sent = {"label": "uninfected", "csrfmiddlewaretoken": token}
    address = reverse("image_review", args=[place.image.pk])
    assert client.post(address, sent | {"csrfmiddlewaretoken": "x" * 64}).status_code == 403
    assert client.post(address, sent).status_code == 302


def test_former_readings_cost_no_question_each(place, django_assert_num_queries):
    former = another_model("former")
    read(place.slide, image=place.image, model=former, is_current=False)
    place.page()  # what is asked once and kept
    caches["parts"].clear()
    with CaptureQueriesContext(connection) as asked:
        place.page()
    for _ in range(3):
        image = read(place.slide, "parasitized").image
        read(place.slide, image=image, model=former, is_current=False)
    caches["parts"].clear()
    with django_assert_num_queries(len(asked)):
        place.page()
