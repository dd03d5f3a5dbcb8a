from datetime import datetime, timedelta

import pytest
from allauth.account.forms import default_token_generator
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in

from diagnosis import passwords, roster
from diagnosis.models import Role
from tests.people import join, laboratory_of, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.memberships.get().user


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben").user


def test_an_administrator_may_reset_a_member(ada, ben):
    assert passwords.may_reset(ada, ben)


def test_another_administrator_of_the_same_laboratory_may_be_reset(ada, laboratory):
    assert passwords.may_reset(ada, join(laboratory, "carl", Role.ADMINISTRATOR).user)


def test_nobody_resets_themselves(ada):
    assert not passwords.may_reset(ada, ada)


def test_a_member_who_is_no_administrator_resets_nobody(ben, laboratory):
    assert not passwords.may_reset(ben, join(laboratory, "carl").user)


@pytest.mark.parametrize("field", ["is_staff", "is_superuser"])
def test_staff_are_out_of_reach(ada, ben, field):
    setattr(ben, field, True)
    assert not passwords.may_reset(ada, ben)


def test_a_closed_account_is_not_opened_by_a_reset(ada, ben):
    ben.is_active = False
    assert not passwords.may_reset(ada, ben)


@pytest.mark.parametrize("role", Role.values)
def test_a_member_of_another_laboratory_is_out_of_reach(ada, ben, role):
    laboratory_of("eve", "Mombasa").memberships.create(user=ben, role=role)
    assert not passwords.may_reset(ada, ben)


def test_a_second_laboratory_of_the_same_administrator_is_no_hindrance(ada, ben):
    roster.open_laboratory(ada, "Mombasa").memberships.create(user=ben, role=Role.ADMINISTRATOR)
    assert passwords.may_reset(ada, ben)


def test_an_empty_laboratory_of_ones_own_is_no_hindrance_until_it_holds_something(ada, ben):
    own = roster.open_laboratory(ben)
    assert passwords.may_reset(ada, ben)
    own.slides.create(code="S1")
    assert not passwords.may_reset(ada, ben)


def token_dies(user, change):
    token = default_token_generator.make_token(user)
    assert default_token_generator.check_token(user, token)
    change()
    user.refresh_from_db()
    return not default_token_generator.check_token(user, token)


def test_a_link_dies_when_the_account_joins_another_laboratory(ben):
    other = laboratory_of("eve", "Mombasa")
    assert token_dies(ben, lambda: other.memberships.create(user=ben, role=Role.TECHNICIAN))


def test_a_link_dies_when_the_account_becomes_administrator(ben):
    assert token_dies(ben, lambda: ben.memberships.update(role=Role.ADMINISTRATOR))


@pytest.mark.parametrize("change", ["removed", "demoted", "closed"])
def test_a_link_dies_when_who_may_make_one_may_no_longer(ben, laboratory, change):
    carl = join(laboratory, "carl", Role.ADMINISTRATOR)
    changes = {
        "removed": lambda: roster.remove(carl),
        "demoted": lambda: roster.change_role(carl, Role.CLINICIAN),
        "closed": lambda: User.objects.filter(pk=carl.user_id).update(is_active=False),
    }
    assert token_dies(ben, changes[change])


def test_a_link_dies_when_the_account_becomes_staff(ben):
    assert token_dies(ben, lambda: User.objects.filter(pk=ben.pk).update(is_staff=True))


def test_a_link_dies_when_an_own_laboratory_gets_its_first_slide(ben):
    own = roster.open_laboratory(ben)
    assert token_dies(ben, lambda: own.slides.create(code="S1"))


def test_a_link_dies_when_the_owner_signs_in(ben):
    assert token_dies(ben, lambda: user_logged_in.send(type(ben), request=None, user=ben))


def test_a_link_dies_after_a_day(ben, monkeypatch):
    token = default_token_generator.make_token(ben)
    later = datetime.now() + timedelta(hours=passwords.link_hours(), seconds=2)
    monkeypatch.setattr(default_token_generator, "_now", lambda: later)
    assert not default_token_generator.check_token(ben, token)


def test_a_link_survives_what_does_not_concern_it(ben, laboratory):
    assert not token_dies(ben, lambda: join(laboratory, "carl"))


def test_a_link_is_for_its_account_alone(ben):
    other = person("zoe")
    assert not default_token_generator.check_token(other, default_token_generator.make_token(ben))
