"""The API as a program meets it: with a token, and with everything that can be wrong."""

import uuid
from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from diagnosis import readings, signing, tokens
from diagnosis.api.base import Throttle
from diagnosis.models import ModelVersion, Prediction, Report, Review, Role, Slide
from tests.people import join, laboratory_of
from tests.readings import (
    active_model,
    failed,
    measured_model,
    new_slide,
    png,
    read,
    read_field,
    waiting,
)

pytestmark = pytest.mark.django_db
SLIDES = "/api/v1/slides/"


def program_of(user):
    _, text = tokens.new(user, "a program")
    return Client(headers={"authorization": f"Bearer {text}"})


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def program(laboratory):
    return program_of(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "KSM-7")


def send(client, method, path, data=None):
    return client.generic(method, path, data or "{}", content_type="application/json")


def post(client, path, **fields):
    return client.post(path, fields, content_type="application/json")


def put(client, path, **fields):
    return client.put(path, fields, content_type="application/json")


def upload(client, slide, **files):
    images = [SimpleUploadedFile(f"{name}.png", content) for name, content in files.items()]
    return client.post(reverse("api_slide_images", args=[slide.pk]), {"images": images})


def queries(client, path):
    client.get(path)  # what the first question of a minute notes
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def addresses(image):
    """Of everything that belongs to one image and its slide, with a method it takes."""
    of_slide, of_image = [image.slide_id], [image.pk]
    return [
        ("GET", reverse("api_slide", args=of_slide)),
        ("GET", reverse("api_slide_images", args=of_slide)),
        ("POST", reverse("api_slide_again", args=of_slide)),
        ("POST", reverse("api_slide_retry", args=of_slide)),
        ("GET", reverse("api_slide_csv", args=of_slide)),
        ("GET", reverse("api_slide_cells_csv", args=of_slide)),
        ("GET", reverse("api_slide_pdf", args=of_slide)),
        ("GET", reverse("api_slide_fhir", args=of_slide)),
        ("GET", reverse("api_readings", args=of_slide)),
        ("PUT", reverse("api_readings", args=of_slide)),
        ("GET", reverse("api_differences", args=of_slide)),
        ("POST", reverse("api_differences", args=of_slide)),
        ("GET", reverse("api_slide_reports", args=of_slide)),
        ("POST", reverse("api_slide_reports", args=of_slide)),
        ("GET", reverse("api_image", args=of_image)),
        ("GET", reverse("api_image_photo", args=of_image)),
        ("POST", reverse("api_image_retry", args=of_image)),
        ("PUT", reverse("api_image_review", args=of_image)),
        ("DELETE", reverse("api_image_review", args=of_image)),
        ("PUT", reverse("api_image_kind", args=of_image)),
        ("PUT", reverse("api_slide_basis", args=of_slide)),
        ("GET", reverse("api_cells", args=of_image)),
        ("POST", reverse("api_cells", args=of_image)),
        ("PUT", reverse("api_cell_review", args=[image.pk, 1])),
        ("DELETE", reverse("api_cell_review", args=[image.pk, 1])),
    ]


