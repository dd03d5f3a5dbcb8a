"""A report is signed once, frozen, and amended with a reason."""

from functools import partial

import pytest

from diagnosis import (
    again,
    cells,
    deletion,
    readings,
    registry,
    reviews,
    roster,
    signing,
    summary,
    verdict,
    words,
)
from diagnosis.models import Event, Report, Slide
from diagnosis.waiting import slides as waiting_for
from tests.databases import at_once, slow_down
from tests.people import join, laboratory_of
from tests.readings import (
    another_model,
    as_first_format,
    failed,
    new_slide,
    read,
    read_field,
    waiting,
)


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def slide(laboratory):
    slide = new_slide(laboratory, "KSM-7")
    read(slide, "parasitized"), read(slide)
    return slide


def stored(slide):
    return list(slide.reports.order_by("number").values("number", "content", "reason", "comment"))


def refused(act, *arguments):
    with pytest.raises(signing.CannotSign) as refusal:
        act(*arguments)
    return str(refusal.value)


def test_what_the_slide_says_is_kept_with_who_signed_it(slide, ada):
    said = summary.of_slide(slide)
    report = signing.sign(slide, ada, "Ward 4 was told.")
    report.refresh_from_db()
    assert (report.number, report.content, report.comment) == (1, said, "Ward 4 was told.")
    assert (report.signed_by, report.who, report.reason) == (ada, "ada", "")
    assert signing.current(slide) == report


def test_it_stands_whatever_happens_to_the_slide(slide, ada):
    before = signing.sign(slide, ada).content
    reviews.say(read(slide, "parasitized").image, ada, "parasitized")
    read(slide)
    assert Report.objects.get().content == before != summary.of_slide(slide)


def test_it_outlives_whoever_signed_it(slide, laboratory):
    ben = join(laboratory, "ben").user
    signing.sign(slide, ben)
    ben.delete()
    assert (Report.objects.get().who, Report.objects.get().signed_by) == ("ben", None)


def test_it_is_signed_once(slide, ada):
    signing.sign(slide, ada)
    assert "amend it with a reason" in refused(signing.sign, slide, ada)
    assert slide.reports.count() == 1


def test_to_amend_takes_a_signed_report_and_a_reason(slide, ada):
    assert "not signed yet" in refused(signing.amend, slide, ada, "A reason.")
    signing.sign(slide, ada)
    assert refused(signing.amend, slide, ada, "") == signing.NO_REASON
    assert slide.reports.count() == 1


def test_an_amended_report_counts_and_the_former_stays(slide, ada, laboratory):
    first = signing.sign(slide, ada, "First.")
    former = stored(slide)
    read(slide, "parasitized")
    ben = join(laboratory, "ben").user
    second = signing.amend(slide, ben, "A field was added.", "Second.")
    assert signing.current(slide) == second
    assert (second.number, second.who, second.reason) == (2, "ben", "A field was added.")
    assert second.content == summary.of_slide(slide) != first.content
    assert stored(slide)[:1] == former
    assert signing.amend(slide, ada, "A slip of the pen.").number == 3


@pytest.mark.parametrize("add", [waiting, partial(waiting, state="running")])
def test_not_while_images_are_being_read(slide, ada, add):
    add(slide)
    assert refused(signing.sign, slide, ada) == signing.BEING_READ


def test_nor_while_they_are_read_again(slide, ada, settings):
    settings.CELERY_BROKER_URL = "memory://"
    signing.sign(slide, ada)
    registry.activate(another_model())
    again.analyse_again(slide)
    assert verdict.tally(slide).pending == 0
    assert refused(signing.amend, slide, ada, "A better model.") == signing.BEING_READ


@pytest.mark.parametrize(
    "fill", [lambda _: None, failed, partial(read, decision="rejected")], ids=["no", "bad", "other"]
)
def test_not_where_nothing_could_be_read(laboratory, ada, fill):
    slide = new_slide(laboratory)
    fill(slide)
    assert refused(signing.sign, slide, ada) == signing.NOTHING_READ


def test_an_image_that_failed_does_not_hinder(slide, ada):
    failed(slide)
    assert signing.sign(slide, ada).number == 1


def test_not_once_the_slide_is_deleted(slide, ada):
    known = Slide.objects.get()
    deletion.delete(slide, ada)
    assert refused(signing.sign, known, ada) == signing.DELETED


def test_nobody_signs_what_they_did_not_see(slide, ada):
    def seen(former=None):
        return signing.fingerprint(former, summary.of_slide(slide))

    before = seen()
    read(slide, "parasitized")
    assert refused(signing.sign, slide, ada, "", before) == signing.NOT_SEEN
    first = signing.sign(slide, ada, "", seen())
    assert signing.amend(slide, ada, "A slip.", "", seen(first)).number == 2
    assert refused(signing.amend, slide, ada, "A slip.", "", seen(first)) == signing.NOT_SEEN


def test_what_changed_is_told(slide, ada):
    report = signing.sign(slide, ada)
    assert not signing.has_changed(report, slide)
    signed = summary.of_slide(slide)["headline"]
    read(slide)
    assert signing.has_changed(report, slide)
    now = summary.of_slide(slide)["headline"]
    assert signing.change(report, slide) == signing.Change(signed, now, ["images", "chosen cells"])
    assert not signing.has_changed(signing.amend(slide, ada, "One more."), slide)


