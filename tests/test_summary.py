"""What a report of a slide says, as plain values."""

import json

import pytest
from django.utils import translation

from diagnosis import cells, finding, readings, reviews, roster, summary, verdict
from diagnosis.models import Band, Finding, Prediction
from tests.people import join, laboratory_of
from tests.readings import (
    active_model,
    another_model,
    as_first_format,
    failed,
    measured_model,
    new_image,
    new_slide,
    read,
    read_field,
    waiting,
)


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    measured_model()
    return new_slide(laboratory, "S-1", stain="giemsa", note="Third smear")


def test_it_says_which_slide_it_is_of(slide):
    said = summary.of_slide(slide)
    names = ("slide", "code", "laboratory", "stain", "note")
    expected = [str(slide.pk), "S-1", "Kisumu", "Giemsa", "Third smear"]
    assert [said[name] for name in names] == expected
    assert said["wording"] == verdict.RESEARCH_USE
    assert verdict.TRAINED_ON in said["limits"]


def test_fields_have_the_finding_s_own_words_and_numbers(slide):
    slide.red_cells_per_microlitre = 4_000_000
    slide.save()
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570, "uncertain", "edge", "rejected")
    said, result = summary.of_slide(slide), finding.of_slide(slide)
    assert said["finding"] == Finding.POSITIVE
    assert said["is_critical"]
    assert said["headline"] == result.headline
    assert said["lines"][: len(result.lines)] == result.lines
    assert said["advice"] == verdict.ALARM
    percent, per_microlitre = result.parasitaemia.percent, result.parasitaemia.per_microlitre
    assert said["parasitaemia"] == {
        "percent": {"value": percent.value, "low": percent.low, "high": percent.high},
        "per_microlitre": {
            "value": per_microlitre.value,
            "low": per_microlitre.low,
            "high": per_microlitre.high,
        },
        "basis": 4_000_000,
        "is_measured": True,
    }
    assert said["crops"] is None


@pytest.mark.parametrize("language", ["fr", "pt"])
def test_it_is_in_english_whoever_asks(slide, language):
    """Its words are signed: what two people see of it, and its fingerprint, are the same."""
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 1970, "edge")
    read(slide, "uncertain")
    english = summary.of_slide(slide)
    with translation.override(language):
        assert summary.of_slide(slide) == english
        assert finding.of_slide(slide).lines != english["lines"][:2]
    assert english["language"] == "en"
    assert "2,000 red cells" in english["lines"][1]


NUMBERS_AND_CODES = (
    "status", "is_critical", "finding", "concluded", "parasitaemia", "counts", "crops", "images",
    "pictures", "notes", "said", "models",
)  # fmt: skip


@pytest.mark.parametrize("language", ["fr", "pt"])
def test_its_sentences_are_in_the_language_of_the_laboratory(slide, laboratory, language):
    ada = laboratory.members.get()
    field = read_field(slide, *["parasitized"] * 30, *["uninfected"] * 1970, "edge")
    cells.say(field.image, ada, field.cells.first().pk, "parasitized", "Ring")
    readings.conclude(slide, ada, "cannot-tell", "Faint")
    english = summary.of_slide(slide)
    roster.set_report_language(laboratory, language)
    said = summary.of_slide(slide)
    assert said["language"] == language
    assert {name: said[name] for name in NUMBERS_AND_CODES} == {
        name: english[name] for name in NUMBERS_AND_CODES
    }
    for name in ("headline", "advice", "conclusion", "wording"):
        assert said[name] != english[name]
    for name in ("lines", "limits", "readings", "cell_notes"):
        assert set(said[name]).isdisjoint(english[name]), name
    with translation.override("en-gb"):
        assert summary.of_slide(slide) == said


