"""What people say of a whole field: set aside it counts no more, rejected it can be taken in."""

import csv
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from diagnosis import (
    again,
    cells,
    counting,
    current,
    disputes,
    fhir,
    finding,
    history,
    opinions,
    pdf,
    readings,
    registry,
    reports,
    reviews,
    rollups,
    signing,
    summary,
    verdict,
    waiting,
)
from diagnosis.models import Cell, Event, Finding, Notice, Role, Slide, SmearImage, State
from tests.people import join, laboratory_of, signed_in
from tests.readings import (
    BACKGROUND,
    another_model,
    cell_of,
    measured_model,
    new_slide,
    read,
    read_field,
)
from tests.test_api import program_of

CLEAN = ("uninfected",) * 1_500


@pytest.fixture(autouse=True)
def model(db):
    return measured_model()


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "KSM-7")


@pytest.fixture
def rejected(slide):
    """A field out of focus, in which cells were found and read."""
    return read_field(
        slide, "parasitized", "uninfected", "edge", state=State.REJECTED, decision="rejected"
    )


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def read_anew(monkeypatch, field, state, decision, *found):
    """As the next version reads it, with these cells."""
    monkeypatch.setattr("diagnosis.tasks.send", lambda ids, size=None: None)
    registry.activate(another_model(metrics={"background": BACKGROUND.as_dict()}))
    again.analyse_again(field.slide)
    new = field.slide.predictions.get(is_current=False)
    values = {"state": state, "decision": decision, "finished_at": timezone.now()}
    type(new).objects.filter(pk=new.pk).update(**values)
    Cell.objects.bulk_create(cell_of(new, n, word, False) for n, word in enumerate(found, 1))
    current.take_over([new.pk])
    verdict.recount([field.slide_id])
    return new


def rows_of_cells(slide, user):
    """What the table of cells says that each counts as."""
    head, *rows = csv.reader(reports.cell_lines(slide, user))
    return {row[head.index("counts as")] for row in rows if row[head.index("decision")] != "edge"}


def infected(slide):
    return read_field(slide, *["parasitized"] * 40, *["uninfected"] * 60)


def kept(slide):
    slide = fresh(slide)
    return slide.finding, slide.cells_counted, slide.cells_parasitized, slide.is_critical


