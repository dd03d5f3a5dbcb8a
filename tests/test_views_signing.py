import re

import pytest
from django.test import Client
from django.urls import reverse

from diagnosis import roster, signing, summary, verdict
from diagnosis.models import Report, Role
from tests.people import join, laboratory_of, signed_in
from tests.readings import new_slide, read, waiting

pytestmark = pytest.mark.django_db
CHANGED = "The slide has changed since it was signed: amend the report."
PAGES = ["slide_sign", "slide_amend"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    slide = new_slide(laboratory, "KSM-7")
    read(slide, "parasitized"), read(slide)
    return slide


def url(name, slide, *more):
    return reverse(name, args=[slide.pk, *more])


def sign(client, slide, **fields):
    return client.post(url("slide_sign", slide), fields, follow=True)


def amend(client, slide, **fields):
    return client.post(url("slide_amend", slide), fields, follow=True)


def section(client, slide):
    """Of the slide's page: what it says of the report."""
    page = client.get(url("slide", slide)).text
    [found] = re.findall(r'<section class="panel signing.*?</section>', page, re.DOTALL)
    return " ".join(found.split())


def test_the_slide_says_that_it_is_not_signed(ada, slide):
    assert "Not signed yet" in section(ada, slide)
    assert url("slide_sign", slide) in section(ada, slide)


def test_the_page_says_in_words_what_is_signed(ada, slide):
    page = ada.get(url("slide_sign", slide)).text
    said = summary.of_slide(slide)["headline"]
    assert f'You sign what stands above: <strong lang="en">{said}.</strong>' in page
    assert verdict.RESEARCH_USE in page
    assert verdict.TRAINED_ON in page
    assert not Report.objects.exists()


@pytest.mark.parametrize("language", ["en", "fr", "pt"])
@pytest.mark.parametrize("reader", ["en", "fr", "pt"])
def test_what_is_signed_is_marked_as_the_language_it_is_in(
    ada, slide, laboratory, reader, language
):
    roster.set_report_language(laboratory, language)
    page = ada.get(url("slide_sign", slide), headers={"Accept-Language": reader}).text
    said = summary.of_slide(slide)["headline"]
    marked = re.findall(rf'lang="{language}">(?:<strong>)?{said}', page)
    assert page.count(said) == len(marked) > 0
    names = {"en": "English", "fr": "Français", "pt": "Português"}
    ends = [line for line in page.splitlines() if f" {names[language]}." in line]
    assert bool(ends) == (reader != language)


def test_signing_shows_the_report(ada, slide):
    page = sign(ada, slide, comment="Ward 4 <b>was</b> told.").text
    assert "Report 1 of KSM-7 is signed." in page
    assert summary.of_slide(slide)["headline"] in page
    assert "Signed by ada on" in page
    assert "Ward 4 &lt;b&gt;was&lt;/b&gt; told." in page
    assert verdict.RESEARCH_USE in page
    shown = section(ada, slide)
    assert f'<a href="{url("slide_report", slide, 1)}">Report 1</a>, signed by ada on' in shown
    assert url("slide_amend", slide) in shown
    assert CHANGED not in shown


def test_a_change_is_told_with_both_verdicts(ada, slide):
    sign(ada, slide)
    signed = summary.of_slide(slide)["headline"]
    read(slide)
    now = summary.of_slide(slide)["headline"]
    assert now != signed
    for text in (section(ada, slide), ada.get(url("slide_report", slide, 1)).text):
        for words in (CHANGED, signed, now):
            assert words in text
    assert CHANGED in ada.get(url("slide_results", slide)).text


def test_a_review_tells_it_at_once(ada, slide):
    sign(ada, slide)
    image = slide.images.first()
    address = reverse("image_review", args=[image.pk])
    answer = ada.post(address, {"label": "uninfected"}, headers={"HX-Request": "true"})
    assert CHANGED in answer.text
    assert 'id="report" aria-labelledby="report-title" hx-swap-oob="true"' in answer.text


def test_amending_keeps_the_former_readable(ada, slide):
    sign(ada, slide, comment="At first.")
    signed = summary.of_slide(slide)["headline"]
    read(slide)
    assert signed in ada.get(url("slide_amend", slide)).text
    page = amend(ada, slide, reason="One image more.").text
    assert "Amended by ada on" in page
    assert "One image more." in page
    former = ada.get(url("slide_report", slide, 1)).text
    assert "This report was amended." in former
    assert f'<a href="{url("slide_report", slide, 2)}">Report 2</a>' in former
    for words in (signed, "At first."):
        assert words in former
    assert CHANGED not in former
    assert "Report 2</a>, amended by ada on" in section(ada, slide)


def test_to_amend_takes_a_reason(ada, slide):
    sign(ada, slide)
    for reason in ("", "  "):
        answer = amend(ada, slide, reason=reason, comment="Kept as it was typed.")
        assert answer.status_code == 400
        assert "This field is required." in answer.text
        assert "Kept as it was typed." in answer.text
    assert slide.reports.count() == 1


def test_a_comment_that_is_too_long_is_refused_beside_it(ada, slide):
    answer = sign(ada, slide, comment="x" * 501)
    assert answer.status_code == 400
    assert answer.context["form"].errors["comment"]
    assert not Report.objects.exists()


def test_what_cannot_be_signed_is_said_on_the_slide(ada, slide):
    assert signing.NOT_SIGNED in amend(ada, slide, reason="A reason.").text
    sign(ada, slide)
    for answer in (sign(ada, slide), ada.get(url("slide_sign", slide), follow=True)):
        assert answer.redirect_chain == [(url("slide", slide), 302)]
        assert signing.SIGNED_ALREADY in answer.text
    waiting(slide)
    assert signing.BEING_READ in amend(ada, slide, reason="A reason.").text
    assert url("slide_amend", slide) not in section(ada, slide)
    assert slide.reports.count() == 1


def test_the_slide_says_why_it_cannot_be_signed_yet(ada, slide):
    waiting(slide)
    assert signing.BEING_READ in section(ada, slide)
    assert url("slide_sign", slide) not in section(ada, slide)


def test_what_changed_since_the_page_was_opened_is_not_signed(ada, slide):
    page = ada.get(url("slide_sign", slide)).text
    seen = re.search('name="seen" value="([^"]+)"', page)[1]
    read(slide, "parasitized")
    page = sign(ada, slide, seen=seen, comment="two rings").text
    assert signing.NOT_SEEN in page
    assert "two rings</textarea>" in page
    assert not Report.objects.exists()
    [seen] = re.findall('name="seen" value="([^"]+)"', page)
    sign(ada, slide, seen=seen, comment="two rings")
    assert slide.reports.get().comment == "two rings"


def test_a_double_click_amends_once(ada, slide):
    sign(ada, slide)
    page = ada.get(url("slide_amend", slide)).text
    fields = {"seen": re.search('name="seen" value="([^"]+)"', page)[1], "reason": "A slip."}
    assert "Report 2 of KSM-7 is signed." in amend(ada, slide, **fields).text
    assert signing.NOT_SEEN in amend(ada, slide, **fields).text
    assert slide.reports.count() == 2


def test_who_signs(laboratory, slide):
    technician = signed_in(join(laboratory, "tom", Role.TECHNICIAN).user)
    outsider = signed_in(laboratory_of("eve", "Mombasa").members.get())
    for name in PAGES:
        assert technician.post(url(name, slide)).status_code == 403
        assert outsider.post(url(name, slide)).status_code == 404
        assert Client().get(url(name, slide))["Location"].startswith(reverse("account_login"))
    assert "Sign the report" not in section(technician, slide)
    for role in (Role.CLINICIAN, Role.REVIEWER):
        client = signed_in(join(laboratory, f"a {role}", role).user)
        assert "Sign the report" in section(client, slide)
    sign(client, slide)
    assert Report.objects.get().who == "a reviewer"
    assert technician.get(url("slide_report", slide, 1)).status_code == 200
    assert "Amend the report" not in section(technician, slide)


def test_needs_the_pages_token(laboratory, slide):
    client = Client(enforce_csrf_checks=True)
    client.force_login(laboratory.members.get())
    assert client.post(url("slide_sign", slide)).status_code == 403
    assert not Report.objects.exists()


@pytest.mark.parametrize("number", [0, 2, 10**30])
def test_a_report_that_is_not_there(ada, slide, number):
    sign(ada, slide)
    assert ada.get(url("slide_report", slide, number)).status_code == 404
    assert ada.post(url("slide_report", slide, 1)).status_code == 405


def test_a_report_of_another_slide_is_not_shown_here(ada, slide, laboratory):
    sign(ada, slide)
    assert ada.get(url("slide_report", new_slide(laboratory), 1)).status_code == 404
