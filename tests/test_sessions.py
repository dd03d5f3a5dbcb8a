"""How long a sign-in lasts, how it is ended elsewhere, and who needs a second factor."""

import time
from datetime import timedelta
from io import StringIO

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis.models import Role
from diagnosis.sessions import lacks_factor
from tests.people import PASSWORD, join, laboratory_of, person, signed_in

pytestmark = pytest.mark.django_db
SIGN_IN, SESSIONS, PLACE = "/accounts/login/", "/accounts/sessions/", "/slides/"
HOUR = 3600


@pytest.fixture
def ada():
    return laboratory_of("ada").members.get()


def through_the_page(username="ada", **headers):
    client = Client(headers=headers)
    client.get(SIGN_IN)
    client.post(SIGN_IN, {"login": username, "password": PASSWORD})
    return client


def is_in(client):
    return client.get(PLACE).status_code == 200


def age(client, **seconds):
    session = client.session
    for name, value in seconds.items():
        session[name] = int(time.time()) - value
    session.save()


def test_the_session_gets_another_key_at_sign_in(ada):
    client = Client()
    session = client.session
    session["before"] = "x"
    session.save()
    planted = session.session_key or ""
    client.cookies.load({"sessionid": planted})
    client.post(SIGN_IN, {"login": "ada", "password": PASSWORD})
    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(pk=planted).exists()
    assert is_in(client)


def test_what_an_open_page_asks_by_itself_keeps_nobody_signed_in(ada, settings):
    settings.SESSION_IDLE_MINUTES = 30
    client = signed_in(ada)
    assert is_in(client)
    age(client, seen=HOUR / 2 - 60)
    before = client.session["seen"]
    client.get(reverse("tray"), headers={"X-By-Itself": "yes"})
    assert client.session["seen"] == before
    assert is_in(client)
    assert client.session["seen"] > before


def test_who_was_away_too_long_signs_in_again(ada, settings):
    settings.SESSION_IDLE_MINUTES = 30
    client = signed_in(ada)
    age(client, seen=29 * 60)
    assert is_in(client)
    age(client, seen=31 * 60)
    answer = client.get(PLACE)
    assert answer["Location"].startswith(SIGN_IN)
    assert not Session.objects.exists()


def test_each_visit_is_noted_but_not_each_request(ada, settings):
    client = signed_in(ada)
    age(client, seen=50)
    seen = client.session["seen"]
    assert is_in(client)
    assert client.session["seen"] == seen
    age(client, seen=70)
    assert is_in(client)
    assert time.time() - client.session["seen"] < 30


def test_no_session_lasts_for_ever(ada, settings):
    settings.SESSION_HOURS = 10
    client = signed_in(ada)
    age(client, begun=10 * HOUR - 60)
    assert is_in(client)
    age(client, begun=10 * HOUR + 1)
    assert not is_in(client)


def test_the_ways_of_a_script_are_told_too(ada, settings):
    settings.SESSION_HOURS = 1
    client = signed_in(ada)
    age(client, begun=2 * HOUR)
    assert client.get(PLACE, headers={"HX-Request": "true"}).status_code == 401


def test_a_session_of_before_these_limits_starts_its_time_now(ada):
    client = signed_in(ada)
    session = client.session
    del session["begun"], session["seen"]
    session.save()
    assert is_in(client)
    assert time.time() - client.session["begun"] < 30


def test_signing_out_everywhere_else(ada):
    phone, desk = (through_the_page(**{"user-agent": name}) for name in ("Phone", "Desk"))
    page = desk.get(SESSIONS).text
    assert "Phone" in page
    assert "this one" in page
    answer = desk.post(SESSIONS, follow=True)
    assert "signed out everywhere else" in answer.text
    assert is_in(desk)
    assert not is_in(phone)


def test_nobody_elses_sessions_are_shown_or_ended(ada):
    other = laboratory_of("eve", "Mombasa").members.get()
    theirs = through_the_page("eve", **{"user-agent": "Lynx"})
    desk = through_the_page()
    assert "Lynx" not in desk.get(SESSIONS).text
    desk.post(SESSIONS)
    assert is_in(theirs)
    assert UserSession.objects.filter(user=other).count() == 1


def test_a_stolen_cookie_is_worth_nothing_after_the_sign_out(ada):
    client = through_the_page()
    stolen = client.cookies["sessionid"].value
    client.post("/accounts/logout/")
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert not is_in(thief)


def test_sign_ins_that_are_over_go_with_the_purge(ada):
    phone, desk = through_the_page(), through_the_page()
    gone = phone.session.session_key
    Session.objects.filter(pk=gone).update(expire_date=timezone.now() - timedelta(seconds=1))
    call_command("purge", stdout=StringIO())
    assert list(Session.objects.values_list("pk", flat=True)) == [desk.session.session_key]
    assert list(UserSession.objects.values_list("session_key", flat=True)) == [
        desk.session.session_key
    ]
    assert is_in(desk)


@pytest.mark.parametrize(
    ("setting", "lacking"),
    [
        ("free", set()),
        ("reviewers", {Role.CLINICIAN, Role.REVIEWER, Role.ADMINISTRATOR}),
        ("everyone", set(Role)),
    ],
)
def test_who_needs_a_second_factor(ada, settings, setting, lacking):
    settings.SECOND_FACTOR = setting
    laboratory = ada.memberships.get().laboratory
    people = {role: join(laboratory, role, role).user for role in Role}
    assert {role for role, user in people.items() if lacks_factor(user)} == lacking
    assert lacks_factor(person("boss", is_staff=True)) == (setting != "free")
    assert not lacks_factor(AnonymousUser())


def test_whoever_has_one_goes_on(ada, settings):
    settings.SECOND_FACTOR = "everyone"
    client = signed_in(ada)
    assert not is_in(client)
    TOTP.activate(ada, generate_totp_secret())
    assert is_in(client)


@pytest.mark.parametrize("path", [PLACE, "/", "/slides.csv", "/admin/", "/model/"])
def test_others_are_led_to_where_it_is_turned_on(ada, settings, path):
    settings.SECOND_FACTOR = "reviewers"
    client = signed_in(ada)
    answer = client.get(path)
    assert answer["Location"] == reverse("mfa_activate_totp")
    page = client.get(answer["Location"], follow=True)
    assert "asks you for a second factor" in page.text
    assert client.get("/accounts/2fa/").status_code == 200


def test_a_script_is_led_there_as_well(ada, settings):
    settings.SECOND_FACTOR = "everyone"
    client = signed_in(ada)
    part = client.get(PLACE, headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Redirect"]) == (403, reverse("mfa_activate_totp"))
    assert part.json()["waits"]  # an opinion that it came with is not dropped
    answer = client.post("/slides/new/", headers={"Accept": "application/json"})
    assert answer.status_code == 403
    assert "second factor" in answer.json()["error"]
    assert answer.json()["waits"]
