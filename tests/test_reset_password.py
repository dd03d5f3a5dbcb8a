from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.test import Client

from tests.people import PASSWORD, person

pytestmark = pytest.mark.django_db
NEW = "quite another password"


@pytest.fixture
def ada():
    return person("ada", is_superuser=True)


def run(*arguments):
    out = StringIO()
    call_command("reset_password", *arguments, stdout=out)
    return out.getvalue()


def test_the_link_sets_a_new_password_once(ada, settings):
    settings.SITE_URL = "http://testserver"
    link = run("ada").split()[-1]
    assert link.startswith("http://testserver/accounts/")
    for password, works in ((NEW, True), (PASSWORD, False)):
        client = Client()
        path = client.get(link).headers.get("Location", link)
        client.post(path, {"password1": password, "password2": password})
        ada.refresh_from_db()
        assert ada.check_password(password) is works


def test_without_an_address_the_link_leads_to_this_machine(ada, settings):
    settings.SITE_URL, settings.PORT = "", 8123
    assert "http://localhost:8123/accounts/" in run("ada")


def test_a_random_password_is_printed_and_works(ada):
    password = run("ada", "--random").split()[-1]
    ada.refresh_from_db()
    assert ada.check_password(password)


def test_the_password_stays_until_the_link_is_used(ada):
    run("ada")
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


@pytest.mark.parametrize(("arguments", "left"), [([], 1), (["--remove-second-factor"], 0)])
def test_the_second_factor_goes_only_when_asked(ada, arguments, left):
    Authenticator.objects.create(user=ada, type="totp", data={"secret": "x"})
    run("ada", *arguments)
    assert Authenticator.objects.count() == left


def test_an_unknown_account_is_a_sentence():
    with pytest.raises(CommandError, match="There is no account nobody"):
        run("nobody")
