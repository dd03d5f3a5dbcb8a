"""A closed reading is about what its reader saw, on both databases: what the model says later, of
an image that is analysed again or that came after it, is not theirs."""

import pytest

from diagnosis import (
    again,
    cells,
    disputes,
    fhir,
    intake,
    readings,
    registry,
    reviews,
    roster,
    signing,
    summary,
    tasks,
    waiting,
)
from diagnosis.models import Role, Slide
from tests.people import join, laboratory_of, signed_in
from tests.readings import another_model, failed, measured_model, new_slide, read, read_field
from tests.test_tasks import Answers


@pytest.fixture
def predictor(monkeypatch):
    """Says parasitized of every cell, with a probability of 0.9."""
    predictor = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: predictor)
    monkeypatch.setattr(tasks, "send", lambda ids, size=None: None)
    return predictor


@pytest.fixture
def laboratory(real_database):
    laboratory = laboratory_of("ada")
    roster.set_second_reading(laboratory, True)
    return laboratory


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get(username="ada")


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben", Role.REVIEWER).user


@pytest.fixture
def slide(laboratory, predictor):
    return new_slide(laboratory, "KSM-7")


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def close(slide, *people):
    for user in people:
        readings.conclude(slide, user, "positive", close=True)
    return fresh(slide)


def analyse(slide):
    """By a version that is active from now on; how many images it read."""
    registry.activate(another_model())
    number = again.analyse_again(slide)
    _work(slide)
    return number


def _work(slide):
    for pk in slide.predictions.filter(state="queued").values_list("pk", flat=True):
        tasks.analyse([pk])


def said(slide):
    differences = [one for one in disputes.of_slide(slide) if one.differs]
    return [[(one.label, one.is_own) for one in found.said] for found in differences]


def reason(user):
    return waiting.slides(user).get().waits  # type: ignore[attr-defined]


def test_what_was_left_as_it_was_stays_the_answer_that_the_reader_saw(slide, ada, ben):
    image = read(slide, "uninfected").image
    reviews.say(image, ada, "parasitized")
    slide = close(slide, ada, ben)
    before = said(slide)
    assert before == [[("parasitized", True), ("uninfected", False)]]
    assert analyse(slide) == 0
    slide = fresh(slide)
    assert (said(slide), slide.disputed, fresh(image).reviewed) == (before, 1, "uncertain")
    disputes.settle(slide, ada, f"image-{image.pk}", "parasitized", "A ring.")
    assert signing.hindrance(fresh(slide)) == ""
    assert signing.sign(fresh(slide), ada).content["headline"]


def test_where_the_two_agreed_no_new_answer_makes_a_difference(slide, ada, ben):
    image = read(slide, "uninfected").image
    reviews.say(image, ada, "uninfected")
    slide = close(slide, ada, ben)
    assert analyse(slide) == 0
    slide = fresh(slide)
    assert (said(slide), slide.disputed, fresh(image).reviewed) == ([], 0, "uninfected")


def test_what_nobody_spoke_of_counts_as_both_saw_it(slide, ada, ben):
    read(slide, "uninfected")
    slide = close(slide, ada, ben)
    report = signing.sign(slide, ada)
    analyse(slide)
    assert signing.change(report, fresh(slide)) is None
    standing = again.standing(slide)
    assert (standing.outdated, standing.closed, standing.pending) == (0, 1, 0)


def test_one_closed_reading_is_enough(slide, ada, ben):
    image = read(slide, "uninfected").image
    slide = close(slide, ada)
    assert analyse(slide) == 0
    reviews.say(image, ben, "parasitized")
    slide = close(slide, ben)
    assert said(slide) == [[("uninfected", False), ("parasitized", True)]]


def test_an_image_is_not_taken_for_another_kind_after_a_reading_was_closed(slide, ada, ben):
    image = read(slide, "uninfected").image
    close(slide, ada)
    with pytest.raises(again.Closed, match="so it stays"):
        again.read_as(image, "field")
    assert fresh(image).kind == "cell"


def test_before_a_reading_is_closed_it_may_be_analysed_again(slide, ada, ben):
    image = read(slide, "uninfected").image
    reviews.say(image, ada, "parasitized")
    assert analyse(slide) == 1
    slide = close(slide, ada, ben)
    assert said(slide) == []


def test_no_reading_is_closed_while_images_are_read_again(slide, ada):
    read(slide, "uninfected")
    registry.activate(another_model())
    again.analyse_again(slide)
    with pytest.raises(readings.NotNow, match="still being read"):
        close(slide, ada)
    _work(slide)
    close(slide, ada)


