import io
import json
import uuid

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from diagnosis.models import Cell, Prediction, Role, State
from ml.drawing import draw_field
from tests.people import join, laboratory_of, signed_in
from tests.readings import new_image, new_slide, read, read_field, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "S-1")


@pytest.fixture
def reading(slide):
    return read_field(slide, "parasitized", "uninfected", "uncertain", "edge", "rejected")


def cells_url(prediction):
    return reverse("field_cells", args=[prediction.image_id])


def said(client, prediction, **values):
    return client.post(cells_url(prediction), json.dumps(values), content_type="application/json")


def cell_urls(prediction):
    cell = prediction.cells.first()
    arguments = [prediction.image_id, cell.pk]
    return [reverse(name, args=arguments) for name in ("cell_crop", "cell_heatmap")]


def test_strangers_are_told_that_there_is_nothing(reading):
    eve = signed_in(laboratory_of("eve", "Mombasa").members.get())
    pages = [reverse("field", args=[reading.image_id]), cells_url(reading), *cell_urls(reading)]
    for page in pages:
        assert eve.get(page).status_code == 404
        assert Client().get(page).status_code == 302
    assert said(eve, reading, cell=reading.cells.first().pk, label="parasitized").status_code == 404
    kind = reverse("image_kind", args=[reading.image_id])
    basis = reverse("slide_basis", args=[reading.slide_id])
    assert eve.post(kind, {"kind": "cell"}).status_code == 404
    assert eve.post(basis, {"red_cells_per_microlitre": 4_000_000}).status_code == 404
    assert not Cell.objects.exclude(reviewed="").exists()


def test_the_cells_of_a_field(ada, reading):
    answer = ada.get(cells_url(reading)).json()
    assert answer["image"]["state"] == "done"
    assert [cell["counts_as"] for cell in answer["cells"]] == [
        "parasitized", "uninfected", "uncertain", "edge", "rejected",
    ]  # fmt: skip
    first = answer["cells"][0]
    assert (first["box"], first["by"], first["review"]) == ([20, 0, 18, 18], "machine", None)
    assert answer["counts"] == {
        "counted": 3, "parasitized": 1, "uninfected": 1, "uncertain": 1,
        "edge": 1, "rejected": 1, "removed": 0,
    }  # fmt: skip
    assert "Research use only" in answer["verdict_html"]


def test_what_a_person_says_is_answered_with_the_new_counts(ada, reading):
    second = reading.cells.get(number=2)
    answer = said(ada, reading, cell=second.pk, label="parasitized").json()
    assert answer["counts"]["parasitized"] == 2
    assert answer["cells"][1]["review"] == "parasitized"
    assert "Positive" in answer["verdict_html"]
    answer = said(ada, reading, cell=second.pk, label="").json()
    assert (answer["counts"]["parasitized"], answer["cells"][1]["review"]) == (1, None)


def test_a_missed_cell_is_added_and_taken_back(ada, reading):
    answer = said(ada, reading, box=[200, 200, 30, 30], label="parasitized").json()
    added = answer["cells"][-1]
    assert (added["by"], added["box"], added["heatmap"]) == ("person", [200, 200, 30, 30], None)
    assert answer["counts"]["counted"] == 4
    assert len(said(ada, reading, cell=added["id"], label="").json()["cells"]) == 5


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"cell": 10**9, "label": "parasitized"}, 409),
        ({"label": "parasitized"}, 409),
        ({"cell": 1, "label": "malaria"}, 400),
        ({"cell": 1, "label": 7}, 400),
        ({"box": [0, 0, 1, 1], "label": "parasitized"}, 400),
        ({"box": "here", "label": "parasitized"}, 400),
        ({"box": [9, 9, 30, 30]}, 400),
    ],
)
def test_what_cannot_be_said_is_refused_in_a_sentence(ada, reading, values, status):
    answer = said(ada, reading, **values)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("body", ["", "no", "[1]", "null", '"label"', "\xff"])