def test_codes_stand_beside_its_words(slide, laboratory):
    ada = laboratory.members.get()
    field = read_field(slide, "parasitized", image=new_image(slide, "a.png", 400))
    cells.say(field.image, ada, field.cells.get().pk, "parasitized", "Ring")
    readings.conclude(slide, ada, "cannot-tell", "Faint")
    said = summary.of_slide(slide)
    assert (said["concluded"], said["conclusion"]) == ("cannot-tell", "Cannot tell")
    assert said["notes"] == [{"image": "a.png", "cell": 1, "is_added": False, "comment": "Ring"}]
    assert said["said"] == [
        {"who": "ada", "place": None, "label": "cannot-tell", "comment": "Faint"}
    ]
    assert summary.concluded(as_first_format(said)) == "cannot-tell"
    assert summary.language_of(as_first_format(said)) == "en"


def test_an_assumed_basis_is_called_so(slide):
    read_field(slide, *["uninfected"] * 600)
    said = summary.of_slide(slide)
    assert said["finding"] == Finding.NEGATIVE
    assert (said["parasitaemia"]["basis"], said["parasitaemia"]["is_measured"]) == (
        5_000_000,
        False,
    )


def test_cells_are_counted_over_all_fields_as_people_judged_them(slide, laboratory):
    first = read_field(slide, "parasitized", "uncertain", "edge", "uninfected")
    read_field(slide, "parasitized", "rejected", "uninfected")
    ada, suspect = laboratory.members.get(), first.cells.first()
    cells.say(first.image, ada, suspect.pk, "uninfected")
    cells.say(first.image, ada, first.cells.last().pk, "no-cell")
    assert summary.of_slide(slide)["counts"] == {
        "cells": 4,
        "parasitized": 1,
        "uninfected": 2,
        "uncertain": 1,
        "edge": 1,
        "rejected": 1,
        "removed": 1,
        "reviewed": 1,
        "to_look_at": 2,
    }


def test_each_image_is_named_as_it_counts_in_the_order_of_upload(slide, laboratory):
    field = read_field(slide, "parasitized", "uninfected", "edge")
    crop = read(slide, "parasitized", name="crop.png")
    reviews.say(crop.image, laboratory.members.get(), "uninfected")
    waiting(slide)
    failed(slide)
    first, second, third, fourth = summary.of_slide(slide)["images"]
    assert first == {
        "id": str(field.image_id),
        "name": field.image.name,
        "kind": "field",
        "state": "done",
        "decision": "parasitized",
        "is_reviewed": False,
        "cells": 2,
        "model": active_model().name,
    }
    assert (second["name"], second["kind"], second["cells"]) == ("crop.png", "cell", None)
    assert (second["decision"], second["is_reviewed"]) == ("uninfected", True)
    assert (third["state"], third["decision"]) == ("queued", "")
    assert (fourth["state"], fourth["decision"]) == ("failed", "")


def test_chosen_cells_give_neither_a_parasitaemia_nor_a_negative(slide):
    for decision in ("parasitized", "uncertain", *["uninfected"] * 3, "rejected"):
        read(slide, decision)
    said = summary.of_slide(slide)
    assert said["headline"] == "1 of 5 cells parasitized"
    assert said["crops"] == {"cells": 5, "parasitized": 1, "uncertain": 1, "uninfected": 3}
    assert (said["finding"], said["parasitaemia"], said["counts"]) == ("", None, None)
    assert verdict.NO_PARASITAEMIA in said["lines"]


def test_uninfected_chosen_cells_are_called_no_negative_result(slide):
    read(slide, "uninfected")
    said = summary.of_slide(slide)
    assert said["finding"] == ""
    assert said["advice"] == verdict.NOT_NEGATIVE


def test_reviewers_are_those_whose_opinions_stand(slide, laboratory):
    ada, ben, eve = (
        laboratory.members.get(),
        join(laboratory, "ben").user,
        join(laboratory, "eve").user,
    )
    field, crop = read_field(slide, "parasitized", "uninfected"), read(slide)
    cells.say(field.image, ben, field.cells.first().pk, "parasitized")
    reviews.say(crop.image, ada, "uninfected")
    reviews.say(crop.image, eve, "parasitized")
    reviews.take_back(crop.image, eve)
    assert summary.of_slide(slide)["reviewers"] == ["ada", "ben"]
    ben.delete()
    assert summary.of_slide(slide)["reviewers"] == [summary.FORMER_MEMBER, "ada"]


