import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from diagnosis import (
    carrying,
    cells,
    current,
    disputes,
    history,
    readings,
    reviews,
    roster,
    signing,
    summary,
    verdict,
)
from diagnosis import waiting as waiting_list
from diagnosis.models import Event, Notice, Slide
from diagnosis.readings import NotNow
from tests.people import laboratory_of, signed_in
from tests.readings import (
    again,
    another_model,
    measured_model,
    new_slide,
    places,
    read,
    read_field,
    waiting,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    laboratory = laboratory_of("ada")
    roster.set_second_reading(laboratory, True)
    return laboratory


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "KSM-7")


@pytest.fixture
def image(slide):
    return read(slide, "uncertain").image


def close(slide, *people, conclusion="positive"):
    for user in people:
        readings.conclude(slide, user, conclusion, close=True)
    return again(slide)


def test_the_setting_holds_for_slides_that_are_made_from_then_on(laboratory, slide):
    assert slide.is_read_twice
    roster.set_second_reading(laboratory, False)
    assert not new_slide(laboratory).is_read_twice
    slide.note = "Saved again"
    slide.save()
    assert again(slide).is_read_twice
    assert Event.objects.filter(changes__second_reading=[True, False]).exists()


def test_whoever_speaks_first_takes_the_place_of_their_role(slide, image, ada, ben):
    reviews.say(image, ben, "parasitized")
    reviews.say(image, ada, "parasitized")
    assert places(slide) == {"ben": 2, "ada": 1}


def test_of_two_clinicians_the_later_is_second(slide, image, ada, cleo):
    reviews.say(image, cleo, "parasitized")
    readings.conclude(slide, ada, "negative")
    assert places(slide) == {"cleo": 1, "ada": 2}


def test_a_third_person_does_not_take_part(slide, image, ada, ben, cleo):
    for user in (ada, ben):
        reviews.say(image, user, "parasitized")
    with pytest.raises(NotNow, match=r"Two people read this slide already\."):
        reviews.say(image, cleo, "parasitized")


def test_whoever_is_removed_while_they_speak_takes_no_part(slide, image, ben, monkeypatch):
    def remove(slide_ids):
        roster.remove(slide.laboratory.memberships.get(user=ben))

    monkeypatch.setattr(current, "lock", remove)
    answer = signed_in(ben).post(reverse("image_review", args=[image.pk]), {"label": "uninfected"})
    assert answer.status_code == 403
    assert not slide.readings.exists()


def test_opinions_count_once_both_readings_are_closed(slide, image, ada, ben):
    for user in (ada, ben):
        reviews.say(image, user, "parasitized")
    assert again(image).reviewed == ""
    assert verdict.tally(again(slide)).uncertain == 1
    slide = close(slide, ada)
    assert (again(image).reviewed, slide.concluded) == ("", "")
    slide = close(slide, ben)
    assert (again(image).reviewed, slide.concluded) == ("parasitized", "positive")
    assert (verdict.tally(slide).parasitized, slide.disputed) == (1, 0)


def test_a_closed_reading_stays_as_it_is(slide, image, ada, ben):
    reviews.say(image, ada, "parasitized")
    close(slide, ada)
    for change in (
        lambda: reviews.say(image, ada, "uninfected"),
        lambda: reviews.take_back(image, ada),
        lambda: readings.conclude(slide, ada, "negative"),
    ):
        with pytest.raises(NotNow, match="is closed"):
            change()
    close(slide, ben)
    with pytest.raises(NotNow, match="Both readings"):
        reviews.say(image, ada, "uninfected")


def test_a_reading_is_closed_with_a_conclusion_once_all_is_read(slide, image, ada):
    with pytest.raises(NotNow, match="what you conclude"):
        readings.conclude(slide, ada, "", close=True)
    waiting(slide)
    with pytest.raises(NotNow, match="still being read"):
        readings.conclude(slide, ada, "positive", close=True)
    assert not slide.readings.exists()


