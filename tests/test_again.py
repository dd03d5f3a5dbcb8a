from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from diagnosis import again, current, intake, registry, tasks, verdict
from diagnosis.models import Prediction, Slide, State
from ml.artifact import ArtifactError
from ml.decisions import Thresholds
from tests.databases import at_once, slow_down
from tests.people import laboratory_of
from tests.readings import active_model, another_model, failed, new_slide, read, waiting
from tests.test_tasks import Answers


@pytest.fixture
def predictor(monkeypatch):
    predictor = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: predictor)
    return predictor


@pytest.fixture
def sent(monkeypatch):
    messages: list[list[int]] = []
    monkeypatch.setattr(tasks.analyse, "apply_async", lambda args, **_: messages.append(args[0]))
    return messages


@pytest.fixture
def slide(db):
    return new_slide(laboratory_of("ada"))


@pytest.fixture
def old(slide):
    """Read by a version that is no longer active."""
    row = read(slide, "uninfected")
    registry.activate(another_model())
    return row


def new_row(old):
    return old.image.predictions.exclude(pk=old.pk).get()


def current_of(image):
    return image.predictions.get(is_current=True)


def analyse(row):
    tasks.analyse([row.pk])
    row.refresh_from_db()


class TestAsked:
    def test_the_active_version_gets_rows_of_its_own(
        self, slide, old, sent, django_capture_on_commit_callbacks
    ):
        before = Prediction.objects.values().get()
        with django_capture_on_commit_callbacks(execute=True):
            assert again.analyse_again(slide) == 1
        new = new_row(old)
        assert (new.state, new.is_current, new.slide) == ("queued", False, slide)
        assert new.model == registry.active_model()
        assert sent == [[new.pk]]
        assert Prediction.objects.values().get(pk=old.pk) == before
        assert again.standing(slide) == again.Standing(new.model, outdated=0, pending=1)

    def test_twice_adds_nothing(self, slide, old):
        again.analyse_again(slide)
        assert again.analyse_again(slide) == 0
        assert slide.predictions.count() == 2

    def test_what_the_active_version_read_or_somebody_reads_now_is_left_alone(self, slide, old):
        mine = read(slide)
        coming = waiting(slide, model=old.model)
        again.analyse_again(slide)
        assert mine.image.predictions.get() == mine
        assert coming.image.predictions.get() == coming

    def test_other_slides_are_left_alone(self, slide, old):
        other = read(new_slide(slide.laboratory), model=old.model)
        again.analyse_again(slide)
        assert other.image.predictions.get() == other

    def test_what_was_never_read_goes_to_the_active_version(self, slide, old):
        row = failed(slide, model=old.model, attempts=3)
        assert again.analyse_again(slide) == 2
        row = row.image.predictions.get()
        assert (row.state, row.model, row.attempts) == ("queued", registry.active_model(), 0)
        assert row.is_current

    def test_without_an_active_version_there_is_a_sentence(self, slide):
        assert again.standing(slide) == again.Standing()
        with pytest.raises(registry.NoModel):
            again.analyse_again(slide)


class TestRead:
    def test_the_new_reading_counts_when_it_is_there(self, slide, old, predictor):
        again.analyse_again(slide)
        assert current_of(old.image) == old
        analyse(new_row(old))
        assert current_of(old.image) == new_row(old)
        assert Slide.objects.get().parasitized == 1
        assert Slide.objects.get().uninfected == 0
        assert again.standing(slide).outdated == again.standing(slide).pending == 0

    def test_a_rejection_counts_too(self, slide, old, predictor):
        predictor.decision = "rejected"
        again.analyse_again(slide)
        analyse(new_row(old))
        assert current_of(old.image).state == State.REJECTED

    def test_the_old_reading_is_not_edited(self, slide, old, predictor):
        again.analyse_again(slide)
        before = Prediction.objects.values().get(pk=old.pk)
        analyse(new_row(old))
        after = Prediction.objects.values().get(pk=old.pk)
        assert after == before | {"is_current": False}

    def test_a_failure_hides_no_good_result(self, slide, old, predictor, settings):
        predictor.faults = dict.fromkeys(range(1, 9), RuntimeError())
        again.analyse_again(slide)
        for _ in range(settings.MAX_ATTEMPTS):
            analyse(new_row(old))
        assert new_row(old).state == State.FAILED
        assert current_of(old.image) == old
        assert Slide.objects.get().uninfected == 1
        assert Slide.objects.get().failed == 0
        standing = again.standing(slide)
        assert (standing.outdated, standing.pending, standing.failed) == (1, 0, 1)

    def test_and_can_be_asked_for_again(self, slide, old, predictor):
        again.analyse_again(slide)
        slide.predictions.filter(is_current=False).update(state=State.FAILED, attempts=3)
        assert again.analyse_again(slide) == 1
        assert (new_row(old).state, new_row(old).attempts) == ("queued", 0)
        analyse(new_row(old))
        assert current_of(old.image) == new_row(old)

    def test_a_version_that_was_rolled_back_takes_nothing_over(self, slide, old, predictor):
        again.analyse_again(slide)
        registry.activate(old.model)
        analyse(new_row(old))
        assert new_row(old).state == State.DONE
        assert current_of(old.image) == old
        assert again.standing(slide).outdated == 0

    def test_an_earlier_reading_by_the_active_version_counts_again(self, slide, old, predictor):
        again.analyse_again(slide)
        analyse(new_row(old))
        registry.activate(old.model)
        assert again.standing(slide).outdated == 1
        before = Prediction.objects.values().get(pk=old.pk)
        assert again.analyse_again(slide) == 1
        assert Prediction.objects.values().get(pk=old.pk) == before | {"is_current": True}
        assert slide.predictions.count() == 2
        assert Slide.objects.get().uninfected == 1

    def test_a_worker_that_lost_its_claim_changes_nothing(self, slide, old, predictor):
        again.analyse_again(slide)

        def lose_it() -> None:
            new = slide.predictions.filter(is_current=False)
            new.update(state=State.DONE, decision="uncertain", token=None)

        predictor.watch = lose_it
        analyse(new_row(old))
        assert new_row(old).decision == "uncertain"
        assert current_of(old.image) == old

    def test_the_sweep_sends_what_no_message_led_to(self, slide, old, predictor, sent):
        again.analyse_again(slide)
        slide.predictions.filter(is_current=False).update(sent_at=None)
        tasks.sweep()
        assert sent == [[new_row(old).pk]]

    def test_the_sweep_puts_back_what_a_killed_worker_held(self, slide, old, settings):
        again.analyse_again(slide)
        long_ago = timezone.now() - 2 * timedelta(seconds=settings.LEASE_SECONDS)
        slide.predictions.filter(is_current=False).update(
            state=State.RUNNING, attempts=1, started_at=long_ago
        )
        tasks.sweep()
        assert new_row(old).state == State.QUEUED
        assert current_of(old.image) == old


