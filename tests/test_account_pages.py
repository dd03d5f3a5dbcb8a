"""Pages of accounts and laboratories hold to the site's Content-Security-Policy and to labels."""

from html.parser import HTMLParser

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from diagnosis.models import Invitation
from tests.people import PASSWORD, join, laboratory_of, signed_in

pytestmark = pytest.mark.django_db
ENTRANCE = [
    "account_login",
    "account_signup",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key_done",
    "account_inactive",
    "account_email_verification_sent",
]
OWN = [
    "account_logout",
    "account_change_password",
    "account_email",
    "account_reauthenticate",
    "mfa_index",
    "mfa_activate_totp",
    "laboratories",
]
OF_A_LABORATORY = ["laboratory", "laboratory_leave", "laboratory_hand_over"]
OF_A_MEMBER = ["member_remove", "member_reset"]
SECOND_FACTOR = [
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_reauthenticate",
]


class Page(HTMLParser):
    """What a strict policy would block, and fields that a screen reader could not name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.fields: list[dict[str, str | None]] = []
        self.labelled: set[str | None] = set()
        self.headings = self.in_label = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.blocked.append(tag)
        self.blocked += [name for name in given if name == "style" or name.startswith("on")]
        self.headings += tag == "h1"
        if tag == "label":
            self.in_label += 1
            self.labelled.add(given.get("for"))
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            self.fields.append(given | {"inside": "yes" if self.in_label else None})

    def handle_endtag(self, tag: str) -> None:
        self.in_label -= tag == "label"

    @property
    def nameless(self) -> list[dict[str, str | None]]:
        return [
            field
            for field in self.fields
            if not (field.get("aria-label") or field["inside"] or field.get("id") in self.labelled)
        ]


def assert_sound(response):
    assert response.status_code == 200
    page = Page(response.content.decode())
    assert (page.blocked, page.nameless, page.headings) == ([], [], 1)
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    """Signed in, and has just typed the password once more."""
    client = signed_in(laboratory.memberships.get().user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


@pytest.mark.parametrize("name", ENTRANCE)
def test_pages_of_the_entrance(client, name):
    assert_sound(client.get(reverse(name)))


@pytest.mark.parametrize("name", OWN)
def test_pages_of_ones_own(ada, name):
    assert_sound(ada.get(reverse(name)))


@pytest.mark.parametrize("name", OF_A_LABORATORY)
def test_pages_of_a_laboratory(ada, laboratory, name):
    join(laboratory, "ben")
    ada.post(reverse("laboratory_invite", args=[laboratory.pk]), {"role": "clinician"})
    assert_sound(ada.get(reverse(name, args=[laboratory.pk])))


@pytest.mark.parametrize("name", OF_A_MEMBER)
@pytest.mark.parametrize("method", ["get", "post"])
def test_pages_of_a_member(ada, laboratory, name, method):
    url = reverse(name, args=[laboratory.pk, join(laboratory, "ben").pk])
    assert_sound(getattr(ada, method)(url, follow=True))


@pytest.mark.parametrize("name", SECOND_FACTOR)
def test_pages_of_the_second_factor(ada, laboratory, name):
    user = laboratory.memberships.get().user
    Authenticator.objects.create(user=user, type="totp", data={"secret": "A" * 32})
    ada.post(reverse("mfa_generate_recovery_codes"))
    assert_sound(ada.get(reverse(name)))


def test_the_page_that_asks_for_a_code(laboratory):
    user = laboratory.memberships.get().user
    Authenticator.objects.create(user=user, type="totp", data={"secret": "A" * 32})
    credentials = {"login": "ada", "password": PASSWORD}
    assert_sound(Client().post(reverse("account_login"), credentials, follow=True))


def test_the_page_of_an_invitation(client, ada, laboratory):
    ada.post(reverse("laboratory_invite", args=[laboratory.pk]), {"role": "clinician"})
    url = reverse("invitation", args=[Invitation.objects.get().token])
    assert_sound(client.get(url))
    stranger = laboratory_of("eve", "Mombasa").memberships.get().user
    assert_sound(signed_in(stranger).get(url))


@pytest.mark.parametrize("name", ["account_login", "account_signup"])
def test_pages_with_errors(client, name):
    assert_sound(client.post(reverse(name), {}))