def test_where_they_differ_it_is_uncertain_until_it_is_settled(slide, image, ada, ben, cleo):
    reviews.say(image, ada, "parasitized", "A ring.")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben)
    [difference] = disputes.of_slide(slide)
    assert (difference.image, slide.disputed) == (image, 1)
    assert [said.who for said in difference.said] == ["ada", "ben"]
    assert difference.said[0].comment == "A ring."
    assert again(image).reviewed == "uncertain"
    assert signing.hindrance(slide) == "The two readings differ in 1 point: settle them first."
    disputes.settle(slide, cleo, difference.key, "uninfected", "A platelet on the cell.")
    assert (again(image).reviewed, again(slide).disputed) == ("uninfected", 0)
    assert signing.hindrance(slide) == ""
    [difference] = disputes.of_slide(slide)
    assert difference.settlement
    assert difference.settlement.is_third


def test_the_newest_settlement_counts(slide, image, ada, ben):
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben)
    key = f"image-{image.pk}"
    for label in ("parasitized", "cannot-tell"):
        made = disputes.settle(slide, ada, key, label, "We looked at it together.")
        assert not made.is_third
    assert again(image).reviewed == "uncertain"
    assert Event.objects.filter(action="settled").count() == 2


def test_of_two_who_settle_at_once_the_later_looks_again(slide, image, ada, ben, cleo):
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben)
    said = {"key": f"image-{image.pk}", "label": "parasitized", "reason": "A ring.", "seen": 0}
    address = reverse("slide_settle", args=[slide.pk])
    for _click in range(2):
        assert "Settled." in signed_in(cleo).post(address, said, follow=True).text
    other = said | {"label": "uninfected", "reason": "A platelet."}
    assert "meanwhile" in signed_in(ada).post(address, other, follow=True).text
    assert again(image).reviewed == "parasitized"
    page = signed_in(ada).get(reverse("slide", args=[slide.pk])).text
    seen = slide.settlements.get().pk
    assert f'name="seen" value="{seen}"' in page
    signed_in(ada).post(address, other | {"seen": seen})
    assert again(image).reviewed == "uninfected"
    assert signed_in(ada).post(address, other | {"seen": "x"}).status_code == 302


@pytest.mark.parametrize(
    ("key", "label", "reason", "sentence"),
    [
        ("slide", "positive", "Why not.", "do not differ"),
        ("image", "positive", "Not an answer about an image.", "Choose what counts"),
        ("image", "", "Nothing chosen.", "Choose what counts"),
        ("image", "parasitized", "  ", "Say why"),
    ],
)
def test_a_settlement_needs_a_difference_an_answer_and_a_reason(
    slide, image, ada, ben, key, label, reason, sentence
):
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben)
    key = f"image-{image.pk}" if key == "image" else key
    with pytest.raises(disputes.CannotSettle, match=sentence):
        disputes.settle(slide, ada, key, label, reason)
    assert not slide.settlements.exists()


def test_nothing_is_settled_before_both_are_closed(slide, image, ada, ben):
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada)
    with pytest.raises(disputes.CannotSettle):
        disputes.settle(slide, ada, f"image-{image.pk}", "parasitized", "Too early.")


def test_who_says_nothing_accepts_what_the_model_says(slide, ada, ben):
    right, wrong = read(slide, "parasitized").image, read(slide, "parasitized").image
    reviews.say(right, ada, "parasitized")
    reviews.say(wrong, ada, "uninfected")
    slide = close(slide, ada, ben)
    [difference] = disputes.of_slide(slide)
    assert difference.image == wrong
    assert [said.is_own for said in difference.said] == [True, False]
    assert (again(right).reviewed, again(wrong).reviewed) == ("parasitized", "uncertain")


