"""A slide's verdict from its fields."""

import pytest

from diagnosis import cells, finding, verdict
from diagnosis.models import Band, Finding
from tests.people import join, laboratory_of
from tests.readings import active_model, measured_model, new_slide, read, read_field


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    measured_model()
    return new_slide(laboratory, "S-1")


def result_of(slide):
    slide.refresh_from_db()
    result = finding.of_slide(slide)
    assert result
    assert slide.finding == result.verdict
    return result


def test_many_parasitized_cells_are_positive_with_an_interval(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570, "edge", "rejected")
    result = result_of(slide)
    assert result.verdict == Finding.POSITIVE
    assert result.headline.startswith("Parasites suspected: parasitaemia 5")
    assert "95 % interval" in result.lines[0]
    assert "5,000,000 red cells per µL assumed" in result.lines[0]
    assert "gametocytes" in result.lines[0]
    assert "Not counted: 1 cut by an edge, 1 rejected." in result.lines
    assert verdict.tally(slide).is_critical


def test_no_parasitized_cell_in_enough_cells_is_negative_in_so_many(slide):
    read_field(slide, *["uninfected"] * 600)
    result = result_of(slide)
    assert (result.verdict, result.headline) == (Finding.NEGATIVE, "Negative in 600 red cells")
    tally = verdict.tally(slide)
    assert tally.advice == verdict.NEVER_RULES_OUT
    assert not tally.is_critical


def test_too_few_cells_say_how_many_more_are_needed(slide):
    read_field(slide, *["uninfected"] * 120)
    result = result_of(slide)
    assert result.verdict == Finding.UNCERTAIN
    assert result.headline == "Uncertain: 380 more red cells needed"
    assert any("380 more red cells needed" in line for line in result.lines)


def test_one_suspected_cell_has_to_be_looked_at(slide):
    read_field(slide, "parasitized", *["uninfected"] * 600)
    result = result_of(slide)
    assert (result.verdict, result.headline) == (
        Finding.UNCERTAIN,
        "Uncertain: 1 cell to look at",
    )


def test_a_confirmed_parasite_is_positive(slide, laboratory):
    reading = read_field(slide, "parasitized", *["uninfected"] * 600)
    cells.say(reading.image, laboratory.members.get(), reading.cells.first().pk, "parasitized")
    result = result_of(slide)
    assert result.verdict == Finding.POSITIVE
    assert result.headline.startswith("Positive: parasitaemia 0.1")


@pytest.mark.parametrize("doubt", ["uninfected", "cannot-tell"])
def test_a_cell_of_which_people_are_in_doubt_makes_no_slide_negative(slide, laboratory, doubt):
    reading = read_field(slide, "parasitized", *["uninfected"] * 600)
    ada, ben = laboratory.members.get(), join(laboratory, "ben").user
    suspect = reading.cells.get(decision="parasitized")
    cells.say(reading.image, ada, suspect.pk, "parasitized")
    assert result_of(slide).verdict == Finding.POSITIVE
    cells.say(reading.image, ben, suspect.pk, doubt)
    result = result_of(slide)
    assert result.verdict == Finding.UNCERTAIN
    assert result.headline == "Uncertain: people cannot tell what 1 cell is, or differ"
    assert "1 cell on which people differ, or which they cannot tell." in result.lines
    assert result.to_look_at == 0
    cells.say(reading.image, ada, suspect.pk, "uninfected")
    cells.say(reading.image, ben, suspect.pk, "uninfected")
    assert result_of(slide).verdict == Finding.NEGATIVE


def test_one_who_cannot_tell_of_a_suspected_cell_makes_no_slide_negative(slide, laboratory):
    reading = read_field(slide, "parasitized", "uncertain", *["uninfected"] * 600)
    suspect = reading.cells.get(decision="parasitized")
    cells.say(reading.image, laboratory.members.get(), suspect.pk, "cannot-tell")
    result = result_of(slide)
    assert result.verdict == Finding.UNCERTAIN
    assert result.headline == "Uncertain: 1 cell to look at"


def test_a_measured_red_cell_count_is_the_basis(slide):
    slide.red_cells_per_microlitre = 2_500_000
    slide.save()
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    assert "with 2,500,000 red cells per µL as measured" in result_of(slide).lines[0]


def test_without_a_measured_background_nothing_is_negative(laboratory):
    active_model()
    slide = new_slide(laboratory)
    reading = read_field(slide, *["uninfected"] * 600)
    result = result_of(slide)
    assert (result.verdict, result.parasitaemia) == (Finding.UNCERTAIN, None)
    assert "have not been measured" in result.lines[-1]
    cells.say(reading.image, laboratory.members.get(), reading.cells.first().pk, "parasitized")
    assert result_of(slide).headline == "Positive"


def test_crops_of_the_same_slide_are_shown_and_not_counted(slide):
    read_field(slide, *["uninfected"] * 600)
    read(slide, "parasitized")
    assert result_of(slide).found.counted == 600
    tally = verdict.tally(slide)
    assert tally.sentence == "Negative in 600 red cells."
    assert "1 chosen cell shown beside, not counted." in tally.remarks
    assert tally.is_critical  # somebody chose a parasitized cell


def test_fields_of_a_slide_are_one_count(slide):
    for _ in range(3):
        read_field(slide, *["uninfected"] * 200)
    assert result_of(slide).headline == "Negative in 600 red cells"


def test_a_slide_of_crops_alone_has_no_finding(slide):
    read(slide, "uninfected")
    slide.refresh_from_db()
    assert (slide.finding, finding.of_slides([])) == ("", {})
    assert verdict.tally(slide).sentence == "0 of 1 cell parasitized."


def test_thresholds_of_the_installation_s_own_have_no_measured_background(slide):
    version = active_model()
    band = Band.objects.create(version=version, low=0.1, high=0.6, reason="Careful")
    read_field(slide, *["uninfected"] * 600, band=band)
    assert result_of(slide).parasitaemia is None


@pytest.mark.parametrize("values", [None, 7, [], {"mean": 1}, {"false_positives": {"mean": 2}}])
def test_a_background_that_is_none_counts_as_not_measured(values, db):
    assert finding.background_of(active_model(metrics={"background": values})) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0034, "0.003"), (0.034, "0.034"), (1.23, "1.2"), (9.96, "10"), (23.4, "23")],
)
def test_numbers_say_two_digits(value, text):
    assert finding.short(value) == text
