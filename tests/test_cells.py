"""Counts of a field's cells, and what people say of them."""

import pytest

from diagnosis import cells, counting, verdict
from diagnosis.models import Cell, CellReview, State
from tests.people import join, laboratory_of
from tests.readings import new_slide, read_field


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
    return read_field(slide, "parasitized", "uninfected", "uninfected", "uncertain", "edge")


def found(reading):
    return counting.of_predictions([reading])[reading.pk]


def say(reading, number, user, label):
    cells.say(reading.image, user, reading.cells.get(number=number).pk, label)


@pytest.mark.parametrize(
    ("cut", "decision", "reviewed", "expected"),
    [
        (False, "parasitized", "", "parasitized"),
        (False, "parasitized", "uninfected", "uninfected"),
        (False, "rejected", "", "rejected"),
        (False, "rejected", "parasitized", "parasitized"),
        (True, "parasitized", "", "edge"),
        (True, "parasitized", "parasitized", "edge"),
        (True, "parasitized", "removed", "removed"),
        (False, "", "", "removed"),
    ],
)
def test_what_a_cell_counts_as(cut, decision, reviewed, expected):
    assert counting.counts_as(cut, decision, reviewed) == expected


def test_cells_of_a_field_are_added_up(reading):
    total = found(reading)
    assert (total.parasitized, total.uninfected, total.uncertain, total.edge) == (1, 2, 1, 1)
    assert total.counted == 4
    assert total.decision == "parasitized"
    assert (total.counts.cells, total.counts.positives, total.counts.uncertain) == (4, 1, 1)


def test_a_review_replaces_the_machine_s_word_in_the_counts(reading, ada):
    say(reading, 1, ada, "uninfected")
    say(reading, 2, ada, "parasitized")
    counts = found(reading).counts
    assert (counts.positives, counts.confirmed, counts.refuted, counts.found) == (0, 0, 1, 1)
    assert found(reading).parasitized == 1


def test_cannot_tell_is_uncertain_and_two_who_differ_are_too(reading, ada, laboratory):
    say(reading, 1, ada, "cannot-tell")
    assert found(reading).uncertain == 2
    ben = join(laboratory, "ben").user
    say(reading, 2, ada, "parasitized")
    say(reading, 2, ben, "uninfected")
    assert found(reading).uncertain == 3
    assert found(reading).parasitized == 0


def test_a_removed_cell_counts_nowhere(reading, ada):
    say(reading, 1, ada, "no-cell")
    assert (found(reading).counted, found(reading).removed) == (3, 1)
    say(reading, 1, ada, "")
    assert (found(reading).counted, found(reading).removed) == (4, 0)


def test_one_opinion_of_a_person_stands_and_none_is_deleted(reading, ada):
    for label in ("parasitized", "uninfected", "uninfected", ""):
        say(reading, 1, ada, label)
    rows = CellReview.objects.order_by("pk")
    assert [row.label for row in rows] == ["parasitized", "uninfected"]
    assert not rows.filter(is_standing=True).exists()
    assert [row.withdrawn_at is not None for row in rows] == [False, True]


def test_a_cell_at_the_edge_stays_out(reading, ada):
    say(reading, 5, ada, "parasitized")
    assert (found(reading).parasitized, found(reading).edge) == (1, 1)


def test_an_added_cell_counts_until_nobody_stands_by_it(reading, ada):
    cell = cells.add(reading.image, ada, [10, 10, 30, 30], "parasitized")
    counts = found(reading).counts
    assert (counts.cells, counts.found) == (5, 1)
    assert cell in cells.of_image(reading.image, ada)
    cells.say(reading.image, ada, cell.pk, "")
    assert found(reading).counted == 4
    assert cell not in cells.of_image(reading.image, ada)
    with pytest.raises(cells.NoSuchCell):
        cells.say(reading.image, ada, cell.pk, "parasitized")


def test_a_box_that_is_sent_twice_is_one_cell(reading, ada):
    first = cells.add(reading.image, ada, [10, 10, 30, 30], "parasitized")
    assert cells.add(reading.image, ada, [10, 10, 30, 30], "uninfected", "A platelet.") == first
    assert (found(reading).counted, found(reading).parasitized) == (5, 1)
    assert first.reviews.get(is_standing=True).comment == "A platelet."
    cells.say(reading.image, ada, first.pk, "")
    assert cells.add(reading.image, ada, [10, 10, 30, 30], "parasitized") != first


def test_an_added_cell_at_the_image_s_side_is_cut(reading, ada):
    assert cells.add(reading.image, ada, [0, 10, 30, 30], "uninfected").is_cut
    assert found(reading).counted == 4


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([1, 2, 3], "four whole numbers"),
        ([1, 2, 3.5, 9], "four whole numbers"),
        ([1, 2, True, 9], "four whole numbers"),
        ("1234", "four whole numbers"),
        (None, "four whole numbers"),
        ([5, 5, 3, 20], "too small"),
        ([390, 5, 20, 20], "beyond the image"),
        ([-1, 5, 20, 20], "beyond the image"),
        ([10**12, 5, 20, 20], "beyond the image"),
    ],
)
def test_a_box_that_cannot_be_is_refused(reading, ada, box, words):
    with pytest.raises(cells.CellError, match=words):
        cells.add(reading.image, ada, box, "parasitized")
    assert not Cell.objects.filter(prediction=None).exists()


@pytest.mark.parametrize("label", ["", "no-cell", "malaria"])
def test_an_added_cell_has_to_be_something(reading, ada, label):
    with pytest.raises(cells.CellError, match="Say what the cell is"):
        cells.add(reading.image, ada, [10, 10, 30, 30], label)


@pytest.mark.parametrize("id", [None, "x", 10**30, -1, [1]])
def test_what_is_no_cell_of_the_image_is_not_found(reading, ada, id):
    with pytest.raises(cells.NoSuchCell):
        cells.say(reading.image, ada, id, "parasitized")


def test_a_cell_of_another_image_is_not_found(slide, reading, ada):
    other = read_field(slide, "uninfected")
    with pytest.raises(cells.NoSuchCell):
        cells.say(reading.image, ada, other.cells.get().pk, "parasitized")


def test_a_rejected_field_takes_no_cells_and_counts_nothing(slide, ada):
    rejected = read_field(slide, "uninfected", state=State.REJECTED, decision="rejected")
    with pytest.raises(cells.CellError, match="rejected"):
        cells.add(rejected.image, ada, [10, 10, 30, 30], "parasitized")
    assert counting.of_slides([slide.pk]) == {}


def test_what_people_say_is_what_the_image_counts_as(slide, reading, ada):
    assert verdict.tally(slide).parasitized == 1
    say(reading, 1, ada, "uninfected")
    say(reading, 4, ada, "uninfected")
    tally = verdict.tally(slide)
    assert (tally.parasitized, tally.uninfected, tally.reviewed) == (0, 1, 1)


def test_slides_are_added_up_in_three_queries(slide, laboratory, django_assert_num_queries):
    other = new_slide(laboratory)
    for number in range(4):
        read_field(slide if number % 2 else other, "uninfected", "parasitized")
    with django_assert_num_queries(3):
        totals = counting.of_slides([slide.pk, other.pk])
    assert [totals[pk].counted for pk in (slide.pk, other.pk)] == [4, 4]
