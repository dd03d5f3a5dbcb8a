import smtplib
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from diagnosis import deletion, notices, post, reviews, tasks, verdict
from diagnosis.models import MailChoice, News, Notice, Prediction, Role, Slide, State
from tests.databases import at_once
from tests.people import join, laboratory_of, signed_in
from tests.readings import new_slide, read, waiting

pytestmark = pytest.mark.django_db
PAGE, CHOICES = "/notifications/", "/accounts/notifications/"


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def with_mail(settings):
    settings.EMAIL_CONFIGURED = True
    settings.SITE_URL = "https://malaria.example.org"


def wants_mail(user, **choice):
    address = f"{user.username}@example.org"
    EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
    return MailChoice.objects.create(user=user, **(choice or {"critical": True, "uploaded": True}))


def told(user):
    return [(notice.slide.code, notice.kind) for notice in notices.of(user).order_by("pk")]


def answer(*predictions, decision="uninfected"):
    """As a worker: their readings end."""
    for row in predictions:
        row.state, row.decision, row.finished_at = State.DONE, decision, timezone.now()
        Prediction.objects.filter(pk=row.pk).update(
            state=row.state, decision=row.decision, finished_at=row.finished_at
        )
    verdict.recount({row.slide_id for row in predictions})


def uploaded(laboratory, user, number, code="UP"):
    slide = new_slide(laboratory, code)
    rows = [waiting(slide) for _ in range(number)]
    slide.images.update(uploaded_by=user)
    return rows


