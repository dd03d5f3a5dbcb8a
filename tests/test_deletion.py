"""Slides that are deleted: hidden, restored, purged."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis import deletion, intake, learning, signing
from diagnosis.models import Event, Prediction, Role, Slide, SmearImage
from ml.datasets import DataError
from tests.people import join, laboratory_of, signed_in
from tests.readings import active_model, new_slide, png, read, read_field

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    slide = new_slide(laboratory, "KSM-7")
    read(slide, "parasitized"), read_field(slide, "uninfected")
    return slide


def delete(client, slide):
    return client.post(reverse("slide_delete", args=[slide.pk]), follow=True)


def restore(client, slide):
    address = reverse("slide_restore", args=[slide.laboratory_id, slide.pk])
    return client.post(address, follow=True)


def long_ago(slide, days=31):
    Slide.objects.filter(pk=slide.pk).update(deleted_at=timezone.now() - timedelta(days=days))


def purge():
    out = StringIO()
    call_command("purge", stdout=out)
    return out.getvalue().strip()


def test_a_deleted_slide_is_nowhere(ada, slide):
    image = slide.images.first()
    assert "can restore it within 30 days" in delete(ada, slide).text
    for name, pk in (("slide", slide.pk), ("slide_csv", slide.pk), ("image_photo", image.pk)):
        assert ada.get(reverse(name, args=[pk])).status_code == 404
    assert "KSM-7" not in ada.get(reverse("history")).text
    assert b"KSM-7" not in ada.get(reverse("history_csv")).getvalue()
    assert delete(ada, slide).status_code == 404


def test_the_page_asks_first(ada, slide):
    page = ada.get(reverse("slide_delete", args=[slide.pk]))
    assert "Delete slide KSM-7?" in page.text
    assert Slide.objects.get().deleted_at is None


def test_who_deletes_a_slide(laboratory, slide):
    made = join(laboratory, "mary", Role.TECHNICIAN).user
    own = new_slide(laboratory, created_by=made)
    page = reverse("slide", args=[slide.pk])
    for role in (Role.TECHNICIAN, Role.CLINICIAN, Role.REVIEWER):
        client = signed_in(join(laboratory, f"a {role}", role).user)
        assert delete(client, slide).status_code == 403
        assert reverse("slide_delete", args=[slide.pk]) not in client.get(page).text
    assert delete(signed_in(made), own).status_code == 200
    outsider = signed_in(laboratory_of("eve", "Mombasa").members.get())
    assert delete(outsider, slide).status_code == 404
    answer = Client().post(reverse("slide_delete", args=[slide.pk]))
    assert answer["Location"].startswith(reverse("account_login"))
    assert set(Slide.objects.filter(deleted_at=None)) == {slide}


def test_a_signed_slide_is_for_administrators_to_delete(ada, laboratory):
    mary = join(laboratory, "mary", Role.CLINICIAN).user
    own = new_slide(laboratory, created_by=mary)
    read(own, "parasitized")
    signing.sign(own, mary)
    assert delete(signed_in(mary), own).status_code == 403
    assert delete(ada, own).status_code == 200


def test_what_is_signed_while_its_maker_deletes_it_stays(laboratory, monkeypatch):
    mary = join(laboratory, "mary", Role.CLINICIAN).user
    own = new_slide(laboratory, created_by=mary)
    read(own, "parasitized")
    monkeypatch.setattr(deletion, "lock", lambda _: signing.sign(own, laboratory.members.first()))
    assert delete(signed_in(mary), own).status_code == 403
    assert Slide.objects.get(pk=own.pk).deleted_at is None


def test_it_comes_back_as_it_was(ada, laboratory, slide):
    delete(ada, slide)
    page = ada.get(reverse("laboratory_deleted", args=[laboratory.pk]))
    assert "KSM-7" in page.text
    assert "accounts.css" in page.text  # which arranges its list
    assert "is back, as it was" in restore(ada, slide).text
    assert slide.predictions.count() == 2
    actions = Event.objects.filter(subject=str(slide.pk)).order_by("pk")
    assert list(actions.values_list("action", flat=True)) == ["deleted", "restored", "saw"]
    assert restore(ada, slide).status_code == 404


def test_administrators_alone_restore(ada, laboratory, slide):
    delete(ada, slide)
    assert restore(signed_in(join(laboratory, "ben").user), slide).status_code == 403
    eve = laboratory_of("eve", "Mombasa")
    outsider = signed_in(eve.members.get())
    assert restore(outsider, slide).status_code == 404
    address = reverse("slide_restore", args=[eve.pk, slide.pk])
    assert outsider.post(address).status_code == 404
    assert Slide.objects.get().deleted_at


def test_its_code_may_be_given_again_and_then_it_waits(ada, laboratory, slide):
    delete(ada, slide)
    twin = new_slide(laboratory, "KSM-7")
    assert "Another slide has the code KSM-7 now" in restore(ada, slide).text
    delete(ada, twin)
    assert "is back" in restore(ada, slide).text


def test_what_is_deleted_teaches_nothing(ada, slide, tmp_path):
    SmearImage.objects.update(reviewed="parasitized")
    assert learning.reviewed_examples(tmp_path)
    delete(ada, slide)
    with pytest.raises(DataError):
        learning.reviewed_examples(tmp_path)


def test_the_same_picture_is_not_linked_to_a_deleted_slide(ada, laboratory, settings):
    settings.CELERY_BROKER_URL = "memory://"
    active_model()
    user, first = laboratory.members.get(), new_slide(laboratory)
    [receipt] = intake.receive(first, [file()], user)
    Prediction.objects.update(state="done", decision="uninfected", probability=0.1)
    delete(ada, first)
    [receipt] = intake.receive(new_slide(laboratory), [file()], user)
    assert receipt.code == "new"
    assert Prediction.objects.get(image=receipt.image).state == "queued"


def file():
    from django.core.files.uploadedfile import SimpleUploadedFile

    return SimpleUploadedFile("cell.png", png(3))


class TestPurge:
    def test_after_thirty_days_rows_and_files_are_gone(self, ada, laboratory, slide, settings):
        kept = new_slide(laboratory)
        read(kept)
        delete(ada, slide)
        long_ago(slide)
        assert len(list(settings.MEDIA_ROOT.rglob("*.png"))) == 3
        assert restore(ada, slide).status_code == 404
        assert purge() == "1 slide is gone for good."
        assert list(Slide.objects.all()) == [kept]
        assert len(list(settings.MEDIA_ROOT.rglob("*.png"))) == 1
        event = Event.objects.filter(action="purged").get()
        assert (event.who, event.name, event.changes) == (
            "command line",
            "KSM-7",
            {"images": [2, 0]},
        )
        assert purge() == "0 slides are gone for good."

    def test_not_before(self, ada, slide):
        delete(ada, slide)
        long_ago(slide, days=29)
        assert purge() == "0 slides are gone for good."
        assert "is back" in restore(ada, slide).text
        assert purge() == "0 slides are gone for good."

    def test_what_is_restored_just_in_time_stays(self, ada, slide, monkeypatch, settings):
        delete(ada, slide)
        long_ago(slide)
        monkeypatch.setattr("diagnosis.storage.require", lambda: deletion.restore(slide))
        assert purge() == "0 slides are gone for good."
        assert slide.predictions.count() == 2
        assert len(list(settings.MEDIA_ROOT.rglob("*.png"))) == 2

    def test_two_purges_at_once_note_it_once(self, ada, slide, monkeypatch):
        delete(ada, slide)
        long_ago(slide)
        other = deletion._purge
        monkeypatch.setattr("diagnosis.storage.require", lambda: other(slide))
        assert purge() == "0 slides are gone for good."
        assert Event.objects.filter(action="purged").count() == 1

    def test_a_file_that_cannot_be_deleted_holds_up_nothing(self, ada, slide, monkeypatch, caplog):
        delete(ada, slide)
        long_ago(slide)

        def broken(*_):
            raise OSError("no")

        monkeypatch.setattr("django.core.files.storage.FileSystemStorage.delete", broken)
        assert purge() == "1 slide is gone for good."
        assert "could not be deleted" in caplog.text

    def test_while_the_images_are_away_everything_waits(self, ada, slide, settings):
        delete(ada, slide)
        long_ago(slide)
        away = settings.MEDIA_ROOT.rename(settings.VAR / "away")
        with pytest.raises(CommandError, match="No slide was removed"):
            purge()
        assert slide.images.count() == 2
        away.rename(settings.MEDIA_ROOT)
        assert purge() == "1 slide is gone for good."
        assert not list(settings.MEDIA_ROOT.rglob("*.png"))

    def test_what_needs_no_images_does_not_wait_for_them(self, ada, slide, settings):
        ages = timezone.now() - timedelta(days=31)
        slide.notices.create(user=slide.laboratory.members.get(), kind="critical", seen_at=ages)
        delete(ada, slide)
        long_ago(slide)
        settings.MEDIA_ROOT.rename(settings.VAR / "away")
        with pytest.raises(CommandError):
            purge()
        assert not slide.notices.exclude(seen_at=None)


def test_a_program_deletes_as_a_person_does(laboratory, slide):
    from tests.test_api import program_of

    ben = program_of(join(laboratory, "ben").user)
    ada = program_of(laboratory.members.get(username="ada"))
    address = reverse("api_slide", args=[slide.pk])
    assert ben.delete(address).status_code == 403
    assert ada.delete(address).status_code == 204
    assert ada.get(address).status_code == 404
    assert deletion.deleted(laboratory).get() == slide
