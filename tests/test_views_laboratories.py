"""Pages of a laboratory, asked for by its administrator, a member, an outsider and nobody."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from diagnosis import roster
from diagnosis.models import Event, Laboratory, ReportLanguage, Role
from tests.people import join, laboratory_of, person, signed_in

pytestmark = pytest.mark.django_db

# Every page of a laboratory that is known by nothing but the laboratory.
PAGES = ["laboratory", "laboratory_leave", "laboratory_hand_over"]
ACTIONS = ["laboratory_rename", "laboratory_invite", "laboratory_report_language"]
ADMINISTRATORS_ONLY = ["laboratory_hand_over", *ACTIONS]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(User.objects.get(username="ada"))


@pytest.fixture
def ben(laboratory):
    return signed_in(join(laboratory, "ben").user)


@pytest.fixture
def outsider():
    return signed_in(laboratory_of("eve", "Mombasa").memberships.get().user)


def url(name, laboratory):
    return reverse(name, args=[laboratory.pk])


def role_of(username, laboratory):
    return laboratory.memberships.get(user__username=username).role


@pytest.mark.parametrize("name", PAGES + ACTIONS)
def test_the_anonymous_are_sent_to_sign_in(laboratory, name):
    method = Client().get if name in PAGES else Client().post
    assert method(url(name, laboratory))["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", PAGES + ACTIONS)
def test_an_outsider_is_told_there_is_nothing(laboratory, outsider, name):
    assert outsider.post(url(name, laboratory)).status_code == (
        405 if name == "laboratory" else 404
    )
    if name in PAGES:
        assert outsider.get(url(name, laboratory)).status_code == 404


@pytest.mark.parametrize("name", ADMINISTRATORS_ONLY)
def test_a_plain_member_may_not(laboratory, ben, name):
    assert ben.post(url(name, laboratory)).status_code == 403


@pytest.mark.parametrize("name", ACTIONS)
def test_changes_take_a_post(laboratory, ada, name):
    assert ada.get(url(name, laboratory)).status_code == 405


def test_changes_need_a_csrf_token(laboratory):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="ada"))
    assert client.post(url("laboratory_rename", laboratory), {"name": "x"}).status_code == 403


def test_the_list_shows_ones_own_laboratories_alone(laboratory, ada, outsider):
    page = ada.get(reverse("laboratories")).content.decode()
    assert "Kisumu" in page
    assert "Mombasa" not in page
    assert reverse("account_login") in Client().get(reverse("laboratories"))["Location"]


def test_whoever_belongs_nowhere_can_start_a_laboratory():
    client = signed_in(person("nia"))
    assert "You belong to no laboratory" in client.get(reverse("laboratories")).content.decode()
    response = client.post(reverse("laboratories"), {"name": "Nairobi"})
    laboratory = Laboratory.objects.get()
    assert response["Location"] == url("laboratory", laboratory)
    assert role_of("nia", laboratory) == Role.ADMINISTRATOR


def test_a_laboratory_needs_a_name(ada):
    page = ada.post(reverse("laboratories"), {"name": "  "})
    assert "This field is required" in page.content.decode()
    assert ada.put(reverse("laboratories")).status_code == 405
    assert Laboratory.objects.count() == 1


def test_a_member_sees_members_and_roles_but_no_tools(laboratory, ben):
    page = ben.get(url("laboratory", laboratory)).content.decode()
    assert "ada" in page
    assert "Administrator" in page
    for tool in ("Make a link", "Save role", "Reset password", "Hand over", "Rename"):
        assert tool not in page
    assert "Leave" in page


def test_an_administrator_sees_the_tools(laboratory, ada, ben):
    page = ada.get(url("laboratory", laboratory)).content.decode()
    for tool in ("Make a link", "Save role", "Reset password", "Hand over", "Rename"):
        assert tool in page


def test_the_page_asks_the_database_the_same_however_many_members(
    laboratory, ada, django_assert_max_num_queries
):
    for number in range(20):
        join(laboratory, f"member{number}")
    with django_assert_max_num_queries(10):
        ada.get(url("laboratory", laboratory))


def test_renaming(laboratory, ada):
    ada.post(url("laboratory_rename", laboratory), {"name": "Kisumu East"})
    laboratory.refresh_from_db()
    assert laboratory.name == "Kisumu East"


@pytest.mark.parametrize("name", ["", "x" * 121])
def test_a_bad_name_is_refused_and_the_old_one_shown(laboratory, ada, name):
    response = ada.post(url("laboratory_rename", laboratory), {"name": name})
    assert response.status_code == 400
    assert "<h1>Kisumu</h1>" in response.content.decode()
    laboratory.refresh_from_db()
    assert laboratory.name == "Kisumu"


def test_the_language_of_reports(laboratory, ada):
    page = ada.get(url("laboratory", laboratory)).text
    assert '<option value="en" selected>English</option>' in page
    address = url("laboratory_report_language", laboratory)
    page = ada.post(address, {"report_language": "fr"}, follow=True).text
    assert "from now on: Français." in page
    assert '<option value="fr" selected>Français</option>' in page
    event = Event.objects.first()
    assert (event.action, event.changes) == ("changed", {"report_language": ["en", "fr"]})


@pytest.mark.parametrize("language", ["", "xx", "en-gb"])
def test_another_language_of_reports_is_refused(laboratory, ada, language):
    address = url("laboratory_report_language", laboratory)
    page = ada.post(address, {"report_language": language}, follow=True).text
    assert '<li class="error">' in page
    laboratory.refresh_from_db()
    assert laboratory.report_language == "en"


def test_reports_can_be_in_each_language_of_the_site(settings):
    offered = {code.partition("-")[0] for code, _ in settings.LANGUAGES}
    assert offered == set(ReportLanguage.values)


def test_a_member_leaves_after_a_question(laboratory, ben):
    page = ben.get(url("laboratory_leave", laboratory)).content.decode()
    assert "You no longer see its slides" in page
    assert laboratory.memberships.count() == 2
    ben.post(url("laboratory_leave", laboratory))
    assert list(laboratory.memberships.values_list("user__username", flat=True)) == ["ada"]
    assert ben.get(url("laboratory", laboratory)).status_code == 404


def test_the_last_administrator_is_told_to_hand_over_first(laboratory, ada, ben):
    assert (
        roster.LAST_ADMINISTRATOR in ada.get(url("laboratory_leave", laboratory)).content.decode()
    )
    response = ada.post(url("laboratory_leave", laboratory), follow=True)
    assert roster.LAST_ADMINISTRATOR in response.content.decode()
    assert laboratory.memberships.count() == 2


def test_leaving_ones_own_empty_laboratory_closes_it(laboratory, ada):
    assert "closes it for good" in ada.get(url("laboratory_leave", laboratory)).content.decode()
    ada.post(url("laboratory_leave", laboratory))
    assert not Laboratory.objects.exists()


def test_handing_over(laboratory, ada, ben):
    assert "Choose a member" in ada.get(url("laboratory_hand_over", laboratory)).content.decode()
    heir = laboratory.memberships.get(user__username="ben")
    ada.post(url("laboratory_hand_over", laboratory), {"heir": heir.pk})
    assert role_of("ben", laboratory) == Role.ADMINISTRATOR
    assert role_of("ada", laboratory) == Role.CLINICIAN


def test_handing_over_goes_to_a_member_alone(laboratory, ada, outsider):
    stranger = User.objects.get(username="eve").memberships.get()
    for heir in (stranger.pk, laboratory.memberships.get().pk, "", "x"):
        response = ada.post(url("laboratory_hand_over", laboratory), {"heir": heir})
        assert response.status_code == 200
        assert "errorlist" in response.content.decode()
    assert role_of("ada", laboratory) == Role.ADMINISTRATOR
