import io
import uuid

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from diagnosis.models import Action, Event, ModelVersion, State
from tests.people import join, laboratory_of, signed_in
from tests.readings import active_model, failed, new_image, new_slide, read

pytestmark = pytest.mark.django_db
NAMES = ["image_photo", "image_heatmap", "image_retry"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def prediction(laboratory):
    return read(new_slide(laboratory), "parasitized")


def url(name, prediction):
    return reverse(name, args=[prediction.image_id])


def ask(client, name, prediction):
    verb = client.post if name == "image_retry" else client.get
    return verb(url(name, prediction))


@pytest.mark.parametrize("name", NAMES)
def test_anonymous_people_sign_in_first(name, prediction):
    response = ask(Client(), name, prediction)
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", NAMES)
def test_for_strangers_there_is_no_such_image(name, prediction):
    stranger = signed_in(laboratory_of("eve", "Mombasa").members.get())
    assert ask(stranger, name, prediction).status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_nor_one_that_never_was(name, ada, prediction):
    prediction.image_id = uuid.uuid4()
    assert ask(ada, name, prediction).status_code == 404


@pytest.mark.parametrize("name", ["image_photo", "image_heatmap"])
def test_pictures_are_for_the_whole_laboratory_and_kept_by_its_browsers_only(
    name, laboratory, prediction
):
    ben = signed_in(join(laboratory, "ben").user)
    response = ask(ben, name, prediction)
    assert response.status_code == 200
    assert "private" in response["Cache-Control"]
    assert response["Content-Type"] == "image/png"
    assert ben.post(url(name, prediction)).status_code == 405


def picture(response):
    return Image.open(io.BytesIO(response.getvalue()))


def test_a_photograph_comes_as_it_was_stored(ada, prediction):
    with prediction.image.file.open() as file:
        assert ask(ada, "image_photo", prediction).getvalue() == file.read()


def test_a_large_one_also_comes_small(ada, laboratory):
    large = read(new_slide(laboratory), image=new_image(new_slide(laboratory), size=700))
    small = ada.get(url("image_photo", large), {"small": ""})
    assert picture(small).size == (320, 320)
    assert "private" in small["Cache-Control"]
    assert picture(ask(ada, "image_photo", large)).size == (700, 700)


def test_a_large_one_is_looked_at_whole_in_fewer_bytes(ada, laboratory):
    large = read(new_slide(laboratory), image=new_image(new_slide(laboratory), size=700))
    seen = ada.get(url("image_photo", large), {"view": ""})
    assert (picture(seen).size, seen["Content-Type"]) == ((700, 700), "image/webp")
    assert "private" in seen["Cache-Control"]
    assert len(seen.content) < large.image.file.size / 2


def test_one_cell_is_looked_at_as_it_was_stored(ada, prediction):
    seen = ada.get(url("image_photo", prediction), {"view": ""})
    assert seen.getvalue() == ask(ada, "image_photo", prediction).getvalue()


@pytest.mark.parametrize("asked", [{}, {"small": ""}, {"view": ""}])
def test_a_lost_file_is_not_found(ada, laboratory, asked):
    large = read(new_slide(laboratory), image=new_image(new_slide(laboratory), size=700))
    large.image.file.storage.delete(large.image.file.name)
    assert ada.get(url("image_photo", large), asked).status_code == 404


def test_a_heatmap_is_transparent_where_nothing_was_seen(ada, prediction):
    drawn = picture(ask(ada, "image_heatmap", prediction))
    assert drawn.mode == "RGBA"
    assert drawn.getextrema()[3][0] == 0
    assert drawn.getextrema()[3][1] > 100


def test_what_was_not_read_has_no_heatmap(ada, laboratory):
    assert ask(ada, "image_heatmap", failed(new_slide(laboratory))).status_code == 404


def test_a_failed_reading_is_tried_again(ada, laboratory):
    prediction = failed(new_slide(laboratory))
    response = ask(ada, "image_retry", prediction)
    assert response["Location"] == reverse("slide", args=[prediction.slide_id])
    prediction.refresh_from_db()
    assert prediction.state == State.QUEUED
    event = Event.objects.get(action=Action.READ_AGAIN)
    assert (event.kind, event.changes) == (
        "smearimage",
        {"version": [None, prediction.model.name]},
    )


def test_one_that_succeeded_is_not_and_that_is_said(ada, prediction):
    page = ada.post(url("image_retry", prediction), follow=True)
    assert f"{prediction.image.name} has not failed." in page.text
    assert "will be read again" not in page.text
    prediction.refresh_from_db()
    assert prediction.state == State.DONE


def test_trying_again_is_a_post(ada, prediction):
    assert ada.get(url("image_retry", prediction)).status_code == 405


def test_without_a_model_it_says_so(ada, laboratory):
    prediction = failed(new_slide(laboratory))
    ModelVersion.objects.filter(pk=active_model().pk).update(is_active=False)
    page = ada.post(url("image_retry", prediction), follow=True)
    assert "No model is active" in page.text
