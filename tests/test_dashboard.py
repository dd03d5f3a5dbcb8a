from datetime import datetime, time, timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis import dashboard, pulse, readings, reviews, signing, weeks
from diagnosis.models import Event, Role, Slide
from diagnosis.waiting import Reason
from tests.people import join, laboratory_of, person, signed_in
from tests.readings import active_model, failed, new_slide, read, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture(autouse=True)
def _no_pulse():
    cache.clear()


def page(user, **asked):
    return signed_in(user).get(reverse("dashboard"), asked)


def test_is_private_and_only_read(ada):
    assert Client().get(reverse("dashboard"))["Location"].startswith(reverse("account_login"))
    assert signed_in(ada).post(reverse("dashboard")).status_code == 405


def test_a_new_laboratory_is_told_what_to_do(ada):
    text = page(ada).text
    assert "Your first slide" in text
    assert reverse("slide_new") in text
    assert "Week by week" not in text


def test_who_belongs_to_no_laboratory_is_told_where_to_go():
    text = page(person("ned")).text
    assert "You belong to no laboratory" in text
    assert reverse("laboratories") in text


def test_who_has_nothing_to_do_is_told_what_waits_for_others(laboratory):
    tom = join(laboratory, "tom", Role.TECHNICIAN).user
    read(new_slide(laboratory), "parasitized")
    read(new_slide(laboratory))
    text = page(tom).text
    assert "no suspicious cell is unseen" not in text
    assert "Nothing waits for you. 2 slides wait for somebody else." in text
    assert "On 1 slide parasites are suspected" in text


def test_so_is_who_has_closed_their_reading_while_the_other_has_not(ada, laboratory):
    laboratory.second_reading = True
    laboratory.save()
    slide = new_slide(laboratory)
    read(slide, "parasitized")
    readings.conclude(slide, ada, "positive", close=True)
    text = page(ada).text
    assert "no suspicious cell is unseen" not in text
    assert "1 slide waits for somebody else." in text


def test_what_waits_comes_first_each_with_its_reason(ada, laboratory):
    read(new_slide(laboratory, "NEG"))
    read(new_slide(laboratory, "UNSURE"), "uncertain")
    read(new_slide(laboratory, "POS"), "parasitized")
    found = page(ada)
    shown = [(slide.code, slide.why) for slide in found.context["waiting"].slides]
    assert shown == [
        ("POS", Reason.POSITIVE),
        ("UNSURE", Reason.UNCERTAIN),
        ("NEG", Reason.UNSIGNED),
    ]
    assert [n for _, n in found.context["waiting"].counts if n] == [1, 1, 1]
    assert found.text.index(">POS<") < found.text.index(">UNSURE<") < found.text.index("Week by")
    assert reverse("first_slide") in found.text


def test_nothing_that_waits_says_so_and_leads_on(ada, laboratory):
    slide = new_slide(laboratory)
    read(slide)
    signing.sign(slide, ada)
    text = page(ada).text
    assert "Nothing waits for you" in text
    assert reverse("history") in text


def test_roles_wait_for_their_own(laboratory):
    read(new_slide(laboratory, "POS"), "parasitized")
    failed(new_slide(laboratory, "BROKEN"))
    ben = join(laboratory, "ben", Role.TECHNICIAN).user
    assert [slide.code for slide in page(ben).context["waiting"].slides] == ["BROKEN"]


def test_others_see_nothing_of_it(laboratory):
    read(new_slide(laboratory, "OURS"), "parasitized")
    eve = laboratory_of("eve", "Mombasa").members.get()
    assert "OURS" not in page(eve).text
    assert "Your first slide" in page(eve).text
    assert page(eve, laboratory=str(laboratory.pk)).status_code == 404
    assert page(eve, laboratory="nonsense").status_code == 404


def test_several_laboratories_are_shown_together_or_one_by_choice(ada, laboratory):
    other = laboratory_of("eve", "Mombasa")
    other.memberships.create(user=ada, role=Role.CLINICIAN)
    read(new_slide(laboratory, "KSM-1"), "parasitized")
    read(new_slide(other, "MSA-1"), "parasitized")
    both, one = page(ada), page(ada, laboratory=str(other.pk))
    assert ("KSM-1" in both.text, "MSA-1" in both.text) == (True, True)
    assert ("KSM-1" in one.text, "MSA-1" in one.text) == (False, True)
    assert "Mombasa" in both.text
    slides = {chart.name: chart.rows[0][1] for chart in one.context["charts"]()}["slides"]
    assert slides == "1"


