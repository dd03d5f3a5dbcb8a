"""Personal tokens and the page they are made and revoked on."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from diagnosis import tokens
from diagnosis.models import Token
from tests.people import PASSWORD, person, signed_in

pytestmark = pytest.mark.django_db
PAGE = "/accounts/tokens/"


@pytest.fixture
def ada():
    return person("ada")


@pytest.fixture
def client(ada):
    """Somebody who gave the password a moment ago, as the page wants it."""
    client = signed_in(ada)
    assert client.get(PAGE)["Location"].startswith("/accounts/reauthenticate/")
    client.post(f"/accounts/reauthenticate/?next={PAGE}", {"password": PASSWORD})
    return client


def test_the_text_of_a_token_is_shown_once_and_stored_nowhere(client, ada):
    page = client.post(PAGE, {"name": "scanner"})
    assert "no-store" in page["Cache-Control"]
    [text] = re.findall(r'value="(mlw_[\w-]{43})"', page.text)
    assert text not in str(Token.objects.values())
    later = client.get(PAGE).text
    assert text not in later
    assert f"{text[:10]}…" in later
    assert "never used" in later
    assert tokens.find(text) == ada.tokens.get()
    assert "last used" in client.get(PAGE).text


def test_no_two_tokens_are_alike(ada):
    texts = {tokens.new(ada, f"program {number}")[1] for number in range(5)}
    assert len(texts) == 5


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("scanner", "You have a token of this name already."),
        ("", "This field is required."),
        ("x" * 61, "at most 60 characters"),
    ],
)
def test_a_name_that_will_not_do(client, ada, name, complaint):
    tokens.new(ada, "scanner")
    page = client.post(PAGE, {"name": name})
    assert page.status_code == 400
    assert complaint in page.text
    assert ada.tokens.count() == 1


def test_there_is_an_end_to_tokens(client, ada):
    for number in range(tokens.MOST):
        tokens.new(ada, f"program {number}")
    page = client.post(PAGE, {"name": "one more"})
    assert "revoke one that is no longer used" in page.text
    assert ada.tokens.count() == tokens.MOST


def test_a_revoked_token_opens_nothing(client, ada):
    token, text = tokens.new(ada, "scanner")
    page = client.post(f"{PAGE}{token.pk}/revoke/", follow=True)
    assert "scanner is revoked" in page.text
    assert tokens.find(text) is None


def test_nobody_revokes_the_token_of_another(client, ada):
    token, text = tokens.new(person("ben"), "scanner")
    assert client.post(f"{PAGE}{token.pk}/revoke/").status_code == 404
    assert tokens.find(text) == token


def test_only_people_who_signed_in_have_tokens(ada):
    token, _ = tokens.new(ada, "scanner")
    for answer in (Client().get(PAGE), Client().post(f"{PAGE}{token.pk}/revoke/")):
        assert answer["Location"].startswith("/accounts/login/")
    assert signed_in(ada).get(f"{PAGE}{token.pk}/revoke/").status_code == 405


def test_a_session_that_is_old_cannot_make_one(ada):
    client = signed_in(ada)
    assert client.post(PAGE, {"name": "scanner"}).status_code == 302
    assert not ada.tokens.exists()


def test_the_last_use_is_noted_at_most_once_a_minute(ada):
    token, text = tokens.new(ada, "scanner")
    tokens.find(text)
    token.refresh_from_db()
    first = token.last_used_at
    assert timezone.now() - first < timedelta(seconds=9)
    tokens.find(text)
    token.refresh_from_db()
    assert token.last_used_at == first
    Token.objects.update(last_used_at=first - tokens.NOTED_EVERY)
    tokens.find(text)
    token.refresh_from_db()
    assert token.last_used_at >= first


def test_a_closed_account_has_no_key(ada):
    _, text = tokens.new(ada, "scanner")
    ada.is_active = False
    ada.save()
    assert tokens.find(text) is None
