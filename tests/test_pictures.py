"""Which pictures a report shows, and how they are drawn."""

import io

import pytest
from PIL import Image

from diagnosis import cells, crops, pictures, reviews, summary
from diagnosis.models import Cell, SmearImage
from tests.people import laboratory_of
from tests.readings import new_slide, read, read_field


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "S-1")


def chosen(slide):
    return summary.of_slide(slide)["pictures"]


def drawn(slide):
    return pictures.drawn(summary.of_slide(slide))


def test_the_fields_with_most_suspicious_cells_are_chosen(slide):
    read_field(slide, "uncertain", "uncertain", "uninfected")
    most = read_field(slide, "parasitized", "parasitized", "uncertain")
    read_field(slide, "uninfected", "uninfected")
    second = read_field(slide, "parasitized", "uncertain", "uncertain")
    first, last = chosen(slide)["fields"]
    assert (first["image"], first["parasitized"], first["uncertain"]) == (
        str(most.image_id),
        2,
        1,
    )
    assert (last["image"], last["name"]) == (str(second.image_id), second.image.name)


def test_in_a_field_its_suspicious_cells_are_marked_and_no_others(slide):
    reading = read_field(slide, "uninfected", "parasitized", "uncertain", "edge", "rejected")
    Cell.objects.filter(is_cut=True).update(decision="parasitized")
    (field,) = chosen(slide)["fields"]
    suspect, doubtful = reading.cells.filter(number__in=(2, 3)).order_by("number")
    assert field["marks"] == [
        {"decision": "parasitized", "box": list(suspect.box)},
        {"decision": "uncertain", "box": list(doubtful.box)},
    ]


def test_cells_come_by_what_they_count_as_then_as_people_saw_them_then_by_probability(
    slide, laboratory
):
    ada = laboratory.members.get()
    reading = read_field(slide, "uninfected", "uncertain", "parasitized", "parasitized")
    Cell.objects.filter(number=3).update(probability=0.91)
    cells.say(reading.image, ada, reading.cells.get(number=1).pk, "parasitized")
    read(slide, "parasitized", probability=0.95)
    read(slide, "uninfected")
    found = chosen(slide)["cells"]
    assert [(one["decision"], one["probability"], one["is_reviewed"]) for one in found] == [
        ("parasitized", 0.02, True),
        ("parasitized", 0.97, False),
        ("parasitized", 0.95, False),
        ("parasitized", 0.91, False),
        ("uncertain", 0.5, False),
    ]
    assert [one["box"] is None for one in found] == [False, False, True, False, False]


def test_what_people_say_is_no_suspect_is_not_shown(slide, laboratory):
    ada = laboratory.members.get()
    reading, crop = read_field(slide, "parasitized", "uninfected"), read(slide, "parasitized")
    cells.say(reading.image, ada, reading.cells.first().pk, "uninfected")
    reviews.say(crop.image, ada, "uninfected")
    assert chosen(slide) == {"fields": [], "cells": []}


def test_a_cell_that_a_person_added_is_shown(slide, laboratory):
    reading = read_field(slide, "uninfected")
    cells.add(reading.image, laboratory.members.get(), [50, 60, 30, 30], "parasitized")
    (only,) = chosen(slide)["cells"]
    assert (only["box"], only["probability"]) == ([50, 60, 30, 30], None)


def test_rejected_fields_and_other_slides_have_no_pictures(slide, laboratory):
    read_field(slide, "parasitized", state="rejected")
    read_field(new_slide(laboratory), "parasitized")
    assert chosen(slide) == {"fields": [], "cells": []}


def test_many_are_cut(slide):
    for _ in range(3):
        read_field(slide, *["parasitized"] * 15)
    found = chosen(slide)
    assert (len(found["fields"]), len(found["cells"])) == (pictures.FIELDS, pictures.CELLS)
    assert len({(one["image"], *one["box"]) for one in found["cells"]}) == pictures.CELLS


def test_pictures_are_small_jpegs_and_marks_shares_of_them(slide):
    reading = read_field(slide, "parasitized")
    Cell.objects.update(x=100, y=200, width=40, height=20)
    read(slide, "uncertain")
    (field,), (cell, crop) = drawn(slide)
    width = reading.image.width
    assert field.marks == [("parasitized", 100 / width, 200 / width, 40 / width, 20 / width)]
    for picture in (field, cell, crop):
        with Image.open(io.BytesIO(picture.jpeg)) as image:
            assert image.format == "JPEG"
            assert image.size == (picture.width, picture.height)
            assert max(image.size) <= pictures.FIELD_SIDE
    assert cell.width == cell.height == 48  # a square round the longer side, and a tenth of margin


def test_a_cell_at_the_edge_is_cut_out_as_far_as_the_image_goes(slide):
    read_field(slide, "parasitized")
    Cell.objects.update(x=0, y=370, width=10, height=30)
    _, (cell,) = drawn(slide)
    assert 0 < cell.width < cell.height <= 36


def test_a_photograph_that_is_gone_leaves_its_place_empty(slide):
    reading = read_field(slide, "parasitized")
    content = summary.of_slide(slide)
    reading.image.file.delete(save=False)
    assert pictures.drawn(content) == ([], [])
    SmearImage.objects.all().delete()
    assert pictures.drawn(content) == ([], [])


def test_to_draw_it_small_leaves_the_photograph_that_others_share_as_it_is(slide, monkeypatch):
    reading = read_field(slide, "parasitized")
    monkeypatch.setattr(pictures, "FIELD_SIDE", 100)
    first, second = drawn(slide), drawn(slide)
    assert first == second
    assert first[0][0].width == 100
    with crops.photograph(reading.image) as photo:
        assert photo.size == (400, 400)