class TestKind:
    """A person says what an image is while its first reading is still on its way."""

    def test_what_waits_is_read_as_that(
        self, slide, sent, predictor, django_capture_on_commit_callbacks
    ):
        row = waiting(slide, model=active_model(), attempts=1)
        registry.activate(another_model())
        with django_capture_on_commit_callbacks(execute=True):
            assert again.read_as(row.image, "field")
        row = row.image.predictions.get()
        assert (row.state, row.kind, row.attempts) == ("queued", "field", 0)
        assert row.model == registry.active_model()
        assert row.is_current
        assert sent == [[row.pk]]

    def test_what_a_worker_reads_now_is_taken_from_it(self, slide, predictor):
        row = waiting(slide)
        predictor.watch = lambda: again.read_as(row.image, "field")
        tasks._attempt(tasks._claim([row.pk]))
        row.refresh_from_db()
        assert (row.state, row.kind, row.decision, row.token) == ("queued", "field", "", None)
        assert Slide.objects.get().pending == 1

    def test_what_waits_to_be_read_as_that_already_is_left_alone(self, slide):
        row = waiting(slide, kind="field")
        again.read_as(row.image, "field")
        before = Prediction.objects.values().get()
        assert not again.read_as(row.image, "field")
        assert Prediction.objects.values().get() == before

    def test_it_locks_out_no_worker_that_ends_or_gives_up(
        self, real_database, monkeypatch, settings
    ):
        slide = new_slide(laboratory_of("ada"))
        ends, gives_up = waiting(slide), waiting(slide, attempts=settings.MAX_ATTEMPTS - 1)
        claims = [tasks._claim([row.pk]) for row in (ends, gives_up)]
        answers = Answers()
        monkeypatch.setattr(tasks, "predictor_of", lambda version: answers)
        monkeypatch.setattr(tasks, "send", lambda ids: None)
        for place, name in ((current, "lock"), (tasks.bulk, "write"), (verdict, "recount")):
            slow_down(monkeypatch, place, name)
        outcomes = at_once(
            lambda: tasks._attempt(claims[0]),
            lambda: claims[1].give_back("It broke off."),
            *(partial(again.read_as, row.image, "field") for row in (ends, gives_up)),
        )
        assert outcomes == [None, None, True, True]
        for image in (ends.image, gives_up.image):
            newest = image.predictions.latest("pk")
            assert (newest.state, newest.kind) == ("queued", "field")


