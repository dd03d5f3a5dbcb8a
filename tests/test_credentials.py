"""What changes of an account's password, address, second factor and sign-ins entail."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.management import call_command
from django.test import Client

from diagnosis import passwords, tokens
from tests.people import PASSWORD, join, laboratory_of, signed_in
from tests.test_second_factor import TURN_OFF, TURN_ON, code, confirm
from tests.test_tokens import PAGE as TOKENS

pytestmark = pytest.mark.django_db
NEW = "another long password"
NEW_PASSWORD = {"password1": NEW, "password2": NEW}


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def text(ada):
    """Of a token."""
    return tokens.new(ada, "scanner")[1]


@pytest.fixture
def client(ada):
    return signed_in(ada)


def events(laboratory):
    """Newest first; without those of tokens."""
    found = laboratory.events.filter(kind="user")
    return list(found.values_list("who", "action", "name", "changes"))


def change_password(client):
    answer = client.post("/accounts/password/change/", {"oldpassword": PASSWORD, **NEW_PASSWORD})
    assert answer.status_code == 302


def reset_password(user):
    client = Client()
    page = client.get(passwords.reset_path(user))
    assert client.post(page["Location"], NEW_PASSWORD).status_code == 302


class TestTokensEnd:
    def test_with_the_password(self, client, text):
        change_password(client)
        assert tokens.find(text) is None

    def test_with_a_password_that_is_reset_by_a_link(self, ada, text):
        reset_password(ada)
        assert tokens.find(text) is None

    @pytest.mark.parametrize("options", [["--random"], ["--remove-second-factor"]])
    def test_by_the_operators_command(self, ada, text, options, capsys):
        TOTP.activate(ada, generate_totp_secret())
        call_command("reset_password", "ada", *options)
        assert tokens.find(text) is None

    def test_not_with_a_link_that_nobody_followed(self, ada, text):
        call_command("reset_password", "ada")
        assert tokens.find(text)

    def test_with_the_second_factor(self, ada, client, text):
        TOTP.activate(ada, generate_totp_secret())
        page = confirm(client, TURN_OFF)
        assert "Your API tokens are revoked with it." in page.text
        assert tokens.find(text)
        client.post(TURN_OFF)
        assert tokens.find(text) is None

    def test_with_all_sign_ins(self, client, text):
        page = client.get("/accounts/sessions/").text
        assert "disabled" not in page[page.index("Sign out everywhere else</button>") - 60 :]
        client.post("/accounts/sessions/")
        assert tokens.find(text) is None
        assert client.get("/laboratories/").status_code == 200

    def test_not_those_of_others(self, laboratory, client, text):
        _, theirs = tokens.new(join(laboratory, "ben").user, "scanner")
        change_password(client)
        client.post("/accounts/sessions/")
        assert tokens.find(theirs)

    def test_not_when_a_hash_is_made_stronger(self, ada, text, settings):
        strong = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
        settings.PASSWORD_HASHERS = [strong, *settings.PASSWORD_HASHERS]
        Client().post("/accounts/login/", {"login": "ada", "password": PASSWORD})
        ada.refresh_from_db()
        assert ada.password.startswith("pbkdf2")
        assert tokens.find(text)


class TestWithoutTheSecondFactorThatTheSiteAsksFor:
    @pytest.fixture(autouse=True)
    def _asked_of_reviewers(self, settings):
        settings.SECOND_FACTOR = "reviewers"

    def test_no_token_is_made(self, ada, client):
        client.post(f"/accounts/reauthenticate/?next={TOKENS}", {"password": PASSWORD})
        for answer in (client.get(TOKENS), client.post(TOKENS, {"name": "scanner"})):
            assert answer["Location"] == TURN_ON
        assert not ada.tokens.exists()

    @pytest.mark.parametrize(
        "page", ["email/", "password/change/", "notifications/", "sessions/", "tokens/1/revoke/"]
    )
    def test_nothing_of_the_account_is_changed(self, client, page):
        assert client.post(f"/accounts/{page}")["Location"] == TURN_ON

    def test_a_token_of_before_opens_nothing(self, ada, text):
        program = Client(headers={"authorization": f"Bearer {text}"})
        refused = program.get("/api/v1/slides/")
        assert refused.status_code == 403
        assert "asks you for a second factor" in refused.json()["detail"]
        TOTP.activate(ada, generate_totp_secret())
        assert program.get("/api/v1/slides/").status_code == 200

    def test_a_technicians_token_works(self, laboratory):
        _, text = tokens.new(join(laboratory, "ben", "technician").user, "scanner")
        program = Client(headers={"authorization": f"Bearer {text}"})
        assert program.get("/api/v1/slides/").status_code == 200

    def test_it_can_be_turned_on_and_one_can_sign_out(self, client):
        page = confirm(client, TURN_ON)
        secret = page.context["form"].secret
        answer = client.post(TURN_ON, {"code": code(secret, step=-1)}, follow=True)
        assert "recovery-codes" in answer.redirect_chain[-1][0]
        assert client.get(TOKENS).status_code == 200

    def test_one_can_sign_out_instead(self, client):
        client.post("/accounts/logout/")
        assert "_auth_user_id" not in client.session


class TestWhatIsNoted:
    def test_a_new_password(self, client, laboratory):
        change_password(client)
        assert events(laboratory) == [("ada", "changed", "ada", {"password": [None, "a new one"]})]

    def test_tokens_that_end_with_it(self, client, laboratory, text):
        change_password(client)
        assert laboratory.events.filter(action="deleted", kind="token", name="scanner").exists()

    def test_a_password_that_is_reset_by_a_link(self, ada, laboratory):
        reset_password(ada)
        assert events(laboratory) == [("ada", "changed", "ada", {"password": [None, "a new one"]})]

    def test_by_the_operators_command(self, laboratory, capsys):
        call_command("reset_password", "ada", "--random")
        [(who, *_)] = events(laboratory)
        assert who == "command line"

    @pytest.mark.parametrize("can_send", [True, False])
    def test_a_new_address_but_not_which(self, client, laboratory, settings, mailoutbox, can_send):
        settings.EMAIL_CONFIGURED = can_send
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        client.post("/accounts/email/", {"action_add": "", "email": "ada@example.org"})
        if can_send:
            [link] = [word for word in mailoutbox[-1].body.split() if "confirm-email" in word]
            client.post(link.removeprefix("http://testserver"))
        assert events(laboratory) == [("ada", "changed", "ada", {"e-mail": [None, "a new one"]})]

    def test_an_address_that_is_taken_away(self, ada, client, laboratory):
        EmailAddress.objects.create(user=ada, email="ada@example.org", primary=True)
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        client.post("/accounts/email/", {"action_remove": "", "email": "ada@example.org"})
        assert events(laboratory) == [("ada", "changed", "ada", {"e-mail": ["the former", None]})]

    def test_the_second_factor(self, client, laboratory, django_capture_on_commit_callbacks):
        secret = confirm(client, TURN_ON).context["form"].secret
        with django_capture_on_commit_callbacks(execute=True):
            client.post(TURN_ON, {"code": code(secret, step=-1)})
        client.post(TURN_OFF)
        changes = [change for *_, change in events(laboratory)]
        assert changes == [{"second_factor": [True, False]}, {"second_factor": [False, True]}]

    def test_in_words(self, client, laboratory):
        change_password(client)
        page = client.get(f"/laboratories/{laboratory.pk}/audit/").text
        assert "password: none → a new one" in page
        assert "account" in page