def test_the_conclusions_differ_and_are_settled(slide, image, ada, ben):
    close(slide, ada, conclusion="positive")
    slide = close(slide, ben, conclusion="negative")
    [difference] = disputes.of_slide(slide)
    assert (difference.key, slide.concluded, slide.disputed) == ("slide", "cannot-tell", 1)
    disputes.settle(slide, ben, "slide", "positive", "I missed a field.")
    assert again(slide).concluded == "positive"
    assert verdict.tally(slide).is_critical


def test_one_of_two_who_says_parasites_alarms_until_it_is_settled(laboratory, ada, ben, cleo):
    slide = new_slide(laboratory)
    image = read(slide, "uninfected").image
    reviews.say(image, ada, "parasitized")
    close(slide, ada, conclusion="positive")
    assert not again(slide).is_critical  # ben is still blind to it
    slide = close(slide, ben, conclusion="negative")
    tally = verdict.tally(slide)
    assert (tally.is_critical, tally.result, slide.is_critical) == (True, "uncertain", True)
    assert "tell the responsible clinician" in tally.advice
    assert tally.remarks[0] == verdict.ONE_OF_TWO
    results = {name for name in history.RESULTS if history.search(Slide.objects, result=name)}
    assert results == {"uncertain"}
    told = Notice.objects.filter(slide=slide, kind="critical").values_list("user__username")
    assert {name for (name,) in told} == {"ada", "ben", "cleo"}
    found = waiting_list.slides(cleo).get()
    assert found.waits == waiting_list.Reason.SETTLE  # type: ignore[attr-defined]
    disputes.settle(slide, cleo, f"image-{image.pk}", "uninfected", "A platelet.")
    assert again(slide).is_critical
    disputes.settle(slide, cleo, "slide", "negative", "Nothing in 200 fields.")
    slide = again(slide)
    assert (slide.is_critical, verdict.tally(slide).result) == (False, "uninfected")


def test_a_parasite_that_does_not_count_alarms_on_when_it_is_settled(slide, ada, ben, cleo):
    measured_model()
    image = read_field(slide, "edge", *["uninfected"] * 250).image
    for _ in range(3):
        read_field(slide, *["uninfected"] * 250)
    cell = image.cells.get(is_cut=True)
    cells.say(image, ada, cell.pk, "parasitized")
    slide = close(slide, ada, ben, conclusion="negative")
    disputes.settle(slide, cleo, f"cell-{cell.pk}", "parasitized", "A ring, cut by the edge.")
    tally = verdict.tally(again(slide))
    assert (tally.is_critical, tally.result) == (True, "uncertain")
    disputes.settle(slide, cleo, f"cell-{cell.pk}", "uninfected", "Stain after all.")
    assert not again(slide).is_critical


def test_of_a_chosen_cell_also_what_a_reader_lets_stand_keeps_the_alarm(slide, ada, ben):
    image = read(slide, "parasitized").image
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben, conclusion="cannot-tell")
    assert (slide.disputed, slide.is_critical) == (1, True)


def test_where_nothing_was_read_the_alarm_of_one_waits_to_be_settled(slide, ada, ben, cleo):
    read(slide, "rejected")
    close(slide, ada)
    slide = close(slide, ben, conclusion="negative")
    assert slide in waiting_list.slides(cleo)
    assert "settle them first" in signing.hindrance(slide)


@pytest.mark.django_db(transaction=True)
def test_slides_that_differ_already_alarm_after_an_upgrade(laboratory, ada, ben):
    slide, other = new_slide(laboratory), new_slide(laboratory)
    for one, conclusion in ((slide, "positive"), (other, "cannot-tell")):
        read(one, "uninfected")
        close(one, ada, conclusion=conclusion)
        close(one, ben, conclusion="negative")
    executor = MigrationExecutor(connection)
    executor.migrate([("diagnosis", "0017_language_and_second_reader")])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE diagnosis_slide SET is_critical = %s", [False])
    executor = MigrationExecutor(connection)
    executor.migrate([("diagnosis", "0018_alarm_of_one_reader")])
    assert [again(one).is_critical for one in (slide, other)] == [True, False]
    verdict.recount([slide.pk])
    assert again(slide).is_critical


