"""The report of a slide as a file."""

import io
import json

import pytest
from django.urls import reverse
from pypdf import PdfReader

from diagnosis import cells, signing
from diagnosis.models import Action, Event
from tests.people import laboratory_of, signed_in
from tests.readings import measured_model, new_slide, read_field

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    measured_model()
    slide = new_slide(laboratory, "KSM/7")
    read_field(slide, "parasitized", *["uninfected"] * 600)
    return slide


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


def test_the_pdf_is_a_private_file_named_by_the_slide_s_code(ada, slide):
    answer = ada.get(reverse("report_pdf", args=[slide.pk]))
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'attachment; filename="KSM-7.pdf"'
    assert answer["Cache-Control"] == "private, no-store"
    assert "KSM/7" in PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()


def test_fhir_is_a_private_file_too(ada, slide):
    answer = ada.get(reverse("report_fhir", args=[slide.pk]))
    assert answer["Content-Type"] == "application/fhir+json"
    assert answer["Content-Disposition"] == 'attachment; filename="KSM-7.json"'
    assert answer["Cache-Control"] == "private, no-store"
    assert json.loads(answer.content)["resourceType"] == "Bundle"


@pytest.mark.parametrize(("name", "form"), [("report_pdf", "PDF"), ("report_fhir", "FHIR")])
def test_whoever_takes_it_is_noted(ada, slide, name, form):
    ada.get(reverse(name, args=[slide.pk]))
    event = Event.objects.get(action=Action.EXPORTED)
    assert (event.who, event.name, event.changes) == ("ada", "KSM/7", {"form": [None, form]})


@pytest.mark.parametrize("name", ["report_pdf", "report_fhir"])
def test_it_is_only_read_and_the_page_of_the_slide_leads_there(ada, slide, name):
    address = reverse(name, args=[slide.pk])
    assert ada.post(address).status_code == 405
    assert address in ada.get(reverse("slide", args=[slide.pk])).content.decode()


def test_a_report_that_was_amended_stays_as_a_file_that_says_so(ada, laboratory, slide):
    person = laboratory.members.get()
    signing.sign(slide, person, comment="The first word.")
    signing.amend(slide, person, "A field more.")
    page = ada.get(reverse("slide_report", args=[slide.pk, 1])).content.decode()
    address = reverse("signed_pdf", args=[slide.pk, 1])
    assert address in page
    first, newest = (
        " ".join(PdfReader(io.BytesIO(ada.get(path).content)).pages[0].extract_text().split())
        for path in (address, reverse("signed_pdf", args=[slide.pk, 2]))
    )
    assert "Replaced by report 2" in first
    assert "The first word." in first
    assert "Amended" in newest
    for name in ("signed_pdf", "signed_fhir"):
        assert ada.get(reverse(name, args=[slide.pk, 3])).status_code == 404


def test_its_fhir_is_an_earlier_version_of_the_same_report(ada, laboratory, slide):
    person = laboratory.members.get()
    signing.sign(slide, person, comment="The first word.")
    signing.amend(slide, person, "A field more.")
    address = reverse("signed_fhir", args=[slide.pk, 1])
    assert address in ada.get(reverse("slide_report", args=[slide.pk, 1])).content.decode()
    answer = ada.get(address)
    assert answer["Content-Disposition"] == 'attachment; filename="KSM-7-report-1.json"'
    first, second, newest = (
        json.loads(ada.get(path).content)["entry"][0]["resource"]
        for path in (
            address,
            reverse("signed_fhir", args=[slide.pk, 2]),
            reverse("report_fhir", args=[slide.pk]),
        )
    )
    assert second == newest
    assert first["id"] == newest["id"]
    assert [one["status"] for one in (first, newest)] == ["final", "amended"]
    assert [one["meta"]["versionId"] for one in (first, newest)] == ["1", "2"]
    assert first["meta"]["lastUpdated"] < newest["meta"]["lastUpdated"]
    assert first["conclusion"].startswith("Replaced by report 2.")
    assert "The first word." in first["conclusion"]
    assert "Replaced" not in newest["conclusion"]


def test_what_was_signed_is_what_both_files_say_whatever_is_said_since(ada, laboratory, slide):
    person = laboratory.members.get()
    signing.sign(slide, person)
    image, cell = slide.images.get(), slide.images.get().cells.first()
    cells.say(image, person, cell.pk, "parasitized")
    bundle = json.loads(ada.get(reverse("report_fhir", args=[slide.pk])).content)
    report = bundle["entry"][0]["resource"]
    assert report["status"] == "final"
    assert report["conclusion"].startswith("Uncertain: 1 cell to look at.")
    pages = PdfReader(io.BytesIO(ada.get(reverse("report_pdf", args=[slide.pk])).content)).pages
    text = " ".join(pages[0].extract_text().split())
    assert "Final" in text
    assert "Uncertain: 1 cell to look at" in text
    assert "changed since it was signed" in text


def test_the_page_of_the_report_that_counts_leads_to_both(ada, laboratory, slide):
    person = laboratory.members.get()
    signing.sign(slide, person)
    signing.amend(slide, person, "Looked again.")
    old, new = (
        ada.get(reverse("slide_report", args=[slide.pk, number])).content.decode()
        for number in (1, 2)
    )
    for name in ("report_pdf", "report_fhir"):
        address = reverse(name, args=[slide.pk])
        assert address in new
        assert address not in old