class TestSetAside:
    def test_its_cells_leave_every_count(self, slide, ada):
        read_field(slide, *CLEAN)
        field = read_field(slide, "uninfected", "uncertain")
        assert kept(slide)[1] == 1_502
        reviews.say(field.image, ada, "aside")
        assert kept(slide) == (Finding.NEGATIVE, 1_500, 0, False)
        tally = verdict.tally(fresh(slide))
        assert (tally.aside, tally.fields, tally.rejected) == (1, 1, 0)
        assert "1 field set aside by a person: its cells do not count." in tally.remarks
        assert counting.first_to_look_at(slide.pk) is None
        assert not fresh(slide).has_open

    def test_it_is_taken_back(self, slide, ada):
        field = infected(slide)
        before = kept(slide)
        reviews.say(field.image, ada, "aside", "another patient's slide")
        assert reviews.take_back(field.image, ada)
        assert kept(slide) == before
        row = field.image.reviews.get()
        assert not row.is_standing
        assert row.withdrawn_at
        assert fresh(field.image).counted == ""

    def test_a_parasite_is_set_aside_for_a_reason_alone(self, slide, ada, ben):
        field = read_field(slide, "uninfected", "uncertain")
        cells.say(field.image, ben, field.cells.first().pk, "parasitized")
        for comment in ("", "   "):
            with pytest.raises(reviews.NoReason, match="Say why"):
                reviews.say(field.image, ada, "aside", comment)
        assert kept(slide)[1] == 2
        reviews.say(field.image, ada, "aside", "stain precipitate")
        assert kept(slide)[1] == 0

    def test_a_cell_at_the_edge_asks_for_no_reason(self, slide, ada):
        field = read_field(slide, "uninfected", "edge")
        field.cells.filter(is_cut=True).update(decision="parasitized")
        reviews.say(field.image, ada, "aside")
        assert fresh(field.image).counted == "aside"

    def test_a_positive_slide_becomes_uncertain_and_never_negative(self, slide, ada, ben):
        read_field(slide, *CLEAN)
        field = infected(slide)
        assert kept(slide)[0] == Finding.POSITIVE
        reviews.say(field.image, ada, "aside", "wrong slide")
        assert kept(slide) == (Finding.UNCERTAIN, 1_500, 0, False)
        result = finding.of_slide(fresh(slide))
        assert result.headline == (
            "Uncertain: 40 cells called parasitized lie in fields that do not count"
        )
        assert any("do not make this slide negative" in line for line in result.lines)
        assert verdict.tally(fresh(slide)).result == "uncertain"
        found: Any = waiting.slides(ada).get(pk=slide.pk)
        assert found.waits == waiting.Reason.UNSIGNED

    def test_the_only_field_leaves_the_slide_uncertain_and_waiting(self, slide, ada):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        assert kept(slide) == (Finding.UNCERTAIN, 0, 0, False)
        tally = verdict.tally(fresh(slide))
        assert (tally.result, tally.fields) == ("uncertain", 0)
        assert tally.sentence.startswith("Uncertain")
        assert waiting.slides(ada).filter(pk=slide.pk).exists()
        assert not signing.hindrance(fresh(slide))

    def test_only_healthy_fields_set_aside_leave_no_result(self, slide, ada):
        reviews.say(read_field(slide, "uninfected").image, ada, "aside")
        assert kept(slide) == ("", 0, 0, False)
        assert verdict.tally(fresh(slide)).sentence == "No field is left that counts."

    def test_others_are_told_when_a_positive_field_comes_back(self, slide, ada, ben):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        Notice.objects.all().delete()
        reviews.take_back(field.image, ada)
        assert Notice.objects.filter(slide=slide, user=ben, kind="critical").exists()

    def test_what_people_said_of_its_cells_is_not_compared(self, slide, ada):
        field = infected(slide)
        cells.say(field.image, ada, field.cells.first().pk, "parasitized")
        assert fresh(slide).both_parasitized == 1
        reviews.say(field.image, ada, "aside", "wrong slide")
        assert fresh(slide).both_parasitized == 0
        assert "both_parasitized" in rollups.KEPT

    def test_no_cell_is_added_to_it(self, slide, ada):
        field = read_field(slide, "uninfected")
        reviews.say(field.image, ada, "aside")
        with pytest.raises(cells.CellError, match="set aside"):
            cells.add(field.image, ada, [10, 10, 20, 20], "parasitized")

    def test_the_trail_has_it(self, slide, ada):
        field = read_field(slide, "uninfected")
        reviews.say(field.image, ada, "aside", "no stain")
        event = Event.objects.get(action="reviewed")
        assert event.changes == {"label": [None, "aside"], "comment": ["", "no stain"]}


class TestTakenIn:
    def test_a_rejected_field_counts_all_the_same(self, slide, rejected, ada):
        assert kept(slide) == ("", 0, 0, False)
        reviews.say(rejected.image, ada, "counts")
        assert kept(slide)[1:3] == (2, 1)
        tally = verdict.tally(fresh(slide))
        assert (tally.fields, tally.parasitized, tally.rejected) == (1, 1, 0)
        assert counting.first_to_look_at(slide.pk) == rejected.image_id
        assert fresh(slide).has_open
        cells.add(rejected.image, ada, [10, 10, 20, 20], "parasitized")
        assert kept(slide)[1:3] == (3, 2)
        reviews.take_back(rejected.image, ada)
        assert kept(slide) == ("uncertain", 0, 0, False)  # the parasite that a person added stays

    def test_where_no_cell_can_be_counted_it_cannot(self, slide, ada):
        field = read_field(slide, "edge", "rejected")
        with pytest.raises(reviews.NothingToReview, match="No cell of"):
            reviews.say(field.image, ada, "counts")
        reviews.say(field.image, ada, "aside")
        tally = verdict.tally(fresh(slide))
        assert (tally.rejected, tally.aside, tally.reviewed) == (1, 0, 1)

    def test_to_agree_with_the_rejection_needs_no_reason(self, slide, rejected, ada):
        reviews.say(rejected.image, ada, "aside")
        assert fresh(rejected.image).counted == "aside"
        assert kept(slide)[0] == ""