class TestCritical:
    def test_every_member_is_told_once_and_nobody_else(self, laboratory, ada):
        ben = join(laboratory, "ben", Role.TECHNICIAN).user
        eve = laboratory_of("eve", "Mombasa").members.get()
        slide = new_slide(laboratory, "POS")
        read(slide)
        assert told(ada) == []
        for _ in range(3):
            read(slide, "parasitized")
        verdict.recount([slide.pk])
        assert told(ada) == told(ben) == [("POS", News.CRITICAL)]
        assert told(eve) == []

    def test_one_that_is_not_seen_says_it_for_all_further_changes(self, laboratory, ada):
        slide = new_slide(laboratory, "POS")
        image = read(slide, "parasitized").image
        reviews.say(image, ada, "uninfected")
        reviews.take_back(image, ada)
        assert told(ada) == [("POS", News.CRITICAL)]

    def test_one_that_was_seen_is_followed_by_another_if_it_happens_again(self, laboratory, ada):
        ben = join(laboratory, "ben").user
        slide = new_slide(laboratory, "POS")
        image = read(slide, "parasitized").image
        notices.see(ben)
        reviews.say(image, ada, "uninfected")
        reviews.say(image, ada, "parasitized")
        assert told(ben) == [("POS", News.CRITICAL)] * 2

    def test_nobody_is_told_what_they_did_themselves(self, laboratory, ada):
        ben = join(laboratory, "ben").user
        image = read(new_slide(laboratory, "POS")).image
        signed_in(ada).post(reverse("image_review", args=[image.pk]), {"label": "parasitized"})
        assert told(ada) == []
        assert told(ben) == [("POS", News.CRITICAL)]

    def test_a_change_that_fails_tells_nobody(self, laboratory, ada, monkeypatch):
        row = waiting(new_slide(laboratory))
        monkeypatch.setattr(notices, "tell", lambda news: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            answer(row, decision="parasitized")
        assert not Slide.objects.get(pk=row.slide_id).is_critical


class TestUploads:
    def test_many_images_are_a_long_upload(self, laboratory, ada):
        ben = join(laboratory, "ben").user
        rows = uploaded(laboratory, ada, notices.MANY)
        answer(*rows[1:])
        assert told(ada) == []
        answer(rows[0])
        assert told(ada) == [("UP", News.UPLOADED)]
        assert told(ben) == []
        verdict.recount([rows[0].slide_id])
        assert len(told(ada)) == 1

    def test_few_images_that_take_long_are_one_too(self, laboratory, ada):
        rows = uploaded(laboratory, ada, 2)
        Slide.objects.update(pending_since=timezone.now() - notices.LONG)
        answer(*rows)
        assert told(ada) == [("UP", News.UPLOADED)]

    def test_what_is_soon_done_is_told_to_nobody(self, laboratory, ada):
        answer(*uploaded(laboratory, ada, 3))
        assert told(ada) == []

    def test_images_of_an_earlier_upload_do_not_count_again(self, laboratory, ada):
        rows = uploaded(laboratory, ada, notices.MANY)
        answer(*rows)
        notices.see(ada)
        more = waiting(Slide.objects.get())
        Slide.objects.get().images.update(uploaded_by=ada)
        Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(
            finished_at=timezone.now() - timedelta(hours=1)
        )
        answer(more)
        assert len(told(ada)) == 1


class TestPage:
    def test_is_private(self, ada):
        assert Client().get(PAGE)["Location"].startswith(reverse("account_login"))
        assert signed_in(ada).post(PAGE).status_code == 405
        assert signed_in(ada).get(reverse("notices_seen")).status_code == 405

    def test_lists_them_and_the_bell_counts_until_they_are_seen(self, laboratory, ada):
        for code in ("ONE", "TWO"):
            read(new_slide(laboratory, code), "parasitized")
        client = signed_in(ada)
        text = client.get(PAGE).text
        assert text.index("TWO") < text.index("ONE")
        assert 'aria-label="Notifications: 2 not seen"' in text
        slide = Slide.objects.get(code="ONE")
        assert "Notifications: 1 not seen" in client.get(reverse("slide", args=[slide.pk])).text
        client.post(reverse("notices_seen"))
        after = client.get(PAGE).text
        assert 'aria-label="Notifications"' in after
        assert "TWO" in after

    def test_an_empty_one_says_what_will_stand_there(self, ada):
        assert "Nothing yet" in signed_in(ada).get(PAGE).text

    def test_whoever_left_and_a_deleted_slide_show_nothing(self, laboratory, ada):
        ben = join(laboratory, "ben")
        slide = new_slide(laboratory, "POS")
        read(slide, "parasitized")
        ben.delete()
        client = signed_in(ben.user)
        assert "POS" not in client.get(PAGE).text
        assert "not seen" not in client.get(PAGE).text
        deletion.delete(slide, ada)
        assert "POS" not in signed_in(ada).get(PAGE).text

    def test_nobody_marks_those_of_others(self, laboratory, ada):
        read(new_slide(laboratory), "parasitized")
        ben = join(laboratory, "ben").user
        signed_in(ben).post(reverse("notices_seen"))
        assert notices.unseen(ada) == 1

    def test_questions_do_not_grow(self, laboratory, ada, django_assert_num_queries):
        client = signed_in(ada)
        for number in range(8):
            read(new_slide(laboratory), "parasitized")
            if number in (0, 7):
                with django_assert_num_queries(6):
                    client.get(PAGE)

    def test_what_was_seen_long_ago_goes_with_the_purge(self, laboratory, ada):
        read(new_slide(laboratory), "parasitized")
        read(new_slide(laboratory, "NEW"), "parasitized")
        notices.see(ada, slide__code="NEW")
        Notice.objects.exclude(seen_at=None).update(seen_at=timezone.now() - notices.KEPT)
        deletion.purge()
        assert [notice.slide.code for notice in notices.of(ada)] != ["NEW"]
        assert Notice.objects.count() == 1


class TestMail:
    def test_says_only_that_something_is_new(self, laboratory, ada, with_mail):
        wants_mail(ada)
        read(new_slide(laboratory, "KSM-77"), "parasitized")
        tasks.sweep()
        (message,) = mail.outbox
        assert message.to == ["ada@example.org"]
        assert "https://malaria.example.org/notifications/" in message.body
        for word in ("KSM-77", "ositive", "parasit", "critical", "Kisumu"):
            assert word not in message.body + message.subject

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("", "Hello ada"),
            ("fr", "Bonjour ada"),
            ("pt", "Olá, ada"),
            ("sw", "Hello ada"),  # offered once, and no more
        ],
    )
    def test_is_in_the_language_of_whoever_gets_it(
        self, laboratory, ada, with_mail, language, words
    ):
        wants_mail(ada, critical=True, language=language)
        read(new_slide(laboratory), "parasitized")
        with translation.override("fr"):
            assert post.deliver() == 1
        assert mail.outbox[0].body.startswith(words)
        assert ("something is new" in mail.outbox[0].subject) == words.startswith("Hello")
        wording = "Research use only" in mail.outbox[0].body
        assert wording == words.startswith("Hello")

    def test_is_sent_once_and_then_not_for_a_while(self, laboratory, ada, with_mail):
        wants_mail(ada)
        for _ in range(3):
            read(new_slide(laboratory), "parasitized")
        assert (post.deliver(), post.deliver()) == (1, 0)
        read(new_slide(laboratory), "parasitized")
        assert post.deliver() == 0
        MailChoice.objects.update(sent_at=timezone.now() - post.PAUSE - timedelta(seconds=1))
        assert (post.deliver(), post.deliver(), len(mail.outbox)) == (1, 0, 2)

    def test_only_for_what_was_chosen_and_while_it_is_not_seen(self, laboratory, ada, with_mail):
        ben = join(laboratory, "ben").user
        wants_mail(ada, uploaded=True)
        wants_mail(ben, critical=True)
        read(new_slide(laboratory), "parasitized")
        notices.see(ben)
        assert post.deliver() == 0

    def test_whoever_may_not_see_the_slide_any_more_gets_none(self, laboratory, with_mail):
        ben = join(laboratory, "ben")
        wants_mail(ben.user)
        read(new_slide(laboratory), "parasitized")
        ben.delete()
        assert post.deliver() == 0

    def test_an_address_that_nobody_confirmed_gets_none(self, laboratory, ada, with_mail):
        wants_mail(ada)
        EmailAddress.objects.update(verified=False)
        read(new_slide(laboratory), "parasitized")
        assert post.deliver() == 0

    def test_nothing_is_sent_without_a_mail_server(self, laboratory, ada):
        wants_mail(ada)
        read(new_slide(laboratory), "parasitized")
        assert post.deliver() == 0
        assert Notice.objects.get().is_to_mail

    @pytest.mark.parametrize("error", [ConnectionRefusedError(), smtplib.SMTPServerDisconnected()])
    def test_a_mail_server_that_is_away_loses_nothing(
        self, laboratory, ada, with_mail, monkeypatch, error
    ):
        wants_mail(ada)
        read(new_slide(laboratory), "parasitized")
        with monkeypatch.context() as patch:
            patch.setattr(post, "send_mail", lambda *_: (_ for _ in ()).throw(error))
            tasks.sweep()
        assert post.deliver() == 0  # not at once again
        later(post.CLAIM)
        assert post.deliver() == 1

    def test_and_is_asked_once_in_a_while_however_many_wait(
        self, laboratory, ada, with_mail, monkeypatch
    ):
        tried = server(monkeypatch, TimeoutError("timed out"))
        for user in (ada, join(laboratory, "ben").user, join(laboratory, "cleo").user):
            wants_mail(user)
        read(new_slide(laboratory), "parasitized")
        for _ in range(3):
            tasks.sweep()
        assert len(tried) == 1
        later(post.CLAIM)
        tasks.sweep()
        assert len(tried) == len(set(tried)) == 2

    def test_an_address_that_is_refused_for_good_is_written_to_no_more(
        self, laboratory, ada, with_mail, monkeypatch, caplog
    ):
        tried = server(monkeypatch, refusal(550))
        wants_mail(ada)
        read(new_slide(laboratory), "parasitized")
        assert post.deliver() == 0
        assert not Notice.objects.get().is_to_mail
        later(post.CLAIM)
        assert post.deliver() == 0
        assert tried == ["ada@example.org"]
        assert f"user {ada.pk}" in caplog.text
        assert "example.org" not in caplog.text

    @pytest.mark.parametrize("code", [450, 550])
    def test_a_refused_address_keeps_nobody_else_waiting(
        self, laboratory, ada, with_mail, monkeypatch, code
    ):
        tried = server(monkeypatch, refusal(code), "ada@example.org")
        for user in (ada, join(laboratory, "ben").user):
            wants_mail(user)
        read(new_slide(laboratory), "parasitized")
        assert post.deliver() == 1
        assert sorted(tried) == ["ada@example.org", "ben@example.org"]

    def test_an_address_that_is_refused_for_now_is_tried_again(
        self, laboratory, ada, with_mail, monkeypatch
    ):
        wants_mail(ada)
        read(new_slide(laboratory), "parasitized")
        with monkeypatch.context() as patch:
            server(patch, refusal(450))
            assert post.deliver() == 0
        assert post.deliver() == 0
        later(post.CLAIM)
        assert post.deliver() == 1

    def test_a_worker_that_dies_while_sending_is_followed_by_another(
        self, laboratory, ada, with_mail, monkeypatch
    ):
        wants_mail(ada)
        read(new_slide(laboratory), "parasitized")
        with monkeypatch.context() as patch:
            patch.setattr(post, "send_mail", lambda *_: (_ for _ in ()).throw(SystemExit()))
            with pytest.raises(SystemExit):
                post.deliver()
        assert post.deliver() == 0
        later(post.CLAIM)
        assert post.deliver() == 1