def test_a_note_on_a_cell_is_a_change_but_not_where_reports_knew_none(slide, ada):
    field = read_field(slide, "uninfected")
    cells.say(field.image, ada, field.cells.get().pk, "uninfected")
    report = signing.sign(slide, ada)
    cells.say(field.image, ada, field.cells.get().pk, "uninfected", "Stain")
    assert signing.change(report, slide).parts == ["notes on cells"]
    report.content = as_first_format(report.content)
    assert signing.change(report, slide).parts == ["notes on cells"]
    del report.content["cell_notes"]
    assert not signing.has_changed(report, slide)


def test_what_a_person_calls_positive_is_signed_though_nothing_could_be_read(laboratory, ada):
    slide = new_slide(laboratory)
    read(slide, "rejected")
    assert refused(signing.sign, slide, ada) == signing.NOTHING_READ
    readings.conclude(slide, ada, "positive", "Seen in the microscope.")
    slide.refresh_from_db()
    assert list(waiting_for(ada)) == [slide]
    content = signing.sign(slide, ada).content
    assert "ositive" in content["headline"]
    assert list(waiting_for(ada)) == []


def test_another_language_of_reports_changes_no_slide(slide, ada, laboratory):
    """Of what was signed, in English too, both headlines are told in the language it is in."""
    readings.conclude(slide, ada, "cannot-tell", "Ring?")
    reviews.say(slide.images.first(), ada, "parasitized", "Ring")
    report = signing.sign(slide, ada)
    roster.set_report_language(laboratory, "fr")
    assert summary.of_slide(slide)["language"] == "fr"
    assert not signing.has_changed(report, slide)
    report.content = as_first_format(report.content)
    assert not signing.has_changed(report, slide)
    readings.conclude(slide, ada, "positive", "Ring?")
    change = signing.change(report, slide)
    assert change.parts == ["conclusion", "readings"]
    assert (change.language, change.now) == ("en", summary.of_slide(slide, "en")["headline"])
    french = signing.amend(slide, ada, "En français.")
    assert french.content["language"] == "fr"
    assert not signing.has_changed(french, slide)


def test_who_signs_in_another_language_than_they_saw_looks_again(slide, ada, laboratory):
    seen = signing.fingerprint(None, summary.of_slide(slide))
    roster.set_report_language(laboratory, "pt")
    assert refused(signing.sign, slide, ada, "", seen) == signing.NOT_SEEN


def test_other_translations_change_no_slide(slide, ada, laboratory, monkeypatch):
    """Nothing is compared by words: a better translation is no change of a slide."""
    roster.set_report_language(laboratory, "fr")
    readings.conclude(slide, ada, "cannot-tell", "Anneau")
    reviews.say(slide.images.first(), ada, "parasitized", "Anneau")
    report = signing.sign(slide, ada)
    monkeypatch.setattr(words, "code", lambda language: "pt")
    assert summary.of_slide(slide, "fr")["readings"] != report.content["readings"]
    assert not signing.has_changed(report, slide)


def test_neither_other_words_nor_other_names_change_a_slide(slide, ada, laboratory, monkeypatch):
    report = signing.sign(slide, ada)
    laboratory.name = "Siaya"
    laboratory.save()
    monkeypatch.setattr(verdict, "RESEARCH_USE", "Put in other words.")
    now = summary.of_slide(slide)
    assert {name for name in now if now[name] != report.content[name]} == {"laboratory", "wording"}
    assert not signing.has_changed(report, slide)


def test_former_reports_are_listed_without_what_they_hold(slide, ada):
    signing.sign(slide, ada)
    for _ in range(2):
        signing.amend(slide, ada, "A slip.")
    reports = signing.standing(Slide.objects.get()).reports
    assert [report.number for report in reports] == [3, 2, 1]
    assert all("content" in report.get_deferred_fields() for report in reports[1:])


def test_a_review_changes_it_though_it_agrees(slide, ada):
    report = signing.sign(slide, ada)
    reviews.say(slide.images.first(), ada, "parasitized")
    change = signing.change(report, slide)
    assert change.before == change.now
    assert change.parts == ["images"]


def test_both_are_noted(slide, ada):
    signing.sign(slide, ada)
    before = summary.of_slide(slide)["headline"]
    read(slide)
    signing.amend(slide, ada, "One more.")
    amended, signed = Event.objects.all()[:2]
    assert [signed.action, signed.kind, signed.name] == ["signed", "report", "KSM-7, report 1"]
    assert [amended.action, amended.name] == ["amended", "KSM-7, report 2"]
    assert signed.changes == {"headline": [None, before]}
    assert amended.changes["headline"] == [before, summary.of_slide(slide)["headline"]]
    assert amended.changes["reason"] == ["", "One more."]


def test_of_two_who_sign_at_once_one_does(real_database, monkeypatch):
    laboratory = laboratory_of("ada")
    slide = new_slide(laboratory)
    read(slide)
    users = [laboratory.members.get(), join(laboratory, "ben").user]
    slow_down(monkeypatch, signing, "check")
    outcomes = at_once(*(partial(signing.sign, slide, user) for user in users))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CannotSign", "Report"]
    assert Report.objects.count() == 1