class TestSeveral:
    def test_where_they_differ_it_stays_as_the_model_has_it(self, slide, rejected, ada, ben):
        field = read_field(slide, "uninfected")
        for image in (field.image, rejected.image):
            reviews.say(image, ada, "aside")
            reviews.say(image, ben, "counts")
            assert fresh(image).counted == "uncertain"
        assert kept(slide)[1] == 1
        reviews.take_back(rejected.image, ada)
        assert kept(slide)[1] == 3

    def test_agreeing_counts_as_a_review_and_changes_nothing(self, slide, ada):
        field = infected(slide)
        before = kept(slide)
        reviews.say(field.image, ada, "counts")
        assert kept(slide) == before
        assert verdict.tally(fresh(slide)).reviewed == 1

    @pytest.mark.parametrize("label", ["parasitized", "uninfected", "cannot-tell"])
    def test_a_field_is_not_one_cell(self, slide, ada, label):
        with pytest.raises(reviews.NothingToReview, match="whole field"):
            reviews.say(read_field(slide, "uninfected").image, ada, label)

    @pytest.mark.parametrize("label", ["counts", "aside"])
    def test_one_cell_is_not_a_field(self, slide, ada, label):
        with pytest.raises(reviews.NothingToReview, match="one cell"):
            reviews.say(read(slide).image, ada, label)

    def test_what_was_said_of_it_as_one_cell_does_not_count(self, slide, ada, ben):
        image = read(slide).image
        reviews.say(image, ada, "parasitized")
        image.predictions.update(is_current=False)
        field = read_field(slide, "uninfected", image=image, model=another_model())
        reviews.say(image, ben, "aside")
        assert fresh(image).counted == "aside"
        field.delete()
        image.predictions.update(is_current=True)
        opinions.settle(image)
        assert (image.counted, image.reviewed) == ("", "parasitized")

    def test_another_reading_leaves_it_aside(self, slide, ada, monkeypatch):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        new = read_anew(monkeypatch, field, State.DONE, "uninfected")
        assert fresh(new).is_current
        assert fresh(field.image).counted == "aside"
        assert verdict.tally(fresh(slide)).fields == 0


class TestAnotherReading:
    """Whoever agreed with the model said nothing of what it says now."""

    def test_that_is_no_rejection_counts_although_people_agreed_to_leave_it_out(
        self, slide, rejected, ada, ben, monkeypatch
    ):
        reviews.say(rejected.image, ada, "aside")
        read_anew(monkeypatch, rejected, State.DONE, "parasitized", *["parasitized"] * 40)
        assert fresh(rejected.image).counted == ""
        assert (fresh(slide).finding, fresh(slide).is_critical) == (Finding.POSITIVE, True)
        assert Notice.objects.filter(slide=slide, user=ben, kind="critical").exists()
        assert list(waiting.slides(ben)) == [slide]

    def test_that_is_a_rejection_stays_out_although_people_agreed_that_it_counts(
        self, slide, ada, monkeypatch
    ):
        field = read_field(slide, *CLEAN)
        reviews.say(field.image, ada, "counts")
        assert fresh(slide).finding == Finding.NEGATIVE
        read_anew(monkeypatch, field, State.REJECTED, "rejected", *CLEAN)
        assert fresh(slide).finding == ""
        assert "counts, says ada" not in str(summary.of_slide(slide)["fields"])

    def test_what_people_said_against_the_model_stays(self, slide, rejected, ada, monkeypatch):
        reviews.say(rejected.image, ada, "counts")
        read_anew(monkeypatch, rejected, State.DONE, "uninfected", "uninfected")
        assert fresh(rejected.image).counted == "counts"
        assert "counts, says ada" in summary.of_slide(slide)["fields"][0]