class TestWhoAsks:
    def test_nobody_comes_in_without_a_token(self, laboratory, slide):
        image = read(slide).image
        [user] = laboratory.members.all()
        browser, wrong = Client(), Client(headers={"authorization": "Bearer mlw_wrong"})
        browser.force_login(user)
        for method, path in [("GET", SLIDES), ("GET", "/api/v1/laboratories/"), *addresses(image)]:
            for client in (Client(), browser, wrong):
                answer = send(client, method, path)
                assert (path, answer.status_code) == (path, 401)
                assert answer["WWW-Authenticate"] == "Bearer"

    def test_strangers_find_nothing(self, slide):
        image = read(slide).image
        eve = program_of(laboratory_of("eve", "Mombasa").members.get())
        for method, path in addresses(image):
            answer = send(eve, method, path)
            assert (path, answer.status_code) == (path, 404)
            assert answer.json() == {"detail": "Not found."}
        assert upload(eve, slide, cell=png()).status_code == 404
        assert eve.get(SLIDES).json()["count"] == 0
        assert not Review.objects.exists()

    def test_technicians_do_not_review(self, laboratory, slide):
        image = read(slide).image
        path = reverse("api_image_review", args=[image.pk])
        ben = program_of(join(laboratory, "ben", Role.TECHNICIAN).user)
        assert put(ben, path, label="uninfected").status_code == 403
        assert ben.delete(path).status_code == 403

    def test_a_revoked_token_is_told_so(self, laboratory):
        token, text = tokens.new(laboratory.members.get(), "scanner")
        client = Client(headers={"authorization": f"bearer {text} "})
        assert client.get(SLIDES).status_code == 200
        token.delete()
        answer = client.get(SLIDES)
        assert answer.json() == {"detail": "This token is unknown or was revoked."}

    def test_too_many_questions_have_to_wait(self, program, monkeypatch):
        monkeypatch.setattr(Throttle, "rate", "2/min")
        assert [program.get(SLIDES).status_code for _ in range(3)] == [200, 200, 429]
        assert 0 < int(program.get(SLIDES)["Retry-After"]) <= 60

    def test_tokens_of_one_person_are_counted_together(self, laboratory, program, monkeypatch):
        monkeypatch.setattr(Throttle, "rate", "1/min")
        _, text = tokens.new(laboratory.members.get(), "another")
        assert program.get(SLIDES).status_code == 200
        another = Client(headers={"authorization": f"Bearer {text}"})
        assert another.get(SLIDES).status_code == 429

    def test_answers_are_kept_by_nothing_between(self, program):
        for answer in (program.get(SLIDES), Client().get(SLIDES)):
            assert answer["Cache-Control"] == "private, no-store"