def later(pause):
    cache.clear()
    passed = pause + timedelta(seconds=1)
    MailChoice.objects.update(claimed_at=F("claimed_at") - passed)


def server(patch, error, *refused):
    """The addresses that were tried, on a mail server with this error, for all or for some."""
    tried: list[str] = []

    def send(_subject, _text, _from, to):
        tried.extend(to)
        if not refused or to[0] in refused:
            raise error

    patch.setattr(post, "send_mail", send)
    return tried


def refusal(code):
    return smtplib.SMTPRecipientsRefused({"ada@example.org": (code, b"no such user")})


@pytest.mark.django_db(transaction=True)
def test_of_several_workers_one_writes(real_database, with_mail, monkeypatch):
    ada = laboratory_of("ada").members.get()
    wants_mail(ada)
    read(new_slide(ada.memberships.get().laboratory), "parasitized")
    assert sorted(at_once(*[post.deliver] * 4)) == [0, 0, 0, 1]


class TestChoices:
    def test_are_private_and_off_at_first(self, ada, with_mail):
        assert Client().get(CHOICES)["Location"].startswith(reverse("account_login"))
        EmailAddress.objects.create(user=ada, email="a@example.org", verified=True, primary=True)
        text = signed_in(ada).get(CHOICES).text
        assert "checked" not in text
        assert "not confidential" in text

    def test_are_kept_and_taken_back(self, ada, with_mail):
        EmailAddress.objects.create(user=ada, email="a@example.org", verified=True, primary=True)
        client = signed_in(ada)
        assert client.post(CHOICES, {"critical": "on"}).status_code == 302
        choice = MailChoice.objects.get()
        assert (choice.critical, choice.uploaded) == (True, False)
        client.post(CHOICES, {})
        choice.refresh_from_db()
        assert (choice.critical, choice.uploaded) == (False, False)

    def test_the_language_chosen_on_any_page_is_that_of_mails(self, ada):
        client = signed_in(ada)
        client.post(reverse("set_language"), {"language": "xx"})
        assert not MailChoice.objects.exists()
        for language in ("fr", "pt"):
            client.post(reverse("set_language"), {"language": language})
            choice = MailChoice.objects.get(user=ada)
            assert (choice.language, choice.critical, choice.uploaded) == (language, False, False)
        Client().post(reverse("set_language"), {"language": "fr"})
        choice.refresh_from_db()
        assert choice.language == "pt"

    def test_mails_are_in_the_language_in_which_they_were_chosen(self, ada, with_mail):
        EmailAddress.objects.create(user=ada, email="a@example.org", verified=True, primary=True)
        signed_in(ada).post(CHOICES, {"critical": "on"}, headers={"Accept-Language": "fr"})
        assert MailChoice.objects.get().language == "fr"

    def test_without_a_mail_server_it_says_so_and_takes_nothing(self, ada):
        client = signed_in(ada)
        assert "This site cannot send e-mail" in client.get(CHOICES).text
        assert client.post(CHOICES, {"critical": "on"}).status_code == 400
        assert not MailChoice.objects.exists()

    def test_without_a_confirmed_address_it_says_what_to_do(self, ada, with_mail):
        client = signed_in(ada)
        assert "no confirmed address" in client.get(CHOICES).text
        assert client.post(CHOICES, {"critical": "on"}).status_code == 400


def test_the_bell_is_asked_and_answers_only_what_is_new(ada, django_assert_num_queries):
    client = signed_in(ada)
    address = reverse("bell")
    client.get(address)
    with django_assert_num_queries(3):
        assert client.get(address, {"seen": 0}).status_code == 204
    assert 'id="bell"' in client.get(address, {"seen": 4}).text
    assert Client().get(address).status_code == 204
