import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from diagnosis import current, gallery, readings, registry, verdict
from diagnosis.models import Action, Event, ModelVersion, Slide, SmearImage
from ml.decisions import Thresholds
from tests.people import join, laboratory_of, signed_in
from tests.readings import active_model, another_model, failed, new_slide, png, read, waiting

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
HTMX = {"HX-Request": "true"}
READ = ["slide", "slide_results", "slide_csv", "slide_cells_csv"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    active_model()
    return new_slide(laboratory, "KSM-1")


def url(name, slide):
    return reverse(name, args=[slide.pk])


def cell(seed=0, name="cell.png"):
    return SimpleUploadedFile(name, png(seed), "image/png")


def broken(name="notes.jpg"):
    return SimpleUploadedFile(name, b"no picture at all", "image/jpeg")


@pytest.mark.parametrize("name", READ)
def test_pages_of_a_slide_are_for_its_laboratory(name, slide, laboratory):
    read(slide)
    ben = signed_in(join(laboratory, "ben").user)
    stranger = signed_in(laboratory_of("eve", "Mombasa").members.get())
    assert ben.get(url(name, slide)).status_code == 200
    assert ben.post(url(name, slide)).status_code == 405
    assert stranger.get(url(name, slide)).status_code == 404
    assert ben.get(reverse(name, args=[uuid.uuid4()])).status_code == 404
    assert Client().get(url(name, slide))["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", ["dashboard", "history", "slide", "notices"])
def test_a_page_that_is_seen_again_writes_nothing(real_database, name):
    """Else it would wait for whatever a worker writes to SQLite."""
    laboratory = laboratory_of("ada")
    slide = read(new_slide(laboratory)).slide
    ada = signed_in(laboratory.members.get())
    address = reverse(name, args=[slide.pk] if name == "slide" else [])
    assert ada.get(address).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        ada.get(address)
    statements = [query["sql"].lstrip("(") for query in asked.captured_queries]
    assert [text for text in statements if not text.startswith("SELECT")] == []


class TestNew:
    def post(self, client, headers=None, **fields):
        return client.post(reverse("slide_new"), fields, headers=headers)

    def test_is_for_people_who_signed_in(self, ada):
        assert "The code on the glass" in ada.get(reverse("slide_new")).text
        assert ada.put(reverse("slide_new")).status_code == 405
        for method in (Client().get, Client().post):
            assert method(reverse("slide_new"))["Location"].startswith(reverse("account_login"))

    def test_a_plain_form_makes_the_slide_with_its_images(self, ada, slide):
        files = [cell(1, "one.png"), broken(), cell(2, "two.png")]
        response = self.post(ada, code="KSM-2", stain="giemsa", note="Ward 4", images=files)
        made = Slide.objects.get(code="KSM-2")
        assert response["Location"] == url("slide", made)
        assert (made.created_by.username, made.stain, made.note) == ("ada", "giemsa", "Ward 4")
        assert sorted(made.images.values_list("name", flat=True)) == ["one.png", "two.png"]
        page = ada.get(response["Location"])
        assert "2 of 3 files received" in page.text
        assert "notes.jpg: This is not an image we can read" in page.text

    def test_a_script_makes_the_slide_first(self, ada, slide):
        response = self.post(ada, JSON, code="KSM-2")
        made = Slide.objects.get(code="KSM-2")
        assert response.status_code == 201
        assert response.json() == {"url": url("slide", made), "images": url("slide_images", made)}

    @pytest.mark.parametrize("code", ["", "Jane Doe", "KSM-1", "x" * 41])
    def test_a_bad_or_taken_code_is_refused(self, ada, slide, code):
        response = self.post(ada, code=code, images=[cell()])
        assert response.status_code == 400
        assert response.context["form"].errors["code"]
        answer = self.post(ada, JSON, code=code)
        assert answer.status_code == 400
        assert answer.json()["errors"]["code"]
        assert Slide.objects.count() == 1

    def test_the_taken_one_is_linked(self, ada, slide):
        assert f'<a href="{url("slide", slide)}">KSM-1</a>' in self.post(ada, code="KSM-1").text

    def test_a_script_is_told_of_the_taken_one_in_words_and_makes_the_link(self, ada, slide):
        assert self.post(ada, JSON, code="KSM-1").json() == {
            "errors": {"code": ["Slide KSM-1 exists already."]},
            "taken": {
                "text": "Slide {link} exists already.",
                "code": "KSM-1",
                "url": url("slide", slide),
            },
        }

    def test_another_laboratory_may_use_the_same_code(self, slide):
        eve = signed_in(laboratory_of("eve", "Mombasa").members.get())
        assert self.post(eve, JSON, code="KSM-1").status_code == 201

    def test_a_plain_form_wants_an_image(self, ada, slide):
        page = self.post(ada, code="KSM-2")
        assert page.status_code == 400
        assert "Choose at least one photograph." in page.text
        assert Slide.objects.count() == 1

    def test_who_is_in_several_laboratories_chooses(self, ada, slide, laboratory):
        other = laboratory_of("eve", "Mombasa")
        other.memberships.create(user=laboratory.members.get(), role="technician")
        assert self.post(ada, JSON, code="KSM-2").json()["errors"] == {
            "laboratory": ["This field is required."]
        }
        assert self.post(ada, JSON, code="KSM-1", laboratory=other.pk).status_code == 201
        assert Slide.objects.filter(laboratory=other, code="KSM-1").exists()

    def test_nobody_makes_a_slide_in_a_laboratory_of_others(self, ada, slide):
        other = laboratory_of("eve", "Mombasa")
        self.post(ada, JSON, code="KSM-2", laboratory=other.pk)
        assert not Slide.objects.filter(laboratory=other).exists()


class TestImages:
    def post(self, client, slide, *files, headers=JSON):
        return client.post(url("slide_images", slide), {"images": files}, headers=headers)

    def test_each_file_has_its_answer(self, ada, slide):
        answer = self.post(ada, slide, cell(1, "good.png"), broken())
        good, bad = answer.json()["receipts"]
        assert answer.status_code == 200
        assert (good["name"], good["refusal"], good["code"]) == ("good.png", "", "new")
        assert SmearImage.objects.get(pk=good["image"]).uploaded_by.username == "ada"
        assert (bad["name"], bad["image"]) == ("notes.jpg", None)
        assert "not an image" in bad["refusal"]

    def test_the_same_again_counts_once(self, ada, slide):
        first = self.post(ada, slide, cell(1)).json()["receipts"][0]
        again = self.post(ada, slide, cell(1)).json()["receipts"][0]
        assert again["image"] == first["image"]
        assert "Already on this slide" in again["note"]

    def test_an_empty_file_is_refused_by_name(self, ada, slide):
        empty = SimpleUploadedFile("empty.png", b"", "image/png")
        receipt = self.post(ada, slide, empty).json()["receipts"][0]
        assert (receipt["name"], receipt["refusal"]) == ("empty.png", "The file is empty.")

    def test_without_a_script_the_page_tells(self, ada, slide):
        response = self.post(ada, slide, cell(1), broken(), headers=None)
        page = ada.get(response["Location"])
        assert "1 of 2 files received" in page.text
        assert "notes.jpg: This is not an image" in page.text

    @pytest.mark.parametrize("headers", [JSON, None])
    def test_no_file_is_no_upload(self, ada, slide, headers):
        response = self.post(ada, slide, headers=headers)
        assert response.status_code == (400 if headers else 302)
        page = response.text if headers else ada.get(response["Location"]).text
        assert "Choose at least one photograph." in page

    @pytest.mark.parametrize("headers", [JSON, None])
    def test_without_a_model_it_says_so(self, ada, slide, headers):
        ModelVersion.objects.update(is_active=False)
        response = self.post(ada, slide, cell(), headers=headers)
        page = response.text if headers else ada.get(response["Location"]).text
        assert "No model is active" in page

    def test_who_may(self, ada, slide):
        stranger = signed_in(laboratory_of("eve", "Mombasa").members.get())
        assert self.post(stranger, slide, cell()).status_code == 404
        assert self.post(Client(), slide, cell()).status_code == 401
        assert self.post(Client(), slide, cell(), headers=None).status_code == 302
        assert ada.get(url("slide_images", slide)).status_code == 405
        assert not slide.images.exists()

    def test_needs_the_page_s_token(self, laboratory, slide):
        client = Client(enforce_csrf_checks=True)
        client.force_login(laboratory.members.get())
        assert self.post(client, slide, cell()).status_code == 403


class TestPage:
    def test_says_the_result_with_its_warnings(self, ada, slide):
        read(slide, "parasitized")
        read(slide, "uncertain")
        read(slide)
        text = ada.get(url("slide", slide)).text
        assert "1 of 3 cells parasitized" in text
        assert "tell the responsible clinician now" in text
        assert "Chosen cells give no parasitaemia" in text
        assert (
            "Research use only. Decision support, not a diagnosis: confirm by microscopy." in text
        )
        assert "Trained on P. falciparum" in text

    def test_none_parasitized_is_not_called_negative(self, ada, slide):
        read(slide)
        text = ada.get(url("slide", slide)).text
        assert "0 of 1 cell parasitized" in text
        assert "This is not a negative result" in text

    def test_every_image_says_what_is_known_of_it(self, ada, slide):
        prediction = read(slide, "uncertain", probability=0.62, reasons=["Blurred."], name="a.png")
        text = ada.get(url("slide", slide)).text
        for words in ("Uncertain", "62 %", "Leans parasitized", "Blurred.", "a.png"):
            assert words in text
        for words in ("resnet34-drawn", prediction.finished_at.strftime("%Y"), "4 × 4 squares"):
            assert words in text
        assert url("image_heatmap", prediction.image) in text

    def test_a_failed_image_says_why_and_offers_another_try(self, ada, slide):
        prediction = failed(slide)
        text = ada.get(url("slide", slide)).text
        assert "It broke off." in text
        assert url("image_retry", prediction.image) in text

    def test_all_that_failed_are_tried_again_at_one_click(self, ada, slide):
        several = [failed(slide) for _ in range(3)]
        good = read(slide)
        assert url("slide_retry", slide) in ada.get(url("slide", slide)).text
        response = ada.post(url("slide_retry", slide), follow=True)
        assert "3 images will be read again." in response.text
        assert url("slide_retry", slide) not in response.text
        for row in several:
            row.refresh_from_db()
            assert (row.state, row.attempts) == ("queued", 0)
        good.refresh_from_db()
        assert good.state == "done"
        event = Event.objects.get(action=Action.READ_AGAIN)
        assert (event.kind, event.name, event.who) == ("slide", "KSM-1", "ada")
        again = ada.post(url("slide_retry", slide), follow=True)
        assert "No image of this slide has failed." in again.text
        assert Event.objects.filter(action=Action.READ_AGAIN).count() == 1

    def test_trying_all_again_needs_a_post_and_a_model(self, ada, slide):
        failed(slide)
        assert ada.get(url("slide_retry", slide)).status_code == 405
        ModelVersion.objects.update(is_active=False)
        page = ada.post(url("slide_retry", slide), follow=True)
        assert "No model is active" in page.text

    def test_a_repeated_reading_names_the_other_slide(self, ada, slide, laboratory):
        other = new_slide(laboratory, "KSM-9")
        read(slide, same_as=read(other))
        text = ada.get(url("slide", slide)).text
        assert f'<a href="{url("slide", other)}">KSM-9</a>' in text

    def test_names_cannot_break_the_page(self, ada, slide):
        read(slide, name='"><script>alert(1)</script>.png')
        assert "<script>alert" not in ada.get(url("slide", slide)).text

    def test_an_empty_slide_says_what_to_do(self, ada, slide):
        assert "No images yet" in ada.get(url("slide", slide)).text

    def test_asks_for_results_until_the_last_is_there(self, ada, slide):
        prediction = waiting(slide)
        assert "every 100ms" in ada.get(url("slide", slide)).text
        prediction.state, prediction.decision = "done", "uninfected"
        prediction.save()
        assert "every " not in ada.get(url("slide", slide)).text

    def test_shows_one_status_where_asked(self, ada, slide):
        read(slide, "parasitized", name="suspect.png")
        read(slide, name="clear.png")
        text = ada.get(url("slide", slide), {"show": "parasitized"}).text
        assert "suspect.png" in text
        assert "clear.png" not in text


class TestAgain:
    @pytest.fixture
    def old(self, slide):
        row = read(slide, "parasitized", name="a.png")
        registry.activate(another_model("resnet34-next"))
        return row

    def test_who_may(self, ada, slide, old, laboratory):
        stranger = signed_in(laboratory_of("eve", "Mombasa").members.get())
        assert stranger.post(url("slide_again", slide)).status_code == 404
        assert Client().post(url("slide_again", slide)).status_code == 302
        assert ada.get(url("slide_again", slide)).status_code == 405
        client = Client(enforce_csrf_checks=True)
        client.force_login(laboratory.members.get())
        assert client.post(url("slide_again", slide)).status_code == 403
        assert slide.predictions.count() == 1

    def test_is_offered_where_another_version_read(self, ada, slide, old):
        text = ada.get(url("slide", slide)).text
        assert "1 image of this slide was not read by the active version" in text
        assert url("slide_again", slide) in text
        registry.activate(old.model)
        assert url("slide_again", slide) not in ada.get(url("slide", slide)).text

    def test_the_old_result_stands_while_it_is_read_again(self, ada, slide, old):
        response = ada.post(url("slide_again", slide), follow=True)
        assert "1 image is read by the active version now" in response.text
        assert "1 image is being read again" in response.text
        assert "1 of 1 cell parasitized" in response.text
        assert ": reading again" in response.text
        assert "every 100ms" in response.text
        assert "hx-morph-skip" not in response.text
        assert url("slide_again", slide) not in response.text

    def read_again(self, slide, old, decision="parasitized"):
        new = slide.predictions.filter(is_current=False)
        values = {"state": "done", "decision": decision, "probability": 0.91}
        [pk] = new.values_list("pk", flat=True)
        new.update(**values, finished_at=old.finished_at)
        current.take_over([pk])
        verdict.recount([slide.pk])

    def test_the_page_fills_in_when_it_is_there(self, ada, slide, old):
        ada.post(url("slide_again", slide))
        before = ada.get(url("slide_results", slide), headers=HTMX)
        self.read_again(slide, old)
        seen = {"seen": before.context["seen"]}
        after = ada.get(url("slide_results", slide), seen, headers=HTMX)
        assert after.status_code == 200
        for words in ("resnet34-next", "91 %", "resnet34-drawn</a>: Parasitized, 97 %"):
            assert words in after.text
        assert "every " not in after.text

    def test_what_was_counted_before_it_was_there_is_asked_for_once_more(
        self, ada, slide, old, monkeypatch
    ):
        ada.post(url("slide_again", slide))
        count = verdict._groups

        def count_before_it_is_read(slides):
            monkeypatch.setattr(verdict, "_groups", count)
            counted = count(slides)
            self.read_again(slide, old, "uninfected")
            return counted

        monkeypatch.setattr(verdict, "_groups", count_before_it_is_read)
        first = ada.get(url("slide_results", slide), headers=HTMX)
        assert "1 of 1 cell parasitized" in first.text
        assert first.context["every"]
        seen = {"seen": first.context["seen"]}
        later = ada.get(url("slide_results", slide), seen, headers=HTMX)
        assert "0 of 1 cell parasitized" in later.text

    def test_a_failure_is_told_and_can_be_tried_again(self, ada, slide, old):
        ada.post(url("slide_again", slide))
        slide.predictions.filter(is_current=False).update(state="failed", error="It broke off.")
        text = ada.get(url("slide", slide)).text
        assert "Reading 1 of them again failed; the former result still counts." in text
        assert "not read: It broke off." in text
        assert "1 of 1 cell parasitized" in text
        assert url("slide_again", slide) in text

    def test_without_a_model_it_says_so(self, ada, slide, old):
        ModelVersion.objects.update(is_active=False)
        assert "No model is active" in ada.post(url("slide_again", slide), follow=True).text

    def test_a_card_shows_the_thresholds_that_were_used(self, ada, slide):
        registry.set_band(active_model(), Thresholds(0.05, 0.99), "Careful.")
        read(slide, band=registry.band_of(active_model()))
        registry.set_band(active_model(), None, "Back.")
        read(slide)
        text = ada.get(url("slide", slide)).text
        assert text.count("from 5.0 % to 99.0 %") == 1
        assert text.count("from 20.0 % to 80.0 %") == 1
        assert 'class="band" x="5.00" width="94.00"' in text


def finish(prediction):
    prediction.state, prediction.decision = "done", "parasitized"
    prediction.save()


class TestResults:
    def seen(self, response):
        return {"seen": response.context["seen"]}

    def test_comes_alone_and_only_when_something_changed(self, ada, slide):
        prediction = waiting(slide)
        first = ada.get(url("slide_results", slide), headers=HTMX)
        assert "<html" not in first.text
        unchanged = ada.get(url("slide_results", slide), self.seen(first), headers=HTMX)
        assert (unchanged.status_code, unchanged.content) == (204, b"")
        finish(prediction)
        changed = ada.get(url("slide_results", slide), self.seen(first), headers=HTMX)
        assert "1 of 1 cell parasitized" in changed.text

    def test_asks_again_if_an_image_is_read_while_the_page_is_made(self, ada, slide, monkeypatch):
        prediction, load = waiting(slide), gallery._with_cells

        def load_just_before_it_is_read(shown):
            load(shown)
            finish(prediction)

        monkeypatch.setattr(gallery, "_with_cells", load_just_before_it_is_read)
        first = ada.get(url("slide_results", slide), headers=HTMX)
        assert first.context["every"]
        later = ada.get(url("slide_results", slide), self.seen(first), headers=HTMX)
        assert "1 of 1 cell parasitized" in later.text

    def test_what_is_read_while_the_page_is_made_is_read_everywhere_on_it(
        self, ada, slide, monkeypatch
    ):
        """Such a page asks no more: what it says now it says for good."""
        prediction, count = waiting(slide), verdict._groups

        def count_once_it_is_read(slides):
            monkeypatch.setattr(verdict, "_groups", count)
            finish(prediction)
            verdict.recount([slide.pk])
            return count(slides)

        monkeypatch.setattr(verdict, "_groups", count_once_it_is_read)
        page = ada.get(url("slide", slide))
        assert not page.context["every"]
        assert reverse("slide_sign", args=[slide.pk]) in page.text

    def test_a_page_whose_visitor_was_signed_out_is_loaded_anew(self, slide):
        response = Client().get(url("slide_results", slide), headers=HTMX)
        assert (response.status_code, response["HX-Refresh"]) == (401, "true")

    def test_what_is_read_is_left_alone_by_later_answers(self, ada, slide):
        read(slide)
        waiting(slide)
        assert ada.get(url("slide_results", slide), headers=HTMX).text.count("hx-morph-skip") == 1


def test_the_csv_is_named_after_the_slide(ada, slide):
    read(slide, "parasitized")
    response = ada.get(url("slide_csv", slide))
    assert 'filename="KSM-1.csv"' in response["Content-Disposition"]
    assert "parasitized" in response.getvalue().decode()


@pytest.mark.parametrize(
    ("number", "words"), [(1, "0 of 1 image read."), (2, "0 of 2 images read.")]
)
def test_how_many_are_read_is_said_in_their_number(ada, laboratory, number, words):
    slide = new_slide(laboratory)
    for _ in range(number):
        waiting(slide)
    assert words in ada.get(reverse("slide", args=[slide.pk])).text


def test_a_conclusion_stands_first_and_the_count_is_called_so(ada, laboratory):
    slide = new_slide(laboratory)
    read(slide)
    assert "Count of model and people" not in ada.get(reverse("slide", args=[slide.pk])).text
    readings.conclude(slide, laboratory.members.get(username="ada"), "positive")
    shown = ada.get(reverse("slide", args=[slide.pk])).text
    person = "<strong>Concluded positive by a person.</strong>"
    count = "Count of model and people: 0 of 1"
    assert f'{person} <span class="counted">{count}' in shown
    assert count in ada.get(reverse("history")).text
