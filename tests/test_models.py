import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError

from diagnosis.models import ModelVersion, Prediction, Slide, SmearImage, State
from tests.people import laboratory_of
from tests.readings import active_model, new_image, new_slide, read, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def slide():
    return new_slide(laboratory_of("ada"), "S-1")


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "diagnosis", check=True, dry_run=True)


@pytest.mark.parametrize("code", ["S-1", "2026/11.a_B", "7", "x" * 40])
def test_codes(code, slide):
    Slide(laboratory=slide.laboratory, code=code).clean_fields(exclude=["created_by"])


@pytest.mark.parametrize("code", ["", "Mary Smith", "-1", "=1", "é", "a\nb", "x" * 41, "<b>"])
def test_what_is_no_code(code, slide):
    with pytest.raises(ValidationError):
        Slide(laboratory=slide.laboratory, code=code).clean_fields(exclude=["created_by"])


def test_a_code_is_taken_once_in_a_laboratory(slide):
    new_slide(laboratory_of("eve", "Mombasa"), slide.code)
    with pytest.raises(IntegrityError):
        new_slide(slide.laboratory, slide.code)


def test_a_picture_is_once_on_a_slide(slide):
    image = new_image(slide)
    other = new_slide(slide.laboratory)
    SmearImage.objects.create(slide=other, sha256=image.sha256, width=9, height=9)
    with pytest.raises(IntegrityError):
        SmearImage.objects.create(slide=slide, sha256=image.sha256, width=9, height=9)


def test_a_model_reads_an_image_once(slide):
    prediction = read(slide)
    with pytest.raises(IntegrityError):
        read(slide, image=prediction.image, is_current=False)


def test_one_prediction_of_an_image_is_current(slide):
    prediction = read(slide)
    model = ModelVersion.objects.create(name="n", fingerprint="n", path="", manifest={})
    Prediction.objects.create(image=prediction.image, model=model, is_current=False)
    with pytest.raises(IntegrityError):
        Prediction.objects.filter(model=model).update(is_current=True)


def test_a_prediction_knows_its_slide_and_the_slide_its_counts(slide):
    prediction = waiting(slide)
    slide.refresh_from_db()
    assert (prediction.slide, slide.pending) == (slide, 1)
    prediction.state = State.FAILED
    prediction.save()
    slide.refresh_from_db()
    assert (slide.failed, slide.pending) == (1, 0)


@pytest.mark.parametrize(("number", "reason"), [(1, "Why?"), (2, "")])
def test_an_amended_report_has_a_reason_and_the_first_none(slide, number, reason):
    with pytest.raises(IntegrityError):
        slide.reports.create(number=number, reason=reason, content={}, who="ada")


def test_a_slide_has_one_report_of_a_number(slide):
    slide.reports.create(number=1, content={}, who="ada")
    with pytest.raises(IntegrityError):
        slide.reports.create(number=1, content={}, who="ben")


@pytest.mark.parametrize("state", State)
def test_final_states(state):
    assert Prediction(state=state).is_final == (state not in ("queued", "running"))


def test_a_model_that_read_something_is_not_deleted(slide):
    read(slide)
    with pytest.raises(IntegrityError):
        active_model().delete()


def test_what_looks_for_pending_work_uses_an_index(slide):
    found = Prediction.objects.filter(state=State.RUNNING).explain()
    assert "prediction_pending" in found
    assert "prediction_tally" in Prediction.objects.filter(slide=slide, is_current=True).explain()
