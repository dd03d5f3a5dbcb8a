import csv
import io

import pytest
from django.contrib.auth.models import AnonymousUser

from diagnosis import cells, readings, reports, reviews
from diagnosis.models import Prediction, Slide, SmearImage
from tests.people import join, laboratory_of, person
from tests.readings import active_model, failed, new_image, new_slide, read, read_field, waiting

NOBODY = AnonymousUser()
pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "S-1")


def table(slides=None) -> list[dict[str, str]]:
    lines = reports.csv_lines(Slide.objects.all() if slides is None else slides, NOBODY)
    return list(csv.DictReader(io.StringIO("".join(lines))))


def test_one_row_an_image_with_all_that_is_known(slide):
    image = new_image(slide, "a.png")
    SmearImage.objects.update(uploaded_by=person("ben"))
    prediction = read(
        slide, "parasitized", image=image, probability=0.987654, reasons=["large", "dark"]
    )
    (row,) = table()
    assert list(row) == list(reports.COLUMNS)
    assert row["slide"] == "S-1"
    assert row["image"] == "a.png"
    assert row["kind"] == "cell"
    assert (row["label"], row["probability"]) == ("parasitized", "0.9877")
    assert (row["decision"], row["state"]) == ("parasitized", "done")
    assert row["reasons"] == "large; dark"
    assert row["model"] == active_model().name
    assert row["uploaded by"] == "ben"
    assert row["uploaded at"].startswith(image.created_at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert row["read at"].startswith(prediction.finished_at.strftime("%Y-%m-%dT%H:%M:%S"))


def test_what_people_said_stands_beside_the_model(slide, laboratory):
    ada, ben = laboratory.members.get(), join(laboratory, "ben").user
    agreed, disputed, plain = (read(slide, "parasitized") for _ in range(3))
    reviews.say(agreed.image, ada, "uninfected", "=platelet")
    reviews.say(disputed.image, ada, "parasitized")
    last = reviews.say(disputed.image, ben, "cannot-tell")
    undone = read(slide, "rejected")
    reviews.say(undone.image, ada, "parasitized")
    reviews.take_back(undone.image, ada)
    rows = table()
    assert [row["counts as"] for row in rows] == [
        *("uninfected", "uncertain", "parasitized", "rejected")
    ]
    assert [row["reviewed"] for row in rows] == ["uninfected", "uncertain", "", ""]
    assert [row["decision"] for row in rows] == [*["parasitized"] * 3, "rejected"]
    assert rows[0]["reviews"] == "ada: uninfected (=platelet)"
    assert rows[1]["reviews"] == "ada: parasitized; ben: cannot tell"
    assert rows[1]["reviewed at"].startswith(last.created_at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert rows[2]["reviews"] == rows[2]["reviewed at"] == ""
    ben.delete()
    assert table()[1]["reviews"] == "ada: parasitized; a former member: cannot tell"


def test_what_people_conclude_of_the_slide_stands_in_each_of_its_rows(slide, laboratory):
    read(slide, "uninfected"), read_field(slide, "uninfected", "uninfected")
    assert {row["slide concluded"] for row in table()} == {""}
    readings.conclude(slide, laboratory.members.get(), "positive")
    assert [row["slide concluded"] for row in table()] == ["positive"] * 2
    assert [row["counts as"] for row in table()] == ["uninfected"] * 2
    slide.refresh_from_db()
    rows = cell_table(slide, NOBODY)
    assert [row["slide concluded"] for row in rows] == ["positive"] * 2


def test_what_was_not_read_has_its_row_too(slide):
    waiting(slide)
    failed(slide, error="It broke off.")
    read(slide, "rejected")
    rows = table()
    assert [row["state"] for row in rows] == ["queued", "failed", "rejected"]
    assert rows[0]["probability"] == rows[0]["read at"] == ""
    assert rows[1]["error"] == "It broke off."


def test_the_wording_stands_in_every_row(slide):
    for decision in ("parasitized", "uninfected", "rejected"):
        read(slide, decision)
    for row in table():
        assert "Research use only" in row["notice"]
        assert "not a diagnosis" in row["notice"]
        assert "confirm by microscopy" in row["notice"]
        assert "P. falciparum" in row["notice"]


def test_only_the_slides_that_were_asked_for_newest_first(laboratory, slide):
    other, third = new_slide(laboratory, "S-2"), new_slide(laboratory, "S-3")
    for each in (slide, other, third):
        read(each)
        read(each)
    rows = table(Slide.objects.exclude(pk=other.pk).order_by("code"))
    assert [row["slide"] for row in rows] == ["S-3", "S-3", "S-1", "S-1"]


def test_only_current_predictions(slide):
    read(slide)
    Prediction.objects.update(is_current=False)
    assert table() == []


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1", "＋1", "－1", "＠1"],
)
def test_no_name_becomes_a_formula(name, slide):
    read(slide, name=name)
    (row,) = table()
    assert row["image"] == f"'{name}"


@pytest.mark.parametrize("name", ['a"b,c;d.png', "a\nb.png", "細胞-ä.png", "<b>x</b>", "1=2.png"])
def test_other_names_come_through_unchanged(name, slide):
    read(slide, name=name)
    assert table()[0]["image"] == name


def test_the_answer_is_a_private_download(slide):
    read(slide)
    response = reports.csv_response(Slide.objects.all(), 'S/1 "x"\r\nSet-Cookie: a=b', NOBODY)
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    disposition = response["Content-Disposition"]
    assert disposition == 'attachment; filename="S-1--x---Set-Cookie--a-b.csv"'
    assert "no-store" in response["Cache-Control"]
    assert b"S-1" in b"".join(response.streaming_content)


def test_a_field_has_its_cells_in_its_row(slide, laboratory):
    reading = read_field(slide, "parasitized", "uninfected", "uncertain", "edge")
    cells.say(reading.image, laboratory.members.get(), reading.cells.first().pk, "uninfected")
    read(slide)
    field, crop = table()
    names = [f"{word} cells" for word in ("red", "parasitized", "uncertain", "edge", "reviewed")]
    assert [field[name] for name in names] == ["3", "0", "1", "1", "1"]
    assert [crop[name] for name in names] == [""] * 5
    assert (field["kind"], field["probability"]) == ("field", "")
    assert (field["counts as"], field["decision"]) == ("uncertain", "parasitized")


def test_cells_are_added_up_once_for_many_rows(slide, django_assert_num_queries):
    for _ in range(12):
        read_field(slide, "uninfected", "parasitized")
    with django_assert_num_queries(4):
        assert len(table()) == 12


def cell_table(slide, user) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(reports.cell_lines(slide, user)))))


