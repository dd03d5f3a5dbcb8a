"""Links that make whoever opens them, once and in time, a member."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnosis.models import Invitation, Role
from tests.people import PASSWORD, join, laboratory_of, person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(User.objects.get(username="ada"))


@pytest.fixture
def invitation(laboratory):
    return Invitation.objects.create(
        laboratory=laboratory, invited_by=User.objects.get(username="ada"), role=Role.REVIEWER
    )


def page_of(invitation):
    return reverse("invitation", args=[invitation.token])


def invite(client, laboratory, **fields):
    return client.post(reverse("laboratory_invite", args=[laboratory.pk]), fields, follow=True)


def revoke(client, invitation, laboratory=None):
    pk = (laboratory or invitation.laboratory).pk
    return client.post(reverse("invitation_revoke", args=[pk, invitation.pk]))


def works(invitation):
    return signed_in(person("visitor")).get(page_of(invitation)).status_code == 200


def test_an_invitation_is_a_link_to_copy(ada, laboratory):
    page = invite(ada, laboratory, role=Role.TECHNICIAN, note="Carl").content.decode()
    invitation = Invitation.objects.get()
    assert f"http://testserver{page_of(invitation)}" in page
    assert "for Carl" in page
    assert timedelta(days=13) < invitation.expires_at - timezone.now() < timedelta(days=14)
    assert (invitation.role, invitation.invited_by.username) == (Role.TECHNICIAN, "ada")


@pytest.mark.parametrize("fields", [{"role": ""}, {"role": "owner"}, {"note": "x" * 121}])
def test_a_bad_invitation_is_refused(ada, laboratory, fields):
    page = invite(ada, laboratory, **({"role": Role.CLINICIAN} | fields))
    assert "Choose one of the roles, and keep the note short" in page.content.decode()
    assert not Invitation.objects.exists()


def test_links_are_shown_to_administrators_alone(invitation):
    member = signed_in(join(invitation.laboratory, "ben").user)
    page = member.get(reverse("laboratory", args=[invitation.laboratory.pk]))
    assert invitation.token not in page.content.decode()


def test_used_and_old_links_are_no_longer_listed(ada, invitation):
    page = reverse("laboratory", args=[invitation.laboratory.pk])
    assert invitation.token in ada.get(page).content.decode()
    for change in ({"accepted_by": person("carl")}, {"expires_at": timezone.now()}):
        Invitation.objects.update(accepted_by=None, expires_at=timezone.now() + timedelta(days=1))
        Invitation.objects.update(**change)
        assert invitation.token not in ada.get(page).content.decode()


def test_an_invitation_is_taken_back(ada, invitation):
    assert works(invitation)
    revoke(ada, invitation)
    assert Client().get(page_of(invitation)).status_code == 404


def test_who_may_not_take_back(invitation, laboratory):
    mombasa = laboratory_of("eve", "Mombasa")
    eve, ben = User.objects.get(username="eve"), join(laboratory, "ben").user
    assert reverse("account_login") in revoke(Client(), invitation)["Location"]
    assert revoke(signed_in(ben), invitation).status_code == 403
    assert revoke(signed_in(eve), invitation).status_code == 404
    assert revoke(signed_in(eve), invitation, mombasa).status_code == 404
    assert works(invitation)


def test_taking_back_takes_a_post(ada, invitation):
    url = reverse("invitation_revoke", args=[invitation.laboratory.pk, invitation.pk])
    assert ada.get(url).status_code == 405


def test_a_used_invitation_is_not_taken_back(ada, invitation):
    Invitation.objects.update(accepted_by=person("carl"))
    assert revoke(ada, invitation).status_code == 404
    assert Invitation.objects.exists()


def test_joining_takes_a_click(invitation):
    carl = person("carl")
    client = signed_in(carl)
    page = client.get(page_of(invitation)).content.decode()
    assert "Join Kisumu" in page
    assert "as reviewer" in page
    assert not carl.memberships.exists()
    response = client.post(page_of(invitation))
    assert response["Location"] == reverse("laboratory", args=[invitation.laboratory.pk])
    assert carl.memberships.get().role == Role.REVIEWER


def test_a_link_works_once(invitation):
    signed_in(person("carl")).post(page_of(invitation))
    dora = person("dora")
    response = signed_in(dora).post(page_of(invitation))
    assert response.status_code == 404
    assert "no longer works" in response.content.decode()
    assert not dora.memberships.exists()


def test_an_old_link_does_not_work(invitation):
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    carl = person("carl")
    assert signed_in(carl).post(page_of(invitation)).status_code == 404
    assert not carl.memberships.exists()


def test_an_unknown_link_says_the_same(client):
    response = client.get(reverse("invitation", args=["unknown"]))
    assert response.status_code == 404
    assert "no longer works" in response.content.decode()


def test_a_member_is_led_to_the_laboratory_and_the_link_stays(ada, invitation):
    for method in (ada.get, ada.post):
        response = method(page_of(invitation))
        assert response["Location"] == reverse("laboratory", args=[invitation.laboratory.pk])
    assert Invitation.objects.get().is_open


def test_a_wrong_method(client, invitation):
    assert client.put(page_of(invitation)).status_code == 405


def test_the_signed_out_join_nothing_by_a_post(client, invitation):
    assert client.post(page_of(invitation)).status_code == 200
    assert Invitation.objects.get().is_open


def test_the_signed_out_are_brought_through_sign_in_and_back(client, invitation):
    carl = person("carl")
    page = client.get(page_of(invitation)).content.decode()
    sign_in = f"{reverse('account_login')}?next={page_of(invitation)}"
    assert sign_in in page
    assert "You are invited to <strong>Kisumu</strong>" in client.get(sign_in).content.decode()
    response = client.post(sign_in, {"login": "carl", "password": PASSWORD})
    assert response["Location"] == page_of(invitation)
    assert "Join Kisumu" in client.get(page_of(invitation)).content.decode()
    assert not carl.memberships.exists()


def test_sign_in_and_sign_up_lead_to_one_another_without_losing_the_way(client, invitation):
    for name, other in (("account_login", "account_signup"), ("account_signup", "account_login")):
        page = client.get(reverse(name), {"next": page_of(invitation)}).content.decode()
        assert f"{reverse(other)}?next=" in page