class TestAParasiteInAFieldThatDoesNotCount:
    @pytest.fixture
    def seen(self, slide, rejected, ada, ben):
        """A person called a cell of a rejected field parasitized, beside a clean field."""
        read_field(slide, *CLEAN)
        cells.say(rejected.image, ben, rejected.cells.get(decision="parasitized").pk, "parasitized")
        return fresh(slide)

    def test_is_known_though_the_model_rejected_the_field(self, slide, seen):
        assert (seen.finding, seen.is_critical) == (Finding.UNCERTAIN, False)
        [line] = [one for one in finding.of_slide(seen).lines if "set aside or rejected" in one]
        assert line.startswith("1 cell called parasitized lies in a field")
        assert "Uncertain: 1 cell called parasitized" in summary.of_slide(seen)["headline"]

    def test_also_once_it_counts_no_more(self, slide, seen, rejected, ada):
        reviews.say(rejected.image, ada, "counts")
        assert fresh(slide).finding == Finding.POSITIVE
        reviews.take_back(rejected.image, ada)
        assert fresh(slide).finding == Finding.UNCERTAIN

    def test_also_where_there_is_no_other_field(self, slide, rejected, ben):
        # What the model says of such a field is worth nothing.
        assert finding.of_slide(slide) is None
        cells.say(rejected.image, ben, rejected.cells.get(decision="parasitized").pk, "parasitized")
        assert fresh(slide).finding == Finding.UNCERTAIN
        assert verdict.tally(fresh(slide)).result == "uncertain"
        assert rows_of_cells(slide, ben) == {"rejected"}

    def test_negative_says_nothing_where_no_cell_counts(self, slide, ada):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        readings.conclude(slide, ada, "negative")
        assert verdict.tally(fresh(slide)).result == "uncertain"
        assert not history.search(Slide.objects.all(), result="negative").exists()
        content = summary.of_slide(slide)
        assert fhir._presence_of(content) == fhir.INCONCLUSIVE
        assert pdf._tone(content) == "open"

    def test_that_counts_again_after_the_report_waits_for_people(self, slide, ada, ben):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        signing.sign(slide, ada)
        assert list(waiting.slides(ben)) == []
        reviews.take_back(field.image, ada)
        assert (fresh(slide).is_critical, fresh(slide).has_open) == (True, True)
        assert list(waiting.slides(ben)) == [slide]


class TestReadTwice:
    @pytest.fixture
    def laboratory(self, db):
        laboratory = laboratory_of("ada")
        laboratory.second_reading = True
        laboratory.save()
        return laboratory

    def close(self, slide, *people):
        for user in people:
            readings.conclude(slide, user, "cannot-tell", close=True)

    def test_the_second_reader_is_blind_to_it(self, slide, ada, ben):
        field = infected(slide)
        before = kept(slide)
        reviews.say(field.image, ada, "aside", "a secret of hers")
        assert kept(slide) == before
        for name in ("field", "slide", "slide_csv"):
            subject = field.image_id if name == "field" else slide.pk
            client = signed_in(ben)
            answer = client.get(reverse(name, args=[subject]))
            told = answer.getvalue().decode()
            assert "a secret of hers" not in told
            assert "sets it aside" not in told
        assert (
            "a secret of hers" in signed_in(ada).get(reverse("field", args=[field.image_id])).text
        )

    def test_a_difference_is_shown_and_settled(self, slide, ada, ben):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        self.close(slide, ada, ben)
        slide = fresh(slide)
        (found,) = disputes.of_slide(slide)
        assert [(said.label, said.is_own) for said in found.said] == [
            ("aside", True),
            ("counts", False),
        ]
        assert found.choices == [("counts", "Counts"), ("aside", "Set aside")]
        assert slide.disputed == 1
        assert kept(slide)[1] == 100
        disputes.settle(slide, ben, found.key, "aside", "it is another patient's")
        assert kept(slide)[:2] == (Finding.UNCERTAIN, 0)
        assert fresh(slide).disputed == 0
        content = summary.of_slide(slide)
        assert any("Settled as set aside after discussion" in line for line in content["readings"])

    def test_a_closed_reading_stays(self, slide, ada, ben):
        field = infected(slide)
        self.close(slide, ada)
        with pytest.raises(readings.NotNow):
            reviews.say(field.image, ada, "aside", "too late")

    def test_both_setting_it_aside_agree(self, slide, ada, ben):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        reviews.say(field.image, ben, "aside", "not this patient")
        self.close(slide, ada, ben)
        assert not disputes.of_slide(fresh(slide))
        assert fresh(field.image).counted == "aside"