def test_slides_of_a_deleted_one_are_left_out(ada, laboratory):
    read(new_slide(laboratory, "GONE"), "parasitized")
    Slide.objects.update(deleted_at=timezone.now())
    assert "Your first slide" in page(ada).text


def test_long_ago_is_said_in_words(ada, laboratory):
    slide = new_slide(laboratory, created_at=timezone.now() - timedelta(weeks=weeks.WEEKS + 1))
    read(slide)
    text = page(ada).text
    assert "No slide was added in the last 26 weeks" in text
    assert "<svg class=" in text


def test_questions_do_not_grow_with_slides(ada, laboratory, django_assert_num_queries):
    client = signed_in(ada)

    def grow(number):
        for _ in range(number):
            slide = new_slide(laboratory)
            image = read(slide, "parasitized").image
            reviews.say(image, ada, "parasitized")
            waiting(slide)

    grow(2)
    client.get(reverse("dashboard"))
    for more in (0, 9):
        grow(more)
        cache.clear()
        with django_assert_num_queries(24):
            client.get(reverse("dashboard"))
        with django_assert_num_queries(17):  # the charts of a moment ago
            client.get(reverse("dashboard"))


class TestWeeks:
    def of(self, laboratory):
        return weeks.of(laboratory.slides.all(), timezone.localdate())

    def test_a_week_is_the_sum_of_its_slides(self, laboratory):
        slide = new_slide(laboratory)
        for decision in ("parasitized", "uncertain", "rejected", "uninfected"):
            read(slide, decision)
        read(new_slide(laboratory))
        failed(new_slide(laboratory))
        week = self.of(laboratory)[-1]
        assert (week.slides, week.with_result, week.suspected) == (3, 2, 1)
        assert (week.answered, week.uncertain, week.rejected) == (5, 1, 1)

    def test_a_slide_that_a_person_calls_positive_has_a_result(self, laboratory):
        slide = new_slide(laboratory)
        read(slide, "rejected")
        readings.conclude(slide, laboratory.members.get(), "positive")
        week = self.of(laboratory)[-1]
        assert (week.with_result, week.suspected) == (1, 1)

    def test_weeks_begin_on_monday_at_the_midnight_of_the_laboratory(self, laboratory, settings):
        settings.TIME_ZONE = "Africa/Nairobi"
        with timezone.override("Africa/Nairobi"):
            today = timezone.localdate()
            monday = today - timedelta(days=today.weekday())
            midnight = timezone.make_aware(datetime.combine(monday, time()))
            new_slide(laboratory, created_at=midnight)
            new_slide(laboratory, created_at=midnight - timedelta(seconds=1))
            found = self.of(laboratory)
        assert [week.slides for week in found[-2:]] == [1, 1]
        assert found[-1].starts == monday

    def test_weeks_before_the_first_slide_are_left_out_but_a_few(self, laboratory):
        new_slide(laboratory)
        assert len(self.of(laboratory)) == weeks.LEAST_SHOWN
        new_slide(laboratory, created_at=timezone.now() - timedelta(weeks=12))
        assert len(self.of(laboratory)) == 13
        new_slide(laboratory, created_at=timezone.now() - timedelta(weeks=40))
        assert sum(week.slides for week in self.of(laboratory)) == 2


def written(laboratory, uncertain):
    """A slide each week, the newest last, with as many of 400 images uncertain."""
    for back, number in enumerate(reversed(uncertain)):
        new_slide(
            laboratory,
            created_at=timezone.now() - timedelta(weeks=back),
            answered=400,
            called_uncertain=number,
            uninfected=400,
        )


class TestCharts:
    STEADY = (8, 12, 9, 11, 10, 8, 12, 10)

    def chart(self, laboratory, name="uncertain"):
        found = dashboard.charts(laboratory.slides.all())
        return next(chart for chart in found if chart.name == name)

    def test_a_week_that_drifted_is_named_with_what_to_do(self, ada, laboratory):
        written(laboratory, [*self.STEADY, 9, 60])
        chart = self.chart(laboratory)
        assert chart.is_alarming
        assert "lies above the limit" in chart.says
        assert "15.0 % uncertain" in chart.says
        assert "stain" in chart.says
        assert [point.is_outside for point in chart.points] == [False] * 9 + [True]
        assert chart.points[-1].label == "15.0 %"
        assert chart.rows[0][-1] == "above the limit"
        assert chart.limits
        text = page(ada).text
        assert "above the limit" in text
        assert 'class="limit"' in text

    def test_weeks_like_the_first_ones_are_in_order(self, laboratory):
        written(laboratory, [*self.STEADY, 9, 13])
        chart = self.chart(laboratory)
        assert not chart.is_alarming
        assert chart.says.startswith("No week lies above the limit")

    def test_few_weeks_are_told_and_get_no_limit(self, laboratory):
        written(laboratory, self.STEADY[:5])
        chart = self.chart(laboratory)
        assert "5 have so far" in chart.says
        assert chart.limits == []
        assert chart.mean == ""

    def test_reviews_do_not_move_the_drift(self, ada, laboratory):
        slide = new_slide(laboratory)
        for _ in range(3):
            reviews.say(read(slide, "uncertain").image, ada, "uninfected")
        assert self.chart(laboratory).rows[0][2] == "3"

    def test_what_is_drawn_stands_in_the_table_too(self, laboratory):
        written(laboratory, [*self.STEADY, 9, 60])
        for chart in dashboard.charts(laboratory.slides.all()):
            assert len(chart.rows) == 10
            assert all(len(row) == len(chart.head) for row in chart.rows)
        assert self.chart(laboratory).rows[0][1:4] == ("400", "60", "15.0 %")
        assert self.chart(laboratory, "slides").rows[0][1:] == ("1", "1", "0")