class TestSlides:
    def test_a_slide_from_nothing_to_verdict(self, program, laboratory, settings):
        settings.CELERY_BROKER_URL = "memory://"
        active_model()
        made = post(program, SLIDES, code="KSM-8", stain="giemsa", note="left")
        assert made.status_code == 201
        assert made["Location"] == made.json()["url"]
        slide = Slide.objects.get(code="KSM-8")
        assert (slide.laboratory, slide.note) == (laboratory, "left")
        assert slide.created_by == laboratory.members.get()
        answer = upload(program, slide, good=png(1), bad=b"no picture")
        good, bad = answer.json()["receipts"]
        assert (answer.status_code, good["code"], good["refusal"]) == (200, "new", "")
        assert bad["image"] is None
        assert bad["refusal"]
        found = program.get(made.json()["url"]).json()
        assert (found["verdict"]["status"], found["verdict"]["total"]) == ("reading", 1)
        Prediction.objects.update(state="done", decision="parasitized", probability=0.9)
        verdict = program.get(made.json()["url"]).json()["verdict"]
        assert (verdict["status"], verdict["result"]) == ("done", "parasitized")
        assert verdict["is_critical"]
        assert verdict["sentence"] == "1 of 1 cell parasitized."
        assert "not a diagnosis" in verdict["notice"]

    @pytest.mark.parametrize(
        ("fields", "refused"),
        [
            ({}, "code"),
            ({"code": "Jane Doe"}, "code"),
            ({"code": "K-1", "stain": "beetroot"}, "stain"),
            ({"code": ["K-1"]}, "code"),
            ({"code": "K-1", "note": "n" * 301}, "note"),
            ({"code": "K-1", "laboratory": str(uuid.uuid4())}, "laboratory"),
            ({"code": "K-1", "laboratory": "kisumu"}, "laboratory"),
        ],
    )
    def test_what_cannot_be_a_slide(self, program, fields, refused):
        answer = post(program, SLIDES, **fields)
        assert answer.status_code == 400
        assert list(answer.json()) == [refused]
        assert not Slide.objects.exists()

    def test_a_code_that_is_taken_names_its_slide(self, program, slide):
        answer = post(program, SLIDES, code="KSM-7")
        assert answer.status_code == 409
        assert answer.json()["slide"] == str(slide.pk)

    def test_whoever_has_two_laboratories_says_which(self, program, laboratory):
        other = laboratory_of("eve", "Mombasa")
        other.memberships.create(user=laboratory.members.get(), role=Role.CLINICIAN)
        answer = program.get("/api/v1/laboratories/").json()
        assert [row["name"] for row in answer["results"]] == ["Kisumu", "Mombasa"]
        assert post(program, SLIDES, code="K-1").json() == {
            "laboratory": ["Say which laboratory it is of."]
        }
        assert post(program, SLIDES, code="K-1", laboratory=str(other.pk)).status_code == 201
        assert Slide.objects.get().laboratory == other

    def test_whoever_has_none_makes_none(self, laboratory):
        program = program_of(laboratory.members.get())
        laboratory.memberships.all().delete()
        assert list(post(program, SLIDES, code="K-1").json()) == ["laboratory"]

    def test_the_list_is_narrowed_as_on_the_page(self, program, laboratory, slide):
        read(slide, "parasitized", name="strange.png")
        old = new_slide(laboratory, "OLD-1", created_at=datetime(2020, 1, 1, tzinfo=UTC))
        waiting(old)
        queries = {
            "": ["KSM-7", "OLD-1"],
            "q=strange": ["KSM-7"],
            "q=old": ["OLD-1"],
            "result=parasitized": ["KSM-7"],
            "result=uncertain": [],
            "status=reading": ["OLD-1"],
            "since=2021-01-01": ["KSM-7"],
            "until=2020-01-01": ["OLD-1"],
            "since=0001-01-01&until=9999-12-31": ["KSM-7", "OLD-1"],
        }
        for query, expected in queries.items():
            found = program.get(f"{SLIDES}?{query}").json()["results"]
            assert (query, [row["code"] for row in found]) == (query, expected)

    @pytest.mark.parametrize("query", ["result=none", "status=x", "since=today", "q=" + 101 * "x"])
    def test_a_filter_that_is_not_understood_is_refused(self, program, query):
        assert program.get(f"{SLIDES}?{query}").status_code == 400

    def test_the_list_comes_in_pages(self, program, laboratory):
        for number in range(3):
            new_slide(laboratory, f"K-{number}")
        first = program.get(f"{SLIDES}?page_size=2").json()
        assert (first["count"], len(first["results"])) == (3, 2)
        second = program.get(first["next"]).json()
        assert [row["code"] for row in second["results"]] == ["K-0"]
        assert second["next"] is None
        assert program.get(f"{SLIDES}?page=9").status_code == 404
        assert len(program.get(f"{SLIDES}?page_size=100000").json()["results"]) == 3

    def test_a_page_takes_as_many_queries_however_long_it_is(self, program, laboratory):
        read(new_slide(laboratory))
        few = queries(program, SLIDES)
        for _ in range(9):
            read(new_slide(laboratory))
        assert queries(program, SLIDES) == few

    def test_a_slide_as_csv(self, program, slide):
        read(slide, name="cell-7.png")
        answer = program.get(reverse("api_slide_csv", args=[slide.pk]))
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert b"cell-7.png" in answer.getvalue()

    def test_a_slide_is_read_again(self, program, slide):
        read(slide)
        ModelVersion.objects.update(is_active=False)
        path = reverse("api_slide_again", args=[slide.pk])
        assert post(program, path).status_code == 503
        active_model()
        assert post(program, path).json() == {"queued": 1}