def test_who_closed_did_not_see_what_came_before_the_other_closed(slide, ada, ben):
    read(slide, "uninfected")
    close(slide, ada)
    late = read(slide, "uninfected").image
    reviews.say(late, ben, "parasitized")
    slide = close(slide, ben)
    assert (said(slide), slide.disputed, fresh(late).reviewed) == ([], 0, "parasitized")
    reviews.say(late, ada, "uninfected")  # of what she had not seen she may speak
    assert fresh(late).reviewed == "uncertain"


def test_nor_what_could_not_be_read_before(slide, ada, ben):
    read(slide, "uninfected")
    broken = failed(slide).image
    slide = close(slide, ada, ben)
    assert intake.retry(broken)
    _work(slide)
    reviews.say(broken, ben, "uninfected")
    assert (said(fresh(slide)), fresh(broken).reviewed) == ([], "uninfected")


def test_what_came_late_lets_people_conclude_anew(slide, ada, ben):
    measured_model()
    read_field(slide, *["uninfected"] * 600)
    for user in (ada, ben):
        readings.conclude(slide, user, "negative", close=True)
    slide = fresh(slide)
    assert disputes.of_slide(slide) == []
    late = read_field(slide, "parasitized", "uninfected")
    cells.say(late.image, ben, late.cells.get(decision="parasitized").pk, "parasitized")
    slide = fresh(slide)
    assert (slide.concluded, slide.is_critical, slide.disputed) == ("negative", True, 0)
    assert fhir._presence_of(summary.of_slide(slide)) == fhir.DETECTED
    [whole] = disputes.of_slide(slide)
    assert not whole.differs
    assert "They agreed." in summary.of_slide(slide)["second_reading"]
    shown = " ".join(signed_in(ada).get(f"/slides/{slide.pk}/").text.split())
    assert "the slide may be concluded anew" in shown
    disputes.settle(slide, ada, whole.key, "positive", "A ring in the field that came last.")
    assert fresh(slide).concluded == "positive"


def test_what_is_to_be_said_of_an_image_depends_on_what_it_was_read_as(slide, ada, ben):
    image = read(slide, "uncertain").image
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    close(slide, ada, ben)
    image.kind = "field"  # its reading as one is still to come
    image.save()
    [one] = [each for each in disputes.of_slide(fresh(slide)) if each.image]
    assert one.words == [(said, said.label) for said in one.said]
    assert {"parasitized", "uninfected"} < dict(one.choices).keys()
    disputes.settle(fresh(slide), ada, one.key, "parasitized", "A ring.")
    assert fresh(image).reviewed == "parasitized"


def test_what_came_late_is_analysed_again_alone(slide, ada, ben):
    seen = read(slide, "uninfected").image
    slide = close(slide, ada, ben)
    late = read(slide, "uninfected").image
    reviews.say(late, ada, "uninfected")
    assert analyse(slide) == 1
    models = [image.predictions.get(is_current=True).model for image in (seen, late)]
    assert models[0] != models[1]
    assert (said(fresh(slide)), fresh(late).reviewed) == ([], "uninfected")


def test_the_cells_of_a_field_stay_those_that_both_saw(slide, ada, ben):
    image = read_field(slide, "uninfected", "uninfected").image
    first = image.cells.first()
    cells.say(image, ada, first.pk, "parasitized")
    slide = close(slide, ada, ben)
    assert analyse(slide) == 0
    assert said(fresh(slide)) == [[("parasitized", True), ("uninfected", False)]]
    assert fresh(first).reviewed == "uncertain"


def test_what_came_late_and_nobody_has_looked_at_waits(slide, ada, ben):
    read(slide, "parasitized")
    slide = close(slide, ada, ben)
    assert not slide.has_open
    assert reason(ada) == waiting.Reason.UNSIGNED
    late = read(slide, "parasitized").image
    assert fresh(slide).has_open
    assert reason(ada) == waiting.Reason.POSITIVE
    reviews.say(late, ada, "parasitized")
    assert not fresh(slide).has_open


def test_whoever_lets_one_reading_do_may_have_it_analysed_again(slide, ada, ben):
    read(slide, "uninfected")
    close(slide, ben)
    readings.let_one_do(slide, ada, "Nobody else is here.")
    assert analyse(fresh(slide)) == 1
    assert Slide.objects.get().parasitized == 1
