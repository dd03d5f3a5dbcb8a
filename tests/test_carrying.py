"""Another reading of a field counts: what people said of its cells goes along."""

import pytest
from django.db import transaction

from diagnosis import (
    again,
    carrying,
    cells,
    counting,
    current,
    registry,
    reviews,
    tasks,
    verdict,
)
from diagnosis.models import Cell, CellReview, Prediction, State
from tests.databases import at_once, slow_down
from tests.people import join, laboratory_of
from tests.readings import another_model, new_slide, read, read_field


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "S-1")


@pytest.fixture
def reading(slide):
    return read_field(slide, "parasitized", "uninfected", "uninfected")


def read_anew(reading, *words, **fields):
    """By a version that is then active; it counts if it may."""
    version = another_model()
    registry.activate(version)
    new = read_field(
        reading.slide, *words, image=reading.image, model=version, is_current=False, **fields
    )
    current.take_over([new.pk])
    new.refresh_from_db()
    return new


@transaction.atomic
def take_over(new):
    """As a worker that has read it."""
    current.take_over([new.pk])
    verdict.recount([new.slide_id])


def say(reading, number, user, label):
    cells.say(reading.image, user, reading.cells.get(number=number).pk, label)


def found(reading):
    return counting.of_predictions([reading])[reading.pk]


def test_opinions_go_along_to_the_cells_in_the_same_places(reading, ada, laboratory):
    ben = join(laboratory, "ben").user
    say(reading, 1, ada, "uninfected")
    say(reading, 1, ben, "uninfected")
    say(reading, 2, ada, "no-cell")
    new = read_anew(reading, "parasitized", "parasitized", "parasitized")
    assert new.is_current
    assert [cell.reviewed for cell in new.cells.all()] == ["uninfected", "removed", ""]
    total = found(new)
    assert (total.parasitized, total.uninfected, total.removed) == (1, 1, 1)
    assert not CellReview.objects.filter(cell__prediction=reading, is_standing=True).exists()
    assert CellReview.objects.count() == 6  # the rows of the former reading are kept
    said = new.cells.first().reviews.get(reviewer=ben)
    assert said.created_at == CellReview.objects.filter(reviewer=ben).first().created_at


def test_what_a_person_named_and_the_new_reading_misses_is_an_added_cell(reading, ada):
    say(reading, 2, ada, "no-cell")
    say(reading, 3, ada, "parasitized")
    new = read_anew(reading, "uninfected")
    added = Cell.objects.get(prediction=None)
    assert (added.box, added.reviewed) == (reading.cells.get(number=3).box, "parasitized")
    assert (found(new).counted, found(new).parasitized) == (2, 1)


def test_an_added_cell_that_is_found_now_is_one_cell(reading, ada):
    added = cells.add(reading.image, ada, [81, 1, 18, 18], "parasitized")
    new = read_anew(reading, *["uninfected"] * 4)
    assert [cell.reviewed for cell in new.cells.all()] == ["", "", "", "parasitized"]
    assert added not in cells.of_image(new.image, ada)
    assert (found(new).counted, found(new).parasitized) == (4, 1)


def test_back_at_the_former_reading_stands_what_stood_last(reading, ada):
    say(reading, 1, ada, "uninfected")
    say(reading, 2, ada, "parasitized")
    new = read_anew(reading, "parasitized", "uninfected", "uninfected")
    say(new, 1, ada, "")
    say(new, 3, ada, "cannot-tell")
    registry.activate(reading.model)
    current.take_over([reading.pk])
    assert [cell.reviewed for cell in reading.cells.all()] == ["", "parasitized", "uncertain"]


def test_a_rejection_does_not_hide_what_people_saw(reading, ada):
    say(reading, 1, ada, "parasitized")
    new = read_anew(reading, "rejected")
    assert (new.state, new.is_current) == (State.REJECTED, False)
    assert again.standing(reading.slide) == again.Standing(new.model)
    assert again.analyse_again(reading.slide) == 0
    reading.slide.refresh_from_db()
    assert reading.slide.finding == "positive"


def test_a_rejection_counts_where_nobody_spoke(reading):
    assert read_anew(reading, "rejected").is_current


def test_an_image_counts_as_what_was_said_of_it_as_what_it_is(slide, reading, ada, monkeypatch):
    monkeypatch.setattr(tasks, "send", lambda ids: None)
    say(reading, 1, ada, "uninfected")
    image = reading.image
    crop = read(slide, "uncertain", image=image, is_current=False)
    again.read_as(image, "cell")
    image.refresh_from_db()
    assert image.reviewed == ""
    assert Prediction.objects.get(is_current=True) == crop
    reviews.say(image, ada, "parasitized")
    again.read_as(image, "field")
    image.refresh_from_db()
    assert image.reviewed == "uninfected"
    again.read_as(image, "cell")
    image.refresh_from_db()
    assert image.reviewed == "parasitized"


def test_a_field_of_which_every_cell_was_removed_counts_as_rejected(slide, reading, ada):
    for number in (1, 2, 3):
        say(reading, number, ada, "no-cell")
    slide.refresh_from_db()
    assert (slide.rejected, slide.parasitized, slide.finding) == (1, 0, "")


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 10, 10), 1),
        ((5, 0, 10, 10), 1 / 3),
        ((0, 0, 10, 20), 0.5),
        ((10, 0, 5, 5), 0),
        ((50, 50, 5, 5), 0),
    ],
)
def test_overlap_is_intersection_over_union(box, share):
    x, y, width, height = box
    one, other = Cell(x=0, y=0, width=10, height=10), Cell(x=x, y=y, width=width, height=height)
    assert carrying.overlap(one, other) == carrying.overlap(other, one) == pytest.approx(share)


def test_of_two_the_closer_one_is_the_same():
    near, nearer = (Cell(pk=pk, x=pk, y=0, width=20, height=20) for pk in (3, 1))
    cell = Cell(pk=9, x=0, y=0, width=20, height=20)
    assert carrying.pairs([cell], [near, nearer]) == {cell: nearer}
    assert carrying.pairs([near, nearer], [cell]) == {nearer: cell}


def test_people_and_workers_on_one_slide_lock_nobody_out(real_database, monkeypatch):
    monkeypatch.setattr(tasks, "send", lambda ids: None)
    laboratory = laboratory_of("ada")
    ada, slide = laboratory.members.get(), new_slide(laboratory)
    reading, crop = read_field(slide, "parasitized", "uninfected"), read(slide)
    version = another_model()
    registry.activate(version)
    new = read_field(slide, "uninfected", image=reading.image, model=version, is_current=False)
    first = reading.cells.first().pk
    slow_down(monkeypatch, current, "lock")
    outcomes = at_once(
        lambda: cells.say(reading.image, ada, first, "uninfected"),
        lambda: cells.add(reading.image, ada, [300, 300, 20, 20], "parasitized"),
        lambda: reviews.say(crop.image, ada, "parasitized"),
        lambda: again.read_as(crop.image, "field"),
        lambda: take_over(new),
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in refused] in ([], [cells.NoSuchCell])  # it was read anew first
    assert Prediction.objects.get(image=reading.image, is_current=True) == new
    slide.refresh_from_db()
    assert slide.cells_parasitized == 1