def test_who_only_lets_stand_what_the_model_said_raises_no_alarm(slide, ada, ben):
    measured_model()
    image = read_field(slide, "parasitized", *["uninfected"] * 30).image
    was = again(slide).is_critical
    cells.say(image, ada, image.cells.first().pk, "uninfected")
    slide = close(slide, ada, ben, conclusion="cannot-tell")
    assert (slide.disputed, slide.suspected, slide.is_critical) == (1, False, was)


def test_cells_differ_too_and_a_drawn_one_that_the_other_did_not_draw(slide, ada, ben):
    measured_model()
    image = read_field(slide, "uncertain", "uninfected").image
    first, second = image.cells.all()
    cells.say(image, ada, first.pk, "parasitized")
    cells.say(image, ben, first.pk, "uninfected")
    cells.say(image, ada, second.pk, "uninfected")
    alone = cells.add(image, ada, [200, 200, 30, 30], "parasitized")
    slide = close(slide, ada, ben)
    found = disputes.of_slide(slide)
    assert [one.cell for one in found] == [first, alone]
    assert found[1].words[1][1] == "not a cell"
    disputes.settle(slide, ada, f"cell-{first.pk}", "parasitized", "A ring.")
    disputes.settle(slide, ada, f"cell-{alone.pk}", "no-cell", "Stain.")
    assert [again(cell).reviewed for cell in (first, second, alone)] == [
        "parasitized",
        "uninfected",
        "removed",
    ]
    assert again(slide).disputed == 0


def test_a_cell_that_both_drew_is_one_cell(slide, ada, ben):
    measured_model()
    image = read_field(slide, "uninfected").image
    one = cells.add(image, ada, [200, 200, 30, 30], "parasitized")
    other = cells.add(image, ben, [203, 202, 30, 30], "parasitized")
    slide = close(slide, ada, ben)
    assert disputes.of_slide(slide) == []
    assert (again(one).reviewed, again(other).reviewed) == ("parasitized", "")
    assert slide.cells_counted == 2


def test_images_that_come_later_are_reviewed_as_anywhere(slide, image, ada, ben, cleo):
    slide = close(slide, ada, ben)
    late = read(slide, "uncertain").image
    reviews.say(late, cleo, "parasitized")
    assert again(late).reviewed == "parasitized"
    assert not any(one.differs for one in disputes.of_slide(slide))
    assert again(slide).disputed == 0


def test_a_slide_is_signed_once_both_are_closed(slide, image, ada, ben):
    assert signing.hindrance(slide) == signing.BEING_READ_TWICE
    close(slide, ada)
    with pytest.raises(signing.CannotSign, match="not both closed"):
        signing.sign(slide, ada)
    slide = close(slide, ben)
    report = signing.sign(slide, ada)
    assert report.content["readings"] == [
        "First reader ada: positive.",
        "Second reader ben: positive.",
    ]
    assert "They agreed." in report.content["second_reading"]
    assert report.content["conclusion"] == "Positive"


def test_the_summary_says_how_it_was_settled(slide, image, ada, ben, cleo):
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    slide = close(slide, ada, ben)
    assert "of which 1 is not settled" in summary.of_slide(slide)["second_reading"]
    disputes.settle(slide, cleo, f"image-{image.pk}", "parasitized", "A ring.")
    said = summary.of_slide(again(slide))
    assert "They differed in 1, settled below." in said["second_reading"]
    assert said["readings"][-1] == (
        f"{image.name}: ada parasitized, ben uninfected. "
        "Settled as parasitized by a third person, cleo: A ring."
    )