def test_notes_on_cells_stand_with_their_places(slide, laboratory):
    ada, ben = laboratory.members.get(), join(laboratory, "ben").user
    field = read_field(slide, "uninfected", "parasitized", image=new_image(slide, "a.png", 400))
    crop = read(slide)
    added = cells.add(field.image, ada, [5, 5, 30, 30], "parasitized")
    first, second = field.cells.all()
    cells.say(field.image, ben, second.pk, "parasitized", "Two rings")
    cells.say(field.image, ada, added.pk, "parasitized", "Faint")
    cells.say(field.image, ada, first.pk, "parasitized", "Taken back")
    cells.say(field.image, ada, first.pk, "")
    cells.say(field.image, ada, first.pk, "uninfected")
    reviews.say(crop.image, ada, "cannot-tell", "A platelet?")
    assert summary.of_slide(slide)["cell_notes"] == [
        f"{crop.image.name}: A platelet?",
        "a.png, cell 2: Two rings",
        "a.png, added cell 1: Faint",
    ]
    ben.delete()
    assert "a.png, cell 2: Two rings" in summary.of_slide(slide)["cell_notes"]


def test_whoever_added_a_cell_is_a_reviewer(slide, laboratory):
    field = read_field(slide, "uninfected")
    cells.add(field.image, laboratory.members.get(), [5, 5, 30, 30], "parasitized")
    assert summary.of_slide(slide)["reviewers"] == ["ada"]


def test_opinions_on_what_counts_no_more_are_nobody_s(slide, laboratory):
    """A crop that turned out to be a field; a field that another version read anew."""
    ada = laboratory.members.get()
    crop = read(slide, "parasitized")
    reviews.say(crop.image, ada, "uninfected")
    old = read_field(slide, "uninfected")
    cells.say(old.image, ada, old.cells.get().pk, "parasitized")
    for reading in (crop, old):
        Prediction.objects.filter(pk=reading.pk).update(is_current=False)
        read_field(slide, "uninfected", image=reading.image, model=another_model(f"v{reading.pk}"))
    assert summary.of_slide(slide)["reviewers"] == []


def test_versions_are_named_with_the_thresholds_they_decided_with(slide):
    band = Band.objects.create(version=active_model(), low=0.1, high=0.6, reason="Careful")
    read(slide, model=another_model("a-first"))
    read(slide)
    read(slide)
    read(slide, band=band)
    waiting(slide, model=another_model("not-yet"))
    read_field(slide, "uninfected")
    said = summary.of_slide(slide)
    assert [(model["name"], model["low"], model["high"]) for model in said["models"]] == [
        ("a-first", 0.1, 0.9),
        ("resnet34-drawn", 0.2, 0.8),
        ("resnet34-drawn", 0.1, 0.6),
    ]
    assert said["models"][1]["fingerprint"] == active_model().fingerprint
    assert said["finders"] == ["drawn-cells"]


def test_a_slide_without_images_has_its_summary(slide):
    said = summary.of_slide(slide)
    assert (said["headline"], said["status"]) == ("No images yet", "empty")
    assert (said["images"], said["models"], said["read_at"]) == ([], [], "")


def test_the_same_slide_says_the_same_however_it_was_loaded(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)  # `slide` knows nothing of it
    read(slide, image=new_image(slide))
    said = summary.of_slide(slide)
    slide.refresh_from_db()
    assert summary.of_slide(slide) == said
    assert json.loads(json.dumps(said)) == said


def test_queries_do_not_grow_with_the_images(slide, django_assert_max_num_queries):
    for _ in range(12):
        read_field(slide, "uninfected", "parasitized")
        read(slide)
    with django_assert_max_num_queries(20):
        summary.of_slide(slide)