class TestImages:
    def path(self, slide, query=""):
        return reverse("api_slide_images", args=[slide.pk]) + query

    def test_an_image_with_all_that_was_said_of_it(self, program, slide):
        prediction = read(slide, "parasitized", name="cell-7.png")
        [listed] = program.get(self.path(slide)).json()["results"]
        assert program.get(listed["url"]).json() == listed
        assert (listed["name"], listed["counts_as"]) == ("cell-7.png", "parasitized")
        assert listed["prediction"]["probability"] == prediction.probability
        assert listed["prediction"]["model"] == prediction.model.name
        assert listed["reviews"] == []
        assert "Research use only" in listed["notice"]
        photo = program.get(listed["photo"])
        assert (photo["Content-Type"], photo.getvalue()[:4]) == ("image/png", b"\x89PNG")

    def test_some_of_them_in_an_order(self, program, slide):
        read(slide, "uninfected", name="a")
        read(slide, "parasitized", name="b")
        waiting(slide, name="c")
        queries = {
            "": ["a", "b", "c"],
            "?order=suspicious": ["b", "a", "c"],
            "?show=pending": ["c"],
        }
        for query, expected in queries.items():
            found = program.get(self.path(slide, query)).json()["results"]
            assert (query, [image["name"] for image in found]) == (query, expected)
        assert program.get(self.path(slide, "?show=all")).status_code == 400

    def test_a_list_takes_as_many_queries_however_long_it_is(self, program, slide):
        read(slide)
        few = queries(program, self.path(slide))
        for _ in range(9):
            read(slide)
        assert queries(program, self.path(slide)) == few

    def test_an_upload_needs_files_and_a_model(self, program, slide):
        assert program.post(self.path(slide)).json() == {"images": ["This field is required."]}
        assert post(program, self.path(slide), images="x").status_code == 415
        answer = upload(program, slide, cell=png())
        assert answer.status_code == 503
        assert "No model is active" in answer.json()["detail"]

    def test_too_many_files_are_refused_in_words(self, program, slide, settings):
        settings.DATA_UPLOAD_MAX_NUMBER_FILES = 1
        answer = upload(program, slide, a=png(), b=png(1))
        assert (answer.status_code, list(answer.json())) == (400, ["detail"])

    def test_a_photo_that_is_gone_is_not_found(self, program, slide):
        image = read(slide).image
        image.file.delete(save=False)
        assert program.get(reverse("api_image_photo", args=[image.pk])).status_code == 404

    def test_trying_again(self, program, slide):
        path = reverse("api_image_retry", args=[failed(slide).image_id])
        assert post(program, path).json() == {"queued": 1}
        assert post(program, path).json() == {"queued": 0}

    def test_trying_again_all_that_failed(self, program, slide):
        for _ in range(2):
            failed(slide)
        read(slide)
        path = reverse("api_slide_retry", args=[slide.pk])
        assert post(program, path).json() == {"queued": 2}
        assert post(program, path).json() == {"queued": 0}


class TestReviews:
    def test_said_changed_and_taken_back(self, program, slide):
        path = reverse("api_image_review", args=[read(slide, "parasitized").image_id])
        answer = put(program, path, label="uninfected", comment="an artefact").json()
        assert answer["counts_as"] == "uninfected"
        [review] = answer["reviews"]
        assert (review["reviewer"], review["comment"]) == ("ada", "an artefact")
        again = put(program, path, label="cannot-tell").json()
        assert [review["label"] for review in again["reviews"]] == ["cannot-tell"]
        back = program.delete(path)
        assert (back.status_code, back.json()["reviews"]) == (200, [])
        assert back.json()["counts_as"] == "parasitized"

    def test_what_is_no_answer(self, program, slide):
        path = reverse("api_image_review", args=[read(slide).image_id])
        assert put(program, path, label="negative").status_code == 400
        assert program.put(path, "{", content_type="application/json").status_code == 400
        assert not Review.objects.exists()

    def test_an_image_that_was_not_read_cannot_be_reviewed(self, program, slide):
        path = reverse("api_image_review", args=[waiting(slide).image_id])
        answer = put(program, path, label="uninfected")
        assert answer.status_code == 409
        assert "was not read yet" in answer.json()["detail"]