def test_what_is_no_json_is_refused(ada, reading, body):
    answer = ada.post(cells_url(reading), body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_form_is_no_json_either(ada, reading):
    ada.handler.enforce_csrf_checks = True
    ada.get(reverse("history"))
    token = {"X-CSRFToken": ada.cookies["csrftoken"].value}
    answer = ada.post(cells_url(reading), {"label": "x"}, headers=token)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_technician_sees_and_does_not_review(laboratory, reading):
    ben = signed_in(join(laboratory, "ben", Role.TECHNICIAN).user)
    assert ben.get(cells_url(reading)).status_code == 200
    page = ben.get(reverse("field", args=[reading.image_id]))
    assert 'data-may-review="no"' in page.text
    answer = said(ben, reading, cell=reading.cells.first().pk, label="uninfected")
    assert answer.status_code == 403
    assert answer.json()["error"]


def test_a_crop_is_no_field(ada, slide):
    crop = read(slide, "uninfected")
    assert ada.get(cells_url(crop)).status_code == 404
    page = ada.get(reverse("field", args=[crop.image_id]))
    assert page["Location"] == reverse("slide", args=[slide.pk])


def test_a_field_that_waits_has_no_cells_yet(ada, slide):
    image = new_image(slide, size=400)
    prediction = waiting(slide, image=image, kind="field")
    answer = ada.get(cells_url(prediction)).json()
    assert (answer["image"]["state"], answer["cells"]) == ("queued", [])


def test_a_cell_is_cut_out_of_its_field(ada, slide):
    image = new_image(slide, size=400)
    file = io.BytesIO()
    draw_field(1, cells=12, size=(400, 400)).save(file, "PNG")
    image.file.save("", ContentFile(file.getvalue()))
    reading = read_field(slide, "parasitized", image=image)
    cell = reading.cells.get()
    crop, heat = (ada.get(url) for url in cell_urls(reading))
    with Image.open(io.BytesIO(crop.content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (cell.width + 4, cell.height + 2))
    assert heat["Content-Type"] == "image/png"
    assert "private" in crop["Cache-Control"]
    other = reverse("cell_crop", args=[new_image(slide).pk, cell.pk])
    assert ada.get(other).status_code == 404


def test_the_slide_s_page_leads_to_the_field(ada, reading):
    page = ada.get(reverse("slide", args=[reading.slide_id])).text
    assert reverse("field", args=[reading.image_id]) in page
    assert "3 red cells: 1 parasitized, 1 uncertain; 1 at the edge not counted" in page
    assert reverse("image_review", args=[reading.image_id]) in page


def test_the_verdict_leads_from_field_to_field_with_cells_to_look_at(ada, slide, reading):
    read_field(slide, "uninfected", "edge")
    last = read_field(slide, "uninfected", "uncertain")
    first, then = (reverse("field", args=[row.image_id]) for row in (reading, last))
    page = ada.get(reverse("slide", args=[slide.pk]))
    assert page.context["look_at"] == reading.image_id
    assert "Look at these cells" in page.text
    here = ada.get(cells_url(reading)).json()["verdict_html"]
    assert f'href="{then}"' in here
    assert "Next field" in here
    assert f'href="{first}"' in ada.get(cells_url(last)).json()["verdict_html"]
    for cell in reading.cells.filter(number__in=(1, 3)):
        answer = said(ada, reading, cell=cell.pk, label="uninfected").json()
    assert f'href="{then}"' in answer["verdict_html"]
    assert "Next field" not in ada.get(cells_url(last)).json()["verdict_html"]


def test_a_page_of_many_fields_asks_no_more_of_the_database(
    ada, slide, reading, django_assert_max_num_queries
):
    address = reverse("slide", args=[slide.pk])
    ada.get(address)
    with django_assert_max_num_queries(40) as few:
        ada.get(address)
    for _ in range(5):
        read_field(slide, "uninfected", "parasitized")
    with django_assert_max_num_queries(len(few)):
        ada.get(address)


def test_a_person_says_that_an_image_is_a_field(ada, slide, monkeypatch):
    sent: list[list[int]] = []
    monkeypatch.setattr("diagnosis.tasks.send", sent.append)
    crop = read(slide, "rejected")
    address = reverse("image_kind", args=[crop.image_id])
    assert ada.post(address, {"kind": "zebra"}).status_code == 302
    crop.image.refresh_from_db()
    assert crop.image.kind == "cell"
    ada.post(address, {"kind": "field"})
    rows = Prediction.objects.filter(image=crop.image).order_by("pk")
    assert [(p.kind, p.state, p.is_current) for p in rows] == [
        ("cell", State.REJECTED, True),
        ("field", State.QUEUED, False),
    ]
    ada.post(address, {"kind": "field"})
    assert rows.count() == 2


def test_an_image_that_was_read_as_both_goes_back_without_a_new_reading(ada, slide, monkeypatch):
    monkeypatch.setattr("diagnosis.tasks.send", lambda ids: None)
    crop = read(slide, "uninfected")
    field = read_field(slide, "uninfected", image=crop.image, is_current=False)
    assert not Prediction.objects.get(pk=field.pk).is_current
    ada.post(reverse("image_kind", args=[crop.image_id]), {"kind": "cell"})
    crop.refresh_from_db()
    assert crop.is_current
    ada.post(reverse("image_kind", args=[crop.image_id]), {"kind": "field"})
    assert Prediction.objects.get(pk=field.pk).is_current
    assert not Prediction.objects.filter(state=State.QUEUED).exists()


@pytest.mark.parametrize(
    ("value", "kept"), [("4200000", 4_200_000), ("", None), ("4.2", None), ("12", None)]
)
def test_a_measured_red_cell_count_is_kept_where_it_is_possible(ada, reading, value, kept):
    address = reverse("slide_basis", args=[reading.slide_id])
    ada.post(address, {"red_cells_per_microlitre": value})
    reading.slide.refresh_from_db()
    assert reading.slide.red_cells_per_microlitre == kept


def test_the_slide_s_page_asks_for_a_measured_count_where_there_are_fields(ada, slide, reading):
    crops = new_slide(slide.laboratory, "S-2")
    read(crops)
    slide.red_cells_per_microlitre = 4_200_000
    slide.save()
    page = ada.get(reverse("slide", args=[slide.pk])).text
    assert reverse("slide_basis", args=[slide.pk]) in page
    assert 'value="4200000"' in page
    assert "basis/" not in ada.get(reverse("slide", args=[crops.pk])).text


def test_an_unknown_image_is_not_found(ada):
    assert ada.get(reverse("field", args=[uuid.uuid4()])).status_code == 404
