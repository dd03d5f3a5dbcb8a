"""Changing the password and the address, and a forgotten password, with and without mail."""

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from tests.people import PASSWORD, person, signed_in

pytestmark = pytest.mark.django_db
CHANGE, EMAIL, FORGOTTEN = (
    "/accounts/password/change/",
    "/accounts/email/",
    "/accounts/password/reset/",
)
NEW = "quite another password"


@pytest.fixture
def ada():
    return person("ada", email="ada@example.org")


@pytest.fixture
def client(ada):
    return signed_in(ada)


@pytest.fixture
def with_mail(settings):
    settings.EMAIL_CONFIGURED = settings.ACCOUNT_EMAIL_NOTIFICATIONS = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"


def link_in(message):
    return next(word for word in message.body.split() if word.startswith("http"))


def new_password(old=PASSWORD, new=NEW, again=NEW):
    return {"oldpassword": old, "password1": new, "password2": again}


def test_the_password_is_changed_and_other_places_are_signed_out(client, ada):
    elsewhere = signed_in(ada)
    response = client.post(CHANGE, new_password(), follow=True)
    assert "Your password is changed" in response.content.decode()
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert client.get(CHANGE).status_code == 200
    assert elsewhere.get(CHANGE).status_code == 302


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (new_password(old="wrong"), "This is not your current password"),
        (new_password(new="short", again="short"), "at least 10 characters"),
        (new_password(again="different password"), "same password each time"),
        ({}, "This field is required"),
    ],
)
def test_a_bad_change_is_refused_in_words(client, ada, data, words):
    assert words in client.post(CHANGE, data).content.decode()
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


@pytest.mark.parametrize("url", [CHANGE, EMAIL])
def test_the_anonymous_are_sent_to_sign_in(url):
    assert Client().get(url)["Location"].startswith("/accounts/login/")
    assert Client().post(url)["Location"].startswith("/accounts/login/")


def change_address(client, email, **data):
    """The change asks for the password once more, then goes on by itself."""
    response = client.post(EMAIL, {"email": email, "action_add": ""} | data)
    if response.status_code == 200:
        return response
    return client.post(response["Location"], {"password": PASSWORD}, follow=True)


def test_without_mail_the_address_changes_at_once(client, ada):
    page = change_address(client, "new@example.org").content.decode()
    assert "Your e-mail address is changed" in page
    assert "Your address is <strong>new@example.org</strong>" in page
    ada.refresh_from_db()
    assert ada.email == "new@example.org"
    credentials = {"login": "new@example.org", "password": PASSWORD}
    assert Client().post("/accounts/login/", credentials).status_code == 302
    credentials["login"] = "ada@example.org"
    assert Client().post("/accounts/login/", credentials).status_code == 200
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("", "This field is required"),
        ("nonsense", "valid email address"),
        ("ada@example.org", "already associated with this account"),
        ("BEN@example.org", "Another account has this e-mail address"),
    ],
)
def test_a_bad_address_is_refused_in_words(client, ada, email, words):
    person("ben", email="ben@example.org")
    assert words in change_address(client, email).content.decode()
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"


def test_the_address_does_not_change_without_the_password(client, ada):
    response = client.post(EMAIL, {"email": "new@example.org", "action_add": ""})
    client.post(response["Location"], {"password": "wrong"}, follow=True)
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"


def test_the_address_can_be_removed(client, ada):
    client.get(EMAIL)
    page = client.post(EMAIL, {"email": "ada@example.org", "action_remove": ""})
    client.post(page["Location"], {"password": PASSWORD})
    ada.refresh_from_db()
    assert ada.email == ""


def test_with_mail_the_new_address_counts_once_confirmed(client, ada, with_mail):
    page = change_address(client, "new@example.org").content.decode()
    assert "waits for its confirmation" in page
    client.post(link_in(mail.outbox[-1]))
    ada.refresh_from_db()
    assert ada.email == "new@example.org"
    assert not ada.emailaddress_set.exclude(email="new@example.org").exists()


def test_without_mail_a_forgotten_password_is_the_administrators_matter(ada):
    page = Client().get(FORGOTTEN).content.decode()
    assert "Ask the administrator of your laboratory" in page
    assert 'name="email"' not in page
    response = Client().post(FORGOTTEN, {"email": "ada@example.org"})
    assert response.status_code == 200
    assert "This site cannot send e-mail" in response.content.decode()
    assert mail.outbox == []


def test_with_mail_a_link_comes(ada, with_mail):
    visitor = Client()
    assert 'name="email"' in visitor.get(FORGOTTEN).content.decode()
    visitor.post(FORGOTTEN, {"email": "ada@example.org"})
    (message,) = mail.outbox
    page = visitor.get(link_in(message), follow=True)
    visitor.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert User.objects.get().check_password(NEW)


def test_with_mail_nobody_learns_who_has_an_account(ada, with_mail):
    known = Client().post(FORGOTTEN, {"email": "ada@example.org"})
    unknown = Client().post(FORGOTTEN, {"email": "nobody@example.org"})
    assert known["Location"] == unknown["Location"]
    assert [message.to for message in mail.outbox] == [["ada@example.org"]]