class TestCells:
    @pytest.fixture
    def field(self, slide):
        return read_field(slide, "parasitized", "uninfected").image

    def path(self, field, cell=None):
        name, more = ("api_cell_review", [cell]) if cell else ("api_cells", [])
        return reverse(name, args=[field.pk, *more])

    def test_opinions_stand_with_their_cell(self, program, field):
        cell = field.cells.first()
        said = put(program, self.path(field, cell.pk), label="no-cell", comment="dirt").json()
        [review] = said["reviews"]
        assert (review["reviewer"], review["label"]) == ("ada", "no-cell")
        assert review["comment"] == "dirt"
        listed, other = program.get(self.path(field)).json()["results"]
        assert (listed["reviews"], other["reviews"]) == ([review], [])
        assert program.delete(self.path(field, cell.pk)).json()["reviews"] == []

    def test_whoever_reads_blind_is_told_their_own_word_only(self, laboratory, program, field):
        Slide.objects.update(is_read_twice=True)
        ben = program_of(join(laboratory, "ben", Role.REVIEWER).user)
        path = self.path(field, field.cells.first().pk)
        put(ben, path, label="uninfected", comment="his")
        said = put(program, path, label="no-cell", comment="hers").json()
        assert [review["comment"] for review in said["reviews"]] == ["hers"]
        assert said["counts_as"] == "parasitized"
        [listed, _] = program.get(self.path(field)).json()["results"]
        assert listed["reviews"] == said["reviews"]

    def test_a_cell_that_was_missed_is_added(self, program, field):
        fields = {"box": [10, 20, 30, 40], "label": "parasitized", "comment": "a ring"}
        answer = post(program, self.path(field), **fields)
        assert answer.status_code == 201
        made = answer.json()
        assert (made["by"], made["box"]) == ("person", [10, 20, 30, 40])
        assert made["counts_as"] == "parasitized"
        assert [review["comment"] for review in made["reviews"]] == ["a ring"]
        assert made in program.get(self.path(field)).json()["results"]
        gone = program.delete(self.path(field, made["id"]))
        assert (gone.status_code, gone.json()["reviews"]) == (200, [])
        assert len(program.get(self.path(field)).json()["results"]) == 2

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({}, 400),
            ({"box": [1, 2, 3], "label": "parasitized"}, 400),
            ({"box": [390, 390, 30, 30], "label": "parasitized"}, 400),
            ({"box": [10, 20, 1, 1], "label": "parasitized"}, 400),
            ({"box": ["a", 20, 30, 40], "label": "parasitized"}, 400),
            ({"box": [10, 20, 30, 40], "label": "no-cell"}, 400),
            ({"box": [10, 20, 30, 40], "label": "parasitized", "comment": "x" * 201}, 400),
        ],
    )
    def test_what_is_no_cell_is_refused_in_words(self, program, field, fields, status):
        answer = post(program, self.path(field), **fields)
        assert answer.status_code == status
        assert answer.json()
        assert field.cells.count() == 2

    def test_none_is_added_where_nothing_was_read_nor_by_technicians(
        self, laboratory, program, slide, field
    ):
        fields = {"box": [10, 20, 30, 40], "label": "parasitized"}
        crop = post(program, self.path(read(slide).image), **fields)
        assert (crop.status_code, "was not read" in crop.json()["detail"]) == (400, True)
        ben = program_of(join(laboratory, "ben", Role.TECHNICIAN).user)
        assert post(ben, self.path(field), **fields).status_code == 403


