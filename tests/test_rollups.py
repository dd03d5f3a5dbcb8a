import importlib

import pytest
from django.apps import apps
from django.db import connection

from diagnosis import cells, reviews, rollups, signing, verdict
from diagnosis.models import Slide
from ml.agreement import Pairs
from tests.people import join, laboratory_of
from tests.readings import failed, measured_model, new_slide, read, read_field, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


def kept(slide):
    return Pairs(*Slide.objects.values_list(*Pairs._fields).get(pk=slide.pk))


def test_a_slide_keeps_what_the_model_and_people_said_of_its_crops(laboratory, ada):
    slide = new_slide(laboratory)
    for said, heard in (
        ("parasitized", "parasitized"),
        ("parasitized", "uninfected"),
        ("uninfected", "parasitized"),
        ("uninfected", "uninfected"),
        ("uncertain", "uninfected"),
        ("parasitized", "cannot-tell"),
    ):
        reviews.say(read(slide, said).image, ada, heard)
    read(slide, "parasitized")
    # An uncertain cell has a label too: parasitized, at a probability of one half.
    assert kept(slide) == Pairs(1, 2, 1, 1)


def test_people_who_disagree_and_what_is_taken_back_count_for_nothing(laboratory, ada):
    slide, ben = new_slide(laboratory), join(laboratory, "ben").user
    image = read(slide, "parasitized").image
    reviews.say(image, ada, "parasitized")
    assert kept(slide) == Pairs(1, 0, 0, 0)
    reviews.say(image, ben, "uninfected")
    assert kept(slide) == Pairs()
    reviews.take_back(image, ada)
    assert kept(slide) == Pairs(0, 1, 0, 0)
    reviews.take_back(image, ben)
    assert kept(slide) == Pairs()


def test_cells_of_fields_are_compared_too_but_for_those_that_a_person_added(laboratory, ada):
    slide = new_slide(laboratory)
    image = read_field(slide, "parasitized", "uninfected", "uninfected").image
    first, second, third = image.cells.order_by("number")
    cells.say(image, ada, first.pk, "parasitized")
    cells.say(image, ada, second.pk, "parasitized")
    cells.say(image, ada, third.pk, "no-cell")
    cells.add(image, ada, [10, 10, 20, 20], "parasitized")
    assert kept(slide) == Pairs(1, 0, 1, 0)


def test_the_models_own_answers_stay_what_they_were_when_people_speak(laboratory, ada):
    slide = new_slide(laboratory)
    for decision in ("parasitized", "uncertain", "uncertain", "rejected", "uninfected"):
        prediction = read(slide, decision)
    read_field(slide, "uncertain", "uninfected")
    read_field(slide, "rejected")
    failed(slide)
    waiting(slide)
    expected = {"answered": 7, "called_uncertain": 3, "called_rejected": 2}
    assert answers(slide) == expected
    for prediction in slide.predictions.filter(state="done", kind="cell"):
        reviews.say(prediction.image, ada, "uninfected")
    slide.refresh_from_db()
    assert (slide.uncertain, answers(slide)) == (1, expected)


def answers(slide):
    names = rollups.KEPT[:3]
    return dict(zip(names, Slide.objects.values_list(*names).get(pk=slide.pk), strict=True))


def test_a_slide_keeps_whether_it_is_critical(laboratory, ada):
    measured_model()
    slides = {name: new_slide(laboratory, name) for name in ("CROP", "FIELD", "SUSPECT", "NONE")}
    crop = read(slides["CROP"], "parasitized")
    read_field(slides["FIELD"], *["parasitized"] * 40, *["uninfected"] * 600)
    read_field(slides["SUSPECT"], "parasitized", *["uninfected"] * 600)
    read(slides["NONE"])
    critical = Slide.objects.filter(is_critical=True)
    assert {slide.code for slide in critical} == {"CROP", "FIELD"}
    for slide in Slide.objects.all():
        assert slide.is_critical == verdict.tally(slide).is_critical
    reviews.say(crop.image, ada, "uninfected")
    assert {slide.code for slide in critical.all()} == {"FIELD"}


def test_slides_of_a_former_version_are_filled_as_recounting_would(laboratory, ada):
    """By the migration, which brings its own reckoning."""
    measured_model()
    slide, other = new_slide(laboratory), new_slide(laboratory)
    for said, heard in (("parasitized", "uninfected"), ("uninfected", "parasitized")):
        reviews.say(read(slide, said).image, ada, heard)
    read(slide, "rejected")
    image = read_field(other, *["parasitized"] * 40, *["uninfected"] * 600).image
    cells.say(image, ada, image.cells.first().pk, "parasitized")
    read_field(new_slide(laboratory), "uncertain")
    read(new_slide(laboratory), "parasitized")
    signing.sign(other, ada)
    opened = new_slide(laboratory)
    read(opened, "uncertain")
    signing.sign(opened, ada)
    read(opened, "uncertain")
    names = ("is_critical", "has_open", "signed_at", *rollups.KEPT)
    expected = set(Slide.objects.values_list("pk", *names))
    Slide.objects.update(**dict.fromkeys(rollups.KEPT, 0), is_critical=False, has_open=False)
    Slide.objects.update(signed_at=None)
    migration = importlib.import_module("diagnosis.migrations.0009_fill_rollups")
    migration.fill(apps, connection.schema_editor())
    assert set(Slide.objects.values_list("pk", *names)) == expected


def test_kept_counts_are_filled_again_without_adding_up_and_without_slides_that_went(
    laboratory, ada, monkeypatch
):
    slide, gone = new_slide(laboratory), new_slide(laboratory)
    reviews.say(read(slide, "parasitized").image, ada, "uninfected")
    names = ("is_critical", "has_open", "signed_at", *rollups.KEPT)
    expected = list(Slide.objects.filter(pk=slide.pk).values_list(*names))
    migration = importlib.import_module("diagnosis.migrations.0009_fill_rollups")
    count = migration._add_pairs

    def deleting(*given):
        gone.delete()
        count(*given)

    monkeypatch.setattr(migration, "_add_pairs", deleting)
    migration.fill(apps, connection.schema_editor())
    monkeypatch.undo()
    migration.fill(apps, connection.schema_editor())
    assert list(Slide.objects.values_list(*names)) == expected
