"""Signing up, in and out, with and without an invitation."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core import mail
from django.urls import reverse

from diagnosis.models import Invitation, Role
from tests.people import PASSWORD, laboratory_of, person, signed_in
from tests.test_access import body

pytestmark = pytest.mark.django_db
SIGN_UP, SIGN_IN, SIGN_OUT = "/accounts/signup/", "/accounts/login/", "/accounts/logout/"


def form(username="ada", **fields):
    return {"username": username, "password1": PASSWORD, "password2": PASSWORD} | fields


def credentials(login, password=PASSWORD, **fields):
    return {"login": login, "password": password} | fields


@pytest.fixture
def invitation():
    laboratory = laboratory_of("owner", "Kisumu")
    return Invitation.objects.create(
        laboratory=laboratory, invited_by=User.objects.get(), role=Role.TECHNICIAN
    )


@pytest.fixture
def way_back(invitation):
    return reverse("invitation", args=[invitation.token])


def memberships(username):
    found = User.objects.get(username=username).memberships
    return list(found.values_list("laboratory__name", "role"))


def test_sign_up_gives_an_account_and_a_laboratory_of_ones_own(client):
    assert client.get(SIGN_UP).status_code == 200
    response = client.post(SIGN_UP, form())
    assert response.status_code == 302
    assert memberships("ada") == [("ada's laboratory", Role.ADMINISTRATOR)]
    assert client.session["_auth_user_id"] == str(User.objects.get().pk)
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"username": ""}, "This field is required"),
        ({"username": "a b"}, "Enter a valid username"),
        ({"password1": "short", "password2": "short"}, "at least 10 characters"),
        ({"password1": "password1234", "password2": "password1234"}, "too common"),
        ({"password2": "another long password"}, "same password each time"),
        ({"email": "nonsense"}, "valid email address"),
        ({"username": "taken"}, "already exists"),
        ({"email": "taken@example.org"}, "Another account has this e-mail address"),
    ],
)
def test_a_bad_sign_up_is_refused_in_words(client, fields, words):
    person("taken", email="taken@example.org")
    response = client.post(SIGN_UP, form(**fields))
    assert response.status_code == 200
    assert words in response.content.decode()
    assert User.objects.count() == 1


def test_sign_up_can_be_closed(client, settings):
    settings.SIGNUP_OPEN = False
    person("taken")
    assert "Sign-up is closed" in client.get(SIGN_UP).content.decode()
    answers = [body(client.post(SIGN_UP, form(username=name))) for name in ("taken", "free")]
    assert answers[0] == answers[1]  # who has an account is nobody's business
    assert "Sign-up is closed" in client.post(SIGN_UP, form()).content.decode()
    assert User.objects.count() == 1


@pytest.mark.parametrize("is_open", [True, False])
def test_the_invited_sign_up_into_the_laboratory_that_asked_them(
    client, settings, invitation, way_back, is_open
):
    settings.SIGNUP_OPEN = is_open
    page = client.get(SIGN_UP, {"next": way_back}).content.decode()
    assert "You are invited to <strong>Kisumu</strong> as technician" in page
    response = client.post(SIGN_UP, form(next=way_back), follow=True)
    assert response.redirect_chain[-1][0] == reverse("laboratory", args=[invitation.laboratory.pk])
    assert memberships("ada") == [("Kisumu", Role.TECHNICIAN)]
    invitation.refresh_from_db()
    assert invitation.accepted_by.username == "ada"


@pytest.mark.parametrize("back", ["/invitations/unknown/", "/slides/", "nonsense", "//evil.org/"])
def test_closed_sign_up_does_not_open_for_any_other_way_back(client, settings, back):
    settings.SIGNUP_OPEN = False
    client.post(SIGN_UP, form(next=back))
    assert not User.objects.exists()


def test_a_used_invitation_opens_no_closed_sign_up(client, settings, invitation, way_back):
    settings.SIGNUP_OPEN = False
    Invitation.objects.update(accepted_by=person("carl"))
    client.post(SIGN_UP, form(next=way_back))
    assert not User.objects.filter(username="ada").exists()


@pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.org"])
def test_sign_in_with_username_or_address(client, login):
    user = person("ada", email="ada@example.org")
    response = client.post(SIGN_IN, credentials(login))
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(user.pk)


@pytest.mark.parametrize(
    ("login", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("ada@example.org", "x")]
)
def test_a_wrong_sign_in_is_refused_alike(client, login, password):
    person("ada", email="ada@example.org")
    response = client.post(SIGN_IN, credentials(login, password))
    assert "or the password is not right" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_closed_account_cannot_sign_in(client):
    person("ada", is_active=False)
    response = client.post(SIGN_IN, credentials("ada"), follow=True)
    assert "This account is closed" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_sign_in_returns_to_where_one_came_from_but_not_to_another_site(client):
    person("ada")
    response = client.post(SIGN_IN, credentials("ada", next="/laboratories/"))
    assert response["Location"] == "/laboratories/"
    client.post(SIGN_OUT)
    response = client.post(SIGN_IN, credentials("ada", next="https://evil.example.org/"))
    assert response["Location"] == "/"


def test_a_session_changes_its_key_at_sign_in(client):
    person("ada")
    client.get(SIGN_IN)
    session = client.session
    session["kept"] = "from before"
    session.save()
    client.cookies["sessionid"] = before = session.session_key
    client.post(SIGN_IN, credentials("ada"))
    assert client.session.session_key != before
    assert not session.exists(before)


def test_sign_in_ends_with_the_browser_unless_asked_to_stay(client):
    person("ada")
    client.post(SIGN_IN, credentials("ada"))
    assert client.session.get_expire_at_browser_close()
    client.post(SIGN_OUT)
    client.post(SIGN_IN, credentials("ada", remember="on"))
    assert not client.session.get_expire_at_browser_close()


def test_signing_out_takes_a_post():
    client = signed_in(person("ada"))
    assert "Sign out?" in client.get(SIGN_OUT).content.decode()
    assert "_auth_user_id" in client.session
    client.post(SIGN_OUT)
    assert "_auth_user_id" not in client.session


def test_the_admin_has_no_sign_in_of_its_own(client):
    person("root", is_staff=True, is_superuser=True)
    response = client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert response["Location"].startswith(SIGN_IN)
    assert signed_in(person("ada")).get("/admin/login/").status_code == 403


@pytest.mark.parametrize(
    ("url", "autocomplete"),
    [
        (SIGN_IN, ["username", "current-password"]),
        (SIGN_UP, ["username", "email", "new-password", "new-password"]),
    ],
)
def test_password_managers_know_the_fields(client, url, autocomplete):
    form = client.get(url).context["form"]
    given = [field.field.widget.attrs.get("autocomplete") for field in form.visible_fields()]
    assert [value for value in given if value] == autocomplete


def test_a_mail_server_that_is_down_does_not_stop_a_sign_up(client, settings):
    settings.EMAIL_CONFIGURED, settings.ACCOUNT_EMAIL_VERIFICATION = True, "optional"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    response = client.post(SIGN_UP, form(email="ada@example.org"))
    assert "could not be sent" in str(list(get_messages(response.wsgi_request)))
    assert memberships("ada")


def test_with_a_mail_server_the_address_is_to_be_confirmed_but_not_waited_for(client, settings):
    settings.EMAIL_CONFIGURED, settings.ACCOUNT_EMAIL_VERIFICATION = True, "optional"
    client.post(SIGN_UP, form(email="ada@example.org"))
    assert "_auth_user_id" in client.session
    (message,) = mail.outbox
    link = next(word for word in message.body.split() if "/confirm-email/" in word)
    assert "Confirm your address" in client.get(link).content.decode()
    client.post(link)
    assert EmailAddress.objects.get().verified