class TestReports:
    @pytest.fixture
    def aside(self, slide, ada):
        field = infected(slide)
        reviews.say(field.image, ada, "aside", "wrong slide")
        return field

    def test_the_summary_lists_it_without_its_cells(self, slide, aside):
        content = summary.of_slide(slide)
        (image,) = content["images"]
        assert (image["decision"], image["cells"]) == ("set aside", None)
        assert content["fields"] == [f"{aside.image}: set aside by ada: wrong slide"]
        assert content["counts"]["cells"] == 0
        assert content["pictures"] == {"fields": [], "cells": []}
        assert content["reviewers"] == ["ada"]
        assert "1 field set aside by a person: its cells do not count." in content["lines"]

    def test_the_tables_list_it_without_its_cells(self, slide, aside, ada):
        columns, row = (
            line.split(",")
            for line in reports.csv_lines(type(slide).objects.filter(pk=slide.pk), ada)
        )
        values = dict(zip(columns, row, strict=False))
        assert (values["counts as"], values["red cells"]) == ("aside", "")
        assert "ada: set aside (wrong slide)" in row
        _, *rows = reports.cell_lines(slide, ada)
        assert {line.split(",")[8] for line in rows} == {"aside"}

    def test_a_signed_report_stays_and_says_that_the_slide_differs(self, slide, aside, ada):
        report = signing.sign(slide, ada)
        assert not signing.has_changed(report, slide)
        reviews.take_back(aside.image, ada)
        assert fresh(report).content["fields"]
        assert "red cells of fields" in signing.change(report, slide).parts

    def test_pages_and_files_are_made_of_it(self, slide, aside, ada):
        client = signed_in(ada)
        assert client.get(reverse("report_pdf", args=[slide.pk])).status_code == 200
        fhir = client.get(reverse("report_fhir", args=[slide.pk])).text
        assert "set aside by ada: wrong slide" in fhir
        assert "Not detected" not in fhir
        signing.sign(slide, ada)
        page = client.get(reverse("slide_report", args=[slide.pk, 1])).text
        assert "set aside by ada: wrong slide" in page