@pytest.mark.parametrize("closers", [[], ["ada"]])
def test_a_cell_that_both_drew_is_one_cell_also_where_one_reading_is_enough(
    slide, ada, ben, closers
):
    measured_model()
    image = read_field(slide, "uninfected").image
    one = cells.add(image, ada, [200, 200, 30, 30], "parasitized")
    other = cells.add(image, ben, [203, 202, 30, 30], "parasitized")
    close(slide, *[user for user in (ada, ben) if user.username in closers])
    readings.let_one_do(slide, ada, "Nobody else is here.")
    assert (again(one).reviewed, again(other).reviewed) == ("parasitized", "")
    assert (again(slide).cells_counted, slide.cells_parasitized) == (2, 1)


def test_an_administrator_lets_one_reading_do(slide, image, ada, ben):
    reviews.say(image, ben, "parasitized")
    close(slide, ben)
    with pytest.raises(NotNow):
        readings.let_one_do(slide, ada, " ")
    readings.let_one_do(slide, ada, "Nobody else is here.")
    assert again(image).reviewed == "parasitized"
    slide = again(slide)
    assert (slide.is_read_twice, slide.concluded) == (False, "positive")
    assert signing.hindrance(slide) == ""
    said = summary.of_slide(slide)["second_reading"]
    assert said == "One reading is enough. ada: Nobody else is here."
    assert Event.objects.filter(changes__second_reading=[True, False], name="KSM-7").exists()


def test_a_new_reading_by_a_model_takes_what_both_said_along(slide, ada, ben):
    measured_model()
    image = read_field(slide, "uncertain").image
    cells.say(image, ada, image.cells.get().pk, "parasitized", "A ring.")
    slide = close(slide, ada, ben)
    disputes.settle(slide, ada, f"cell-{image.cells.get().pk}", "parasitized", "Both see it.")
    former = image.predictions.get()
    now = read_field(slide, "uninfected", image=image, model=another_model(), is_current=False)
    type(former).objects.filter(pk=former.pk).update(is_current=False)
    type(former).objects.filter(pk=now.pk).update(is_current=True)
    carrying.take_along(image, former.pk, now)
    cell = now.cells.get()
    assert cell.reviewed == "parasitized"
    assert cell.settlements.get().reason == "Both see it."
    assert cell.reviews.get(is_standing=True).comment == "A ring."


class TestWithoutSecondReading:
    @pytest.fixture
    def slide(self, laboratory):
        roster.set_second_reading(laboratory, False)
        return new_slide(laboratory)

    def test_a_conclusion_counts_at_once_and_can_be_changed(self, slide, image, ada):
        readings.conclude(slide, ada, "negative", "Looked at all of it.")
        assert again(slide).concluded == "negative"
        readings.conclude(slide, ada, "positive")
        assert again(slide).concluded == "positive"
        assert verdict.tally(slide).is_critical
        assert slide.readings.count() == 1
        said = Event.objects.filter(kind="slidereading", action="reviewed").first()
        assert said.changes["conclusion"] == ["negative", "positive"]

    def test_two_who_disagree_cannot_tell(self, slide, image, ada, ben):
        readings.conclude(slide, ada, "negative")
        readings.conclude(slide, ben, "positive")
        assert again(slide).concluded == "cannot-tell"
        assert not verdict.tally(slide).is_critical
        readings.conclude(slide, ben, "")
        assert again(slide).concluded == "negative"

    def test_a_negative_word_does_not_silence_the_alarm(self, slide, ada):
        read(slide, "parasitized")
        readings.conclude(slide, ada, "negative")
        tally = verdict.tally(again(slide))
        assert tally.is_critical
        assert "Concluded negative by a person." in tally.sentence

    def test_a_change_of_it_is_told_of_a_signed_slide(self, slide, image, ada):
        report = signing.sign(slide, ada)
        readings.conclude(slide, ada, "positive")
        change = signing.change(report, Slide.objects.get(pk=slide.pk))
        assert change
        assert change.parts == ["conclusion", "readings"]

    def test_a_report_from_before_there_were_readings_has_not_changed(self, slide, image, ada):
        report = signing.sign(slide, ada)
        for name in ("conclusion", "readings", "second_reading"):
            del report.content[name]
        assert signing.change(report, slide) is None
