"""The second factor with real codes, as an authenticator app makes them."""

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from tests.people import PASSWORD, person, signed_in

pytestmark = pytest.mark.django_db
TURN_ON, TURN_OFF = "/accounts/2fa/totp/activate/", "/accounts/2fa/totp/deactivate/"
CODE, SIGN_IN = "/accounts/2fa/authenticate/", "/accounts/login/"
RECOVERY = "/accounts/2fa/recovery-codes/"


def code(secret, step=0):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


@pytest.fixture
def ada():
    return person("ada")


@pytest.fixture
def client(ada):
    return signed_in(ada)


def confirm(client, url):
    """Such pages ask for the password once more."""
    response = client.get(url)
    assert response["Location"].startswith("/accounts/reauthenticate/")
    return client.post(response["Location"], {"password": PASSWORD}, follow=True)


@pytest.fixture
def secret(client):
    """Of a second factor that is turned on."""
    page = confirm(client, TURN_ON).content.decode()
    (secret,) = re.findall(r'class="code">([A-Z2-7]{32})<', page)
    response = client.post(TURN_ON, {"code": code(secret, step=-1)}, follow=True)
    assert response.redirect_chain[-1][0] == RECOVERY
    return secret


def password_first(login="ada"):
    client = Client()
    response = client.post(SIGN_IN, {"login": login, "password": PASSWORD})
    return client, response


def is_signed_in(client):
    return "_auth_user_id" in client.session


def test_it_is_off_until_turned_on(client):
    assert "It is <strong>off</strong>" in client.get("/accounts/2fa/").content.decode()
    fresh, response = password_first()
    assert is_signed_in(fresh)


def test_the_qr_code_is_an_image_the_page_may_show(client):
    page = confirm(client, TURN_ON)
    assert 'src="data:image/svg+xml;base64,' in page.content.decode()
    assert "data:" in page["Content-Security-Policy"].split("img-src")[1].split(";")[0]


def test_a_wrong_code_does_not_turn_it_on(client, ada):
    confirm(client, TURN_ON)
    page = client.post(TURN_ON, {"code": "000000"}).content.decode()
    assert "Incorrect code" in page
    assert not Authenticator.objects.filter(user=ada).exists()


def test_turned_on_a_password_is_not_enough(secret):
    client, response = password_first()
    assert response["Location"] == CODE
    assert not is_signed_in(client)
    assert client.get("/laboratories/").status_code == 302


def test_the_codes_of_the_app_sign_in(secret):
    client, _ = password_first()
    assert client.get(CODE).status_code == 200
    assert client.post(CODE, {"code": code(secret)})["Location"] == "/"
    assert is_signed_in(client)


def test_a_code_works_once(secret):
    used = code(secret)
    first, _ = password_first()
    first.post(CODE, {"code": used})
    second, _ = password_first()
    assert "Incorrect code" in second.post(CODE, {"code": used}).content.decode()
    assert not is_signed_in(second)


def test_an_old_code_does_not_work(secret):
    client, _ = password_first()
    client.post(CODE, {"code": code(secret, step=-3)})
    assert not is_signed_in(client)


def test_a_code_without_a_password_is_nothing(secret):
    client = Client()
    assert client.post(CODE, {"code": code(secret)})["Location"] == SIGN_IN
    assert not is_signed_in(client)


def test_guesses_at_the_code_are_limited(secret):
    client, _ = password_first()
    pages = [client.post(CODE, {"code": "000000"}).content.decode() for _ in range(6)]
    assert "Too many failed tries" in pages[-1]
    client.post(CODE, {"code": code(secret)})
    assert not is_signed_in(client)


def test_a_recovery_code_signs_in_once(client, secret):
    page = client.get(RECOVERY).content.decode()
    codes = re.findall(r"<li>(\d{8})</li>", page)
    assert len(codes) == 10
    for works in (True, False):
        fresh, _ = password_first()
        fresh.post(CODE, {"code": codes[0]})
        assert is_signed_in(fresh) is works
    assert client.get(f"{RECOVERY}download/").content.decode().split() == codes[1:]


def test_new_recovery_codes_replace_the_old(client, secret):
    before = client.get(RECOVERY).context["unused_codes"]
    client.post(f"{RECOVERY}generate/")
    assert not set(before) & set(client.get(RECOVERY).context["unused_codes"])


def test_recovery_codes_are_shown_after_the_password_alone(ada, secret):
    client = signed_in(ada)
    assert client.get(RECOVERY)["Location"].startswith("/accounts/reauthenticate/")
    assert Client().get(RECOVERY)["Location"].startswith(SIGN_IN)


def test_it_is_turned_off_after_a_question(client, ada, secret):
    assert "Turn off the second factor?" in client.get(TURN_OFF).content.decode()
    assert Authenticator.objects.filter(user=ada).exists()
    client.post(TURN_OFF)
    assert not Authenticator.objects.filter(user=ada).exists()
    fresh, _ = password_first()
    assert is_signed_in(fresh)


def test_an_unconfirmed_address_does_not_stand_in_the_way():
    ben = person("ben", email="ben@example.org")
    EmailAddress.objects.create(user=ben, email="ben@example.org")
    assert "Scan this" in confirm(signed_in(ben), TURN_ON).content.decode()


@pytest.mark.parametrize("url", [TURN_ON, TURN_OFF, "/accounts/2fa/", f"{RECOVERY}generate/"])
def test_the_anonymous_are_sent_to_sign_in(url):
    assert Client().get(url)["Location"].startswith(SIGN_IN)