class TestAgreement:
    def test_few_data_are_told_in_words_without_a_figure(self, ada, laboratory):
        slide = new_slide(laboratory)
        reviews.say(read(slide, "parasitized").image, ada, "parasitized")
        text = page(ada).text
        assert "too few for a figure" in text
        assert "κ" not in text

    def test_nothing_reviewed_says_how_to_begin(self, ada, laboratory):
        read(new_slide(laboratory))
        assert "Nobody has called a cell" in page(ada).text

    def test_enough_gives_kappa_with_its_interval_and_what_it_is_not(self, ada, laboratory):
        for number in range(12):
            new_slide(laboratory, both_parasitized=3, both_uninfected=2, machine_only=number % 2)
        text = page(ada).text
        assert "Cohen&#x27;s kappa, 95 % interval" in text or "Cohen's kappa" in text
        assert "κ = 0.81" in text
        assert "this is no accuracy" in text


class TestMachine:
    def sentence(self, laboratory):
        return dashboard.machine([laboratory.pk])

    def test_it_says_what_waits_and_when_the_last_answer_came(self, laboratory):
        slide = new_slide(laboratory)
        for _ in range(3):
            waiting(slide)
        pulse.answered()
        found = self.sentence(laboratory)
        assert found.sentence == "3 images wait; the last answer came 0 s ago."
        assert found.trouble == ""
        assert found.is_well

    def test_images_of_others_are_not_counted(self, laboratory):
        waiting(new_slide(laboratory_of("eve", "Mombasa")))
        assert self.sentence(laboratory).sentence == "No image waits."

    def test_a_silent_worker_is_told_with_what_to_do(self, laboratory):
        active_model()
        assert "No worker has been seen yet" in self.sentence(laboratory).trouble
        cache.set(pulse.SEEN, timezone.now() - timedelta(minutes=7))
        found = self.sentence(laboratory)
        assert "The worker was last seen 7 min ago" in found.trouble
        assert "are safe" in found.trouble
        assert not found.is_well
        pulse.seen()
        assert self.sentence(laboratory).is_well

    @pytest.mark.parametrize(
        ("what", "words"),
        [(pulse.MODEL, "cannot load the active model"), (pulse.STORAGE, "the stored images")],
    )
    def test_what_a_worker_lacks_is_told(self, laboratory, what, words):
        active_model()
        pulse.lacks(what)
        found = self.sentence(laboratory)
        assert words in found.trouble
        assert not found.is_well

    def test_no_model_is_told(self, laboratory):
        pulse.seen()
        assert "No model is active" in self.sentence(laboratory).trouble

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(8, "8 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"),
         (172_800, "2 days")],
    )  # fmt: skip
    def test_times_are_said_as_people_say_them(self, seconds, words):
        moment = timezone.now() - timedelta(seconds=seconds)
        assert dashboard.ago(moment) == f"{words} ago"


class TestAskedAnew:
    def test_what_waits_is_there_without_the_charts(self, ada, laboratory):
        read(new_slide(laboratory, "POS"), "parasitized")
        text = signed_in(ada).get(reverse("tray")).text
        assert ">POS<" in text
        assert "The machine" in text
        assert "Week by week" not in text

    def test_it_costs_less_and_is_noted_as_nobody_looking(
        self, ada, laboratory, django_assert_num_queries
    ):
        read(new_slide(laboratory), "parasitized")
        client = signed_in(ada)
        client.get(reverse("tray"))
        with django_assert_num_queries(13):
            client.get(reverse("tray"))
        assert not Event.objects.filter(action="saw").exists()