class TestPages:
    def say(self, client, image, label, query="", **more):
        address = reverse("image_review", args=[image.pk]) + query
        return client.post(address, {"label": label} | more)

    def test_the_card_and_the_field_s_page_say_by_whom_and_why(self, slide, ada):
        field = infected(slide)
        client = signed_in(ada)
        page = client.get(reverse("slide", args=[slide.pk])).text
        assert "Agree: it counts" in page
        self.say(client, field.image, "aside", comment="out of focus")
        for address in (
            reverse("slide", args=[slide.pk]),
            reverse("field", args=[field.image_id]),
        ):
            page = client.get(address).text
            assert "<strong>ada</strong> sets it aside" in page
            assert "out of focus" in page
            assert "Not counted: 100 red cells, 40 parasitized, 0 uncertain" in page
        shown = client.get(reverse("slide", args=[slide.pk]) + "?show=aside").text
        assert f"image-{field.image_id}" in shown
        hidden = client.get(reverse("slide", args=[slide.pk]) + "?show=rejected").text
        assert f'id="image-{field.image_id}"' not in hidden

    def test_a_plain_form_leads_back_to_the_field(self, slide, ada):
        image = read_field(slide, "uninfected").image
        answer = self.say(signed_in(ada), image, "aside", "?from=field")
        assert answer.url == reverse("field", args=[image.pk])

    def test_the_reason_that_lacks_is_asked_for(self, slide, ada):
        image, client = infected(slide).image, signed_in(ada)
        plain = client.post(
            reverse("image_review", args=[image.pk]) + "?from=field",
            {"label": "aside"},
            follow=True,
        )
        assert "Say why you set it aside" in plain.text
        partial = client.post(
            reverse("image_review", args=[image.pk]) + "?from=field",
            {"label": "aside"},
            headers={"HX-Request": "true"},
        )
        assert partial.status_code == 400
        assert "Say why you set it aside" in partial.text
        assert fresh(image).counted == ""

    def test_a_rejected_field_offers_what_can_be_done(self, slide, rejected, ada):
        client = signed_in(ada)
        page = client.get(reverse("field", args=[rejected.image_id])).text
        assert "Count it all the same" in page
        empty = read_field(slide, "edge")
        page = client.get(reverse("field", args=[empty.image_id])).text
        assert "Count it all the same" not in page
        assert "No cell in it can be counted" in page

    def test_a_technician_does_not_say_it(self, slide, laboratory):
        tom = join(laboratory, "tom", Role.TECHNICIAN).user
        image = read_field(slide, "uninfected").image
        assert "data-field-other" not in signed_in(tom).get(reverse("field", args=[image.pk])).text
        assert self.say(signed_in(tom), image, "aside").status_code == 403

    def test_many_fields_cost_no_more_queries(
        self, slide, ada, django_assert_max_num_queries, django_assert_num_queries
    ):
        client, address = signed_in(ada), reverse("slide", args=[slide.pk])
        for _ in range(2):
            reviews.say(infected(slide).image, ada, "aside", "wrong slide")
        client.get(address)  # it is noted once that she saw it
        with django_assert_max_num_queries(60) as asked:
            client.get(address)
        number = len(asked)  # the next request begins the count anew
        for _ in range(4):
            reviews.say(infected(slide).image, ada, "aside", "wrong slide")
        client.get(address)  # what is news in it is seen
        with django_assert_num_queries(number):
            client.get(address)


class TestPrograms:
    def test_a_program_sets_aside_and_takes_back(self, slide, ada):
        image, program = infected(slide).image, program_of(ada)
        address = reverse("api_image_review", args=[image.pk])
        refused = program.put(address, {"label": "aside"}, content_type="application/json")
        assert refused.status_code == 400
        assert "Say why" in refused.json()["detail"]
        answer = program.put(
            address, {"label": "aside", "comment": "wrong slide"}, content_type="application/json"
        ).json()
        assert answer["counts_as"] == "aside"
        assert answer["reviews"][0]["label"] == "aside"
        told = program.get(reverse("api_slide", args=[slide.pk])).json()["verdict"]
        assert (told["aside"], told["fields_read"], told["finding"]) == (1, 0, "uncertain")
        cell = program.get(reverse("api_cells", args=[image.pk])).json()["results"][0]
        assert cell["counts_as"] == "aside"
        assert program.delete(address).json()["counts_as"] == "parasitized"
        wrong = program.put(address, {"label": "uninfected"}, content_type="application/json")
        assert wrong.status_code == 409


def test_python_and_sql_agree_on_which_fields_count(slide, rejected, ada):
    read_field(slide, "uninfected")
    reviews.say(read_field(slide, "uninfected").image, ada, "aside")
    reviews.say(rejected.image, ada, "counts")
    read_field(slide, "edge")
    rows = slide.predictions.select_related("image")
    by_python = {row.pk for row in rows if counting.counts(row)}
    assert by_python == set(counting.fields_read().values_list("pk", flat=True))
    assert len(by_python) == 2
    assert SmearImage.objects.filter(counted="aside").count() == 1