def test_one_row_a_cell_with_what_was_said_of_it(slide, laboratory):
    ada = laboratory.members.get()
    reading = read_field(slide, "uncertain", "uninfected", "edge")
    image = reading.image
    cells.say(image, ada, reading.cells.get(number=1).pk, "parasitized", "=a ring")
    cells.add(image, ada, [10, 20, 30, 40], "uninfected")
    read(slide, "parasitized")
    first, _, cut, added = cell_table(slide, ada)
    assert list(first) == list(reports.CELL_COLUMNS)
    assert (first["slide"], first["image"], first["cell"]) == ("S-1", image.name, "1")
    assert (first["decision"], first["counts as"]) == ("uncertain", "parasitized")
    assert first["reviews"] == "ada: parasitized (=a ring)"
    assert cut["counts as"] == "edge"
    assert (added["model"], added["counts as"]) == ("", "uninfected")
    assert [added[name] for name in ("x", "y", "width", "height")] == ["10", "20", "30", "40"]


def test_cells_cost_as_many_queries_however_many_there_are(
    slide, laboratory, django_assert_num_queries
):
    ada = laboratory.members.get()
    for cells_of_a_field in (3, 40):
        read_field(slide, *["uninfected"] * cells_of_a_field)
        with django_assert_num_queries(2):
            cell_table(slide, ada)