class TestCorrections:
    """What the machine, or nobody, knew: what an image shows, and the red cell count."""

    def test_an_image_is_read_as_what_it_is(self, program, slide, settings):
        settings.CELERY_BROKER_URL = "memory://"
        image = read(slide).image
        path = reverse("api_image_kind", args=[image.pk])
        assert put(program, path, kind="field").json() == {"queued": 1}
        assert put(program, path, kind="field").json() == {"queued": 0}
        image.refresh_from_db()
        assert image.kind == "field"
        assert put(program, path, kind="plate").status_code == 400
        ModelVersion.objects.update(is_active=False)
        assert put(program, path, kind="cell").status_code == 503

    def test_what_a_closed_reading_saw_stays(self, program, laboratory):
        laboratory.second_reading = True
        laboratory.save()
        slide = new_slide(laboratory, "KSM-9")
        image = read(slide).image
        readings.conclude(slide, laboratory.members.get(), "negative", close=True)
        answer = put(program, reverse("api_image_kind", args=[image.pk]), kind="field")
        assert answer.status_code == 409
        assert "closed their reading" in answer.json()["detail"]

    def test_a_measured_red_cell_count_is_the_basis(self, program, slide):
        measured_model()
        read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
        path = reverse("api_slide_basis", args=[slide.pk])
        said = put(program, path, red_cells_per_microlitre=4_000_000).json()["parasitaemia"]
        assert (said["basis"], said["is_measured"]) == (4_000_000, True)
        assert program.get(reverse("api_slide", args=[slide.pk])).json()["parasitaemia"] == said
        back = put(program, path, red_cells_per_microlitre=None).json()["parasitaemia"]
        assert (back["basis"], back["is_measured"]) == (5_000_000, False)
        for wrong in ({}, {"red_cells_per_microlitre": 5}, {"red_cells_per_microlitre": "many"}):
            answer = put(program, path, **wrong)
            assert (answer.status_code, [*answer.json()]) == (400, ["red_cells_per_microlitre"])


class TestReports:
    def path(self, slide):
        return reverse("api_slide_reports", args=[slide.pk])

    def test_signed_and_amended(self, program, slide):
        read(slide, "parasitized")
        made = post(program, self.path(slide), comment="The ward was told.")
        assert made.status_code == 201
        first = made.json()
        assert (first["number"], first["status"], first["signed_by"]) == (1, "final", "ada")
        assert first["comment"] == "The ward was told."
        assert first["content"]["headline"] == "1 of 1 cell parasitized"
        assert first["page"].endswith(reverse("slide_report", args=[slide.pk, 1]))
        assert "not a diagnosis" in first["notice"]
        read(slide)
        second = post(program, self.path(slide), reason="One image more.").json()
        assert (second["status"], second["reason"]) == ("amended", "One image more.")
        assert second["content"]["headline"] == "1 of 2 cells parasitized"
        assert program.get(self.path(slide)).json()["results"] == [second, first]

    def test_what_cannot_be_signed(self, program, slide):
        assert post(program, self.path(slide)).json() == {"detail": signing.NOTHING_READ}
        read(slide)
        answer = post(program, self.path(slide), reason="None was signed.")
        assert (answer.status_code, answer.json()) == (409, {"detail": signing.NOT_SIGNED})
        assert post(program, self.path(slide)).status_code == 201
        assert post(program, self.path(slide)).json() == {"detail": signing.SIGNED_ALREADY}
        assert list(post(program, self.path(slide), comment="x" * 501).json()) == ["comment"]
        assert Report.objects.count() == 1

    def test_technicians_read_and_do_not_sign(self, laboratory, slide):
        read(slide)
        ben = program_of(join(laboratory, "ben", Role.TECHNICIAN).user)
        assert post(ben, self.path(slide)).status_code == 403
        assert ben.get(self.path(slide)).json()["count"] == 0


