"""What an administrator does with the members of a laboratory."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from diagnosis.models import Role
from tests.people import PASSWORD, join, laboratory_of, signed_in

pytestmark = pytest.mark.django_db
NEW = "quite another password"
NAMES = ["member_role", "member_remove", "member_reset"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(User.objects.get(username="ada"))


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben")


def url(name, member, laboratory=None):
    return reverse(name, args=[(laboratory or member.laboratory).pk, member.pk])


@pytest.mark.parametrize("name", NAMES)
def test_who_may_not(name, laboratory, ben):
    carl = join(laboratory, "carl")
    eve = laboratory_of("eve", "Mombasa").memberships.get()
    assert reverse("account_login") in Client().post(url(name, ben))["Location"]
    assert signed_in(carl.user).post(url(name, ben)).status_code == 403
    assert signed_in(eve.user).post(url(name, ben)).status_code == 404
    ben.refresh_from_db()
    assert ben.role == Role.CLINICIAN


@pytest.mark.parametrize("name", NAMES)
def test_members_of_another_laboratory_are_not_reached_through_ones_own(name, laboratory, ben):
    mombasa = laboratory_of("eve", "Mombasa")
    eve = signed_in(User.objects.get(username="eve"))
    response = eve.post(url(name, ben, laboratory=mombasa), {"role": Role.TECHNICIAN})
    assert response.status_code == 404


def test_wrong_methods(ada, ben):
    assert ada.get(url("member_role", ben)).status_code == 405
    assert ada.put(url("member_remove", ben)).status_code == 405
    assert ada.delete(url("member_reset", ben)).status_code == 405


@pytest.mark.parametrize("role", Role.values)
def test_a_role_is_changed(ada, ben, role):
    ada.post(url("member_role", ben), {"role": role})
    ben.refresh_from_db()
    assert ben.role == role


@pytest.mark.parametrize("role", ["", "owner", "ADMINISTRATOR"])
def test_an_unknown_role_is_refused(ada, ben, role):
    response = ada.post(url("member_role", ben), {"role": role}, follow=True)
    assert "Choose one of the roles" in response.content.decode()
    ben.refresh_from_db()
    assert ben.role == Role.CLINICIAN


def test_the_last_administrator_cannot_step_down(ada, ben):
    own = ben.laboratory.memberships.get(user__username="ada")
    response = ada.post(url("member_role", own), {"role": Role.CLINICIAN}, follow=True)
    assert "hand it over to another member first" in response.content.decode()
    own.refresh_from_db()
    assert own.role == Role.ADMINISTRATOR


def test_a_member_is_removed_after_a_question(ada, ben):
    assert "Remove ben?" in ada.get(url("member_remove", ben)).content.decode()
    assert ben.laboratory.memberships.count() == 2
    ada.post(url("member_remove", ben))
    assert ben.laboratory.memberships.count() == 1
    assert User.objects.filter(username="ben").exists()


def test_removing_oneself_is_leaving(ada, laboratory):
    own = laboratory.memberships.get()
    response = ada.post(url("member_remove", own))
    assert response["Location"] == reverse("laboratory_leave", args=[laboratory.pk])
    assert laboratory.memberships.count() == 1


def reset_link(client, member):
    response = client.post(url("member_reset", member))
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return response.context["link"]


def set_password(link, password=NEW):
    client = Client()
    page = client.get(link, follow=True)
    path = page.redirect_chain[-1][0] if page.redirect_chain else link
    return client.post(path, {"password1": password, "password2": password}, follow=True)


def test_a_reset_link_sets_a_new_password_once(ada, ben):
    assert "The old one works until then" in ada.get(url("member_reset", ben)).content.decode()
    link = reset_link(ada, ben)
    assert "Your new password is set" in set_password(link).content.decode()
    ben.user.refresh_from_db()
    assert ben.user.check_password(NEW)
    assert "no longer works" in set_password(link, PASSWORD).content.decode()
    ben.user.refresh_from_db()
    assert ben.user.check_password(NEW)


def test_a_reset_link_is_not_kept_anywhere(ada, ben):
    link = reset_link(ada, ben)
    assert link not in ada.get(url("member_reset", ben)).content.decode()


def test_a_used_reset_link_signs_the_account_out_everywhere(ada, ben):
    elsewhere = signed_in(ben.user)
    set_password(reset_link(ada, ben))
    assert reverse("account_login") in elsewhere.get(reverse("laboratories"))["Location"]


def test_a_weak_new_password_is_refused(ada, ben):
    response = set_password(reset_link(ada, ben), "short")
    assert "at least 10 characters" in response.content.decode()
    ben.user.refresh_from_db()
    assert ben.user.check_password(PASSWORD)


def test_the_link_of_one_account_does_not_open_another(ada, ben, laboratory):
    carl = join(laboratory, "carl")
    key = reset_link(ada, ben).rstrip("/").rsplit("/", 1)[1]
    other = reset_link(ada, carl).rstrip("/").rsplit("/", 1)[1]
    mixed = f"{other.split('-')[0]}-{key.split('-', 1)[1]}"
    response = set_password(f"/accounts/password/reset/key/{mixed}/")
    assert "no longer works" in response.content.decode()


def test_no_link_to_an_account_that_may_do_more(ada, ben):
    User.objects.filter(pk=ben.user_id).update(is_superuser=True)
    for method in (ada.get, ada.post):
        response = method(url("member_reset", ben))
        assert response.status_code == 403
        assert "reset_password ben" in response.content.decode()
        assert "link" not in response.context


def test_no_link_to_ones_own_account(ada, laboratory):
    response = ada.post(url("member_reset", laboratory.memberships.get()))
    assert response.status_code == 403
    assert reverse("account_change_password") in response.content.decode()