class TestBand:
    def test_new_readings_are_decided_with_it(self, slide, predictor):
        registry.set_band(active_model(), Thresholds(0.1, 0.95), "Careful.")
        row = waiting(slide)
        analyse(row)
        assert (row.probability, row.label, row.decision) == (0.9, "parasitized", "uncertain")
        assert row.thresholds == Thresholds(0.1, 0.95)

    def test_it_is_asked_for_at_each_chunk(self, slide, predictor):
        first, second, third = (waiting(slide) for _ in range(3))
        predictor.decision = "parasitized"
        for row, thresholds in ((first, None), (second, Thresholds(0.1, 0.95)), (third, None)):
            registry.set_band(active_model(), thresholds, "Trying.")
            Prediction.objects.filter(pk=row.pk).update(attempts=1)
            tasks._attempt(tasks._claim([row.pk]))
            row.refresh_from_db()
        decisions = [row.decision for row in (first, second, third)]
        assert decisions == ["parasitized", "uncertain", "parasitized"]
        assert [row.band is None for row in (first, second, third)] == [True, False, True]

    def test_what_was_read_stays(self, slide):
        row = read(slide, "parasitized", probability=0.85)
        registry.set_band(active_model(), Thresholds(0.1, 0.95), "Careful.")
        before = Prediction.objects.values().get()
        row.refresh_from_db()
        assert row.thresholds == active_model().own_thresholds
        assert Prediction.objects.values().get() == before

    def test_a_rejection_stays_one(self, slide, predictor):
        predictor.decision = "rejected"
        registry.set_band(active_model(), Thresholds(0.1, 0.95), "Careful.")
        row = waiting(slide)
        analyse(row)
        assert (row.state, row.decision) == ("rejected", "rejected")

    def test_a_band_of_another_version_is_of_no_account(self, slide, predictor):
        registry.set_band(another_model(), Thresholds(0.1, 0.95), "Careful.")
        row = waiting(slide)
        analyse(row)
        assert (row.decision, row.band) == ("parasitized", None)

    def test_no_probability_is_not_overlooked(self, slide, predictor):
        predictor.probability = float("nan")
        registry.set_band(active_model(), Thresholds(0.1, 0.95), "Careful.")
        row = waiting(slide)
        tasks._note(row, predictor.answer(), registry.band_of(active_model()))
        assert row.decision == "uncertain"


def test_a_retry_after_an_activation_keeps_one_row(db):
    row = failed(new_slide(laboratory_of("ada")))
    registry.activate(another_model())
    assert intake.retry(row.image)
    assert row.image.predictions.get().model == registry.active_model()


def test_two_who_ask_at_once_get_one_reading(real_database, monkeypatch):
    slide = new_slide(laboratory_of("ada"))
    rows = [read(slide) for _ in range(3)]
    registry.activate(another_model())
    slow_down(monkeypatch, again, "outdated")
    outcomes = at_once(*[lambda: again.analyse_again(slide)] * 5)
    assert sorted(outcomes) == [0, 0, 0, 0, 3]
    assert slide.predictions.count() == 2 * len(rows)


def test_asking_while_readings_end_locks_nobody_out(real_database, monkeypatch):
    """Workers finish, people ask and try again, all on one slide."""
    slide = new_slide(laboratory_of("ada"))
    first = active_model()
    rows = [read(slide) for _ in range(4)]
    never = failed(slide)
    registry.activate(another_model())
    again.analyse_again(slide)
    answers = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: answers)
    slow_down(monkeypatch, current, "lock")
    new = list(slide.predictions.filter(is_current=False).values_list("pk", flat=True))
    outcomes = at_once(
        *(lambda pk=pk: tasks._attempt(tasks._claim([pk])) for pk in new),
        lambda: again.analyse_again(slide),
        lambda: intake.retry(never.image),
        lambda: again.analyse_again(slide),
    )
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    for row in rows:
        assert current_of(row.image).model != first
        assert current_of(row.image).state == State.DONE
    slide.refresh_from_db()
    assert (slide.parasitized, slide.pending) == (4, 1)


def test_two_workers_that_end_readings_of_the_same_slides_do_not_wait_for_each_other(
    real_database, monkeypatch
):
    """Each takes over on one slide, and both count both."""
    laboratory = laboratory_of("ada")
    slides = [new_slide(laboratory), new_slide(laboratory)]
    for slide in slides:
        read(slide)
    registry.activate(another_model())
    for slide in slides:
        again.analyse_again(slide)
    beside = [slide.predictions.get(is_current=False).pk for slide in slides]
    chunks = [[beside[0], waiting(slides[1]).pk], [beside[1], waiting(slides[0]).pk]]
    answers = Answers()
    monkeypatch.setattr(tasks, "predictor_of", lambda version: answers)
    slow_down(monkeypatch, current, "lock")
    outcomes = at_once(*(lambda ids=ids: tasks._attempt(tasks._claim(ids)) for ids in chunks))
    assert outcomes == [None, None]
    assert set(Prediction.objects.values_list("state", flat=True)) == {"done"}


def test_a_model_that_cannot_be_loaded_hides_nothing(db, monkeypatch, settings):
    slide = new_slide(laboratory_of("ada"))
    old = read(slide)
    registry.activate(another_model())
    again.analyse_again(slide)

    def broken(version):
        raise ArtifactError("It is broken.")

    monkeypatch.setattr(tasks, "predictor_of", broken)
    monkeypatch.setattr(tasks, "PAUSE", 0)
    for _ in range(settings.MAX_ATTEMPTS):
        tasks.analyse([new_row(old).pk])
    assert (new_row(old).state, new_row(old).attempts) == ("queued", 0)
    assert current_of(old.image) == old
    registry.activate(old.model)
    tasks.analyse([new_row(old).pk])
    assert (new_row(old).state, new_row(old).error) == ("failed", "It is broken.")
    assert current_of(old.image) == old