class TestReportFiles:
    def test_they_are_those_of_the_page(self, program, slide):
        read_field(slide, "parasitized", "uninfected")
        pdf = program.get(reverse("api_slide_pdf", args=[slide.pk]))
        assert (pdf["Content-Type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
        bundle = program.get(reverse("api_slide_fhir", args=[slide.pk]))
        assert bundle["Content-Type"] == "application/fhir+json"
        assert bundle.json()["resourceType"] == "Bundle"
        lines = program.get(reverse("api_slide_cells_csv", args=[slide.pk])).getvalue().decode()
        assert len(lines.splitlines()) == 3


class TestReadings:
    def path(self, slide, name="readings"):
        return reverse(f"api_{name}", args=[slide.pk])

    @pytest.fixture
    def twice(self, laboratory):
        laboratory.second_reading = True
        laboratory.save()
        slide = new_slide(laboratory, "KSM-9")
        self.image = read(slide, "uncertain").image
        return slide

    def test_a_conclusion_is_kept_and_replaced(self, program, slide):
        for word in ("positive", "negative"):
            said = put(program, self.path(slide), conclusion=word, comment="Two rings.").json()
            assert (said["reader"], said["conclusion"], said["place"]) == ("ada", word, None)
        assert program.get(self.path(slide)).json()["results"] == [said]

    def test_the_verdict_names_it_and_it_stands_over_what_was_counted(self, program, slide):
        read(slide, "uninfected")
        put(program, self.path(slide), conclusion="positive")
        verdict = program.get(reverse("api_slide", args=[slide.pk])).json()["verdict"]
        assert (verdict["concluded"], verdict["result"]) == ("positive", "parasitized")
        assert (verdict["is_critical"], verdict["parasitized"]) == (True, 0)
        assert verdict["sentence"].startswith(
            "Concluded positive by a person. Count of model and people: 0 of 1"
        )

    def test_two_readings_differ_and_are_settled(self, program, laboratory, twice):
        ben = program_of(join(laboratory, "ben", Role.REVIEWER).user)
        closed = put(program, self.path(twice), conclusion="positive", close=True)
        assert closed.json()["closed_at"]
        assert ben.get(self.path(twice)).json()["results"] == []
        again = put(program, self.path(twice), conclusion="negative")
        assert (again.status_code, again.json()) == (409, {"detail": readings.CLOSED})
        put(ben, self.path(twice), conclusion="negative", close=True)
        assert ben.get(self.path(twice)).json()["count"] == 2

        [found] = ben.get(self.path(twice, "differences")).json()["results"]
        assert (found["key"], found["image"], found["settlement"]) == ("slide", None, None)
        assert [one["label"] for one in found["said"]] == ["positive", "negative"]
        fields = {"key": "slide", "label": "positive", "reason": "Seen at the microscope."}
        settled = post(program, self.path(twice, "differences"), **fields)
        assert (settled.status_code, settled.json()["settlement"]["by"]) == (201, "ada")
        assert not settled.json()["settlement"]["is_third"]
        twice.refresh_from_db()
        assert (twice.concluded, twice.disputed) == ("positive", 0)
        fields["label"] = "negative"
        unseen = post(ben, self.path(twice, "differences"), **fields, seen=0)
        assert unseen.status_code == 409
        assert "meanwhile" in unseen.json()["detail"]
        seen = settled.json()["settlement"]["id"]
        assert post(ben, self.path(twice, "differences"), **fields, seen=seen).status_code == 201

    def test_what_cannot_be_said(self, program, twice):
        assert put(program, self.path(twice), conclusion="perhaps").status_code == 400
        unsaid = put(program, self.path(twice), conclusion="", close=True)
        assert (unsaid.status_code, unsaid.json()) == (409, {"detail": readings.NO_CONCLUSION})
        fields = {"key": f"image-{self.image.pk}", "label": "parasitized", "reason": "A ring."}
        assert post(program, self.path(twice, "differences"), **fields).status_code == 409
        assert post(program, self.path(twice, "differences"), key="slide").status_code == 400


@pytest.mark.parametrize(
    "path", ["nothing/", "slides", "slides/7/", "slides/a%2Fb/", "images/%00/"]
)
def test_what_is_not_there_is_said_as_json(program, path):
    for answer in (program.get(f"/api/v1/{path}"), post(program, f"/api/v1/{path}")):
        assert answer["Content-Type"] == "application/json"
        assert answer.status_code in (404, 405)
