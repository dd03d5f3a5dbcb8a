from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from diagnosis import roster
from diagnosis.models import Invitation, Laboratory, Membership, Role
from tests.databases import at_once
from tests.people import join, laboratory_of, person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.memberships.get(user__username="ada")


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben")


def invitation_by(membership, **fields):
    return Invitation.objects.create(
        laboratory=membership.laboratory, invited_by=membership.user, **fields
    )


def roles(laboratory):
    return dict(laboratory.memberships.values_list("user__username", "role"))


def test_whoever_opens_a_laboratory_administers_it(laboratory):
    assert roles(laboratory) == {"ada": Role.ADMINISTRATOR}


def test_a_laboratory_without_a_name_is_called_after_its_owner():
    assert roster.open_laboratory(person("x" * 150)).name.startswith("xxx")


def test_an_invitation_makes_one_member_once(ada):
    invitation = invitation_by(ada, role=Role.TECHNICIAN)
    roster.accept(invitation, person("carl"))
    with pytest.raises(roster.RosterError, match="has been used"):
        roster.accept(invitation, person("dora"))
    assert roles(ada.laboratory) == {"ada": Role.ADMINISTRATOR, "carl": Role.TECHNICIAN}


def test_the_invitations_of_a_closed_account_are_closed_with_it(ada):
    invitation = invitation_by(ada, role=Role.ADMINISTRATOR)
    assert invitation.is_open
    User.objects.filter(pk=ada.user_id).update(is_active=False)
    invitation = Invitation.objects.get(pk=invitation.pk)
    assert not invitation.is_open
    assert not roster.open_invitations().exists()
    with pytest.raises(roster.RosterError, match="has been used, taken back"):
        roster.accept(invitation, person("mallory"))


def test_whoever_stepped_down_meanwhile_invites_nobody(ada, ben):
    roster.change_role(ben, Role.ADMINISTRATOR)
    way_back = Invitation(laboratory=ada.laboratory, invited_by=ben.user)
    roster.change_role(ben, Role.CLINICIAN)
    with pytest.raises(PermissionDenied):
        roster.invite(way_back)
    assert not Invitation.objects.exists()


def test_nobody_is_invited_to_a_laboratory_that_was_closed_meanwhile(ada, monkeypatch):
    invite = roster.invite

    def invite_once_it_is_closed(invitation):
        Laboratory.objects.filter(pk=ada.laboratory_id).delete()
        invite(invitation)

    monkeypatch.setattr(roster, "invite", invite_once_it_is_closed)
    browser = signed_in(ada.user)
    asked = browser.post(
        reverse("laboratory_invite", args=[ada.laboratory_id]),
        {"role": Role.TECHNICIAN, "note": ""},
    )
    assert asked.status_code == 302
    assert "This laboratory no longer exists." in browser.get("/", follow=True).text


def test_an_invitation_that_was_accepted_meanwhile_is_not_taken_back(ada, monkeypatch):
    invitation, held = invitation_by(ada), roster._held

    def hold_once_it_is_accepted(laboratory):
        monkeypatch.setattr(roster, "_held", held)
        roster.accept(invitation, person("carl"))
        return held(laboratory)

    monkeypatch.setattr(roster, "_held", hold_once_it_is_accepted)
    address = reverse("invitation_revoke", args=[ada.laboratory_id, invitation.pk])
    page = signed_in(ada.user).post(address, follow=True)
    assert "This invitation has been used" in page.text
    assert "no longer works" not in page.text
    assert Invitation.objects.get().accepted_by.username == "carl"


def test_an_old_invitation_makes_nobody_a_member(ada):
    invitation = invitation_by(ada, expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(roster.RosterError):
        roster.accept(invitation, person("carl"))
    assert "carl" not in roles(ada.laboratory)


def test_a_member_does_not_use_up_an_invitation_nor_change_role(ada, ben):
    invitation = invitation_by(ada, role=Role.ADMINISTRATOR)
    roster.accept(invitation, ben.user)
    invitation.refresh_from_db()
    assert invitation.is_open
    assert roles(ada.laboratory)["ben"] == Role.CLINICIAN


def test_the_last_administrator_keeps_the_role(ada, ben):
    for change in (
        lambda: roster.change_role(ada, Role.REVIEWER),
        lambda: roster.remove(ada),
        lambda: roster.leave(ada),
    ):
        with pytest.raises(roster.RosterError, match="hand it over"):
            change()
    assert roles(ada.laboratory) == {"ada": Role.ADMINISTRATOR, "ben": Role.CLINICIAN}


def test_whoever_was_removed_meanwhile_closes_no_laboratory_of_others(ada, ben):
    roster.remove(ben)
    roster.leave(ben)
    assert roles(ada.laboratory) == {"ada": Role.ADMINISTRATOR}


def test_one_of_two_administrators_may_go(ada, ben):
    roster.change_role(ben, Role.ADMINISTRATOR)
    roster.leave(ada)
    assert roles(ada.laboratory) == {"ben": Role.ADMINISTRATOR}


def test_handing_over_swaps_the_rights(ada, ben):
    roster.hand_over(ada, ben)
    assert roles(ada.laboratory) == {"ada": Role.CLINICIAN, "ben": Role.ADMINISTRATOR}


def test_handing_over_to_someone_who_left_changes_nothing(ada, ben):
    Membership.objects.filter(pk=ben.pk).delete()
    with pytest.raises(roster.RosterError, match="no longer a member"):
        roster.hand_over(ada, ben)
    assert roles(ada.laboratory) == {"ada": Role.ADMINISTRATOR}


@pytest.mark.parametrize(
    "change",
    [
        lambda ada, ben: roster.change_role(ada, Role.CLINICIAN),
        lambda ada, ben: roster.remove(ada),
        lambda ada, ben: roster.hand_over(ada, ben),
    ],
)
def test_invitations_of_a_former_administrator_stop_working(ada, ben, change):
    roster.change_role(ben, Role.ADMINISTRATOR)
    way_back = invitation_by(ada, role=Role.ADMINISTRATOR)
    kept = invitation_by(ben)
    used = invitation_by(ada)
    roster.accept(used, person("carl"))
    change(ada, ben)
    assert set(Invitation.objects.all()) == {kept, used}
    with pytest.raises(roster.RosterError):
        roster.accept(way_back, person("mallory"))


def test_the_only_member_of_an_empty_laboratory_closes_it_by_leaving(ada):
    roster.leave(ada)
    assert not Laboratory.objects.exists()


def test_a_laboratory_with_slides_is_not_closed(ada):
    ada.laboratory.slides.create(code="S1")
    with pytest.raises(roster.RosterError, match="hand it over"):
        roster.leave(ada)
    assert Laboratory.objects.exists()


def test_a_change_to_a_laboratory_that_is_gone_says_so(ada, ben):
    laboratory = ada.laboratory
    Laboratory.objects.filter(pk=laboratory.pk).delete()
    with pytest.raises(roster.RosterError, match="no longer exists"):
        roster.change_role(ben, Role.REVIEWER)


@pytest.mark.parametrize("round", range(5))
def test_two_administrators_who_leave_at_once_leave_one_behind(round, real_database):
    laboratory = laboratory_of("ada")
    ada = laboratory.memberships.get()
    ben = join(laboratory, "ben", Role.ADMINISTRATOR)
    join(laboratory, "carl")
    outcomes = at_once(lambda: roster.leave(ada), lambda: roster.leave(ben))
    assert refusals(outcomes) == [roster.LAST_ADMINISTRATOR]
    assert list(roles(laboratory).values()).count(Role.ADMINISTRATOR) == 1


def test_two_people_who_open_one_invitation_at_once_do_not_both_join(real_database):
    laboratory = laboratory_of("ada")
    invitation = invitation_by(laboratory.memberships.get())
    carl, dora = person("carl"), person("dora")
    outcomes = at_once(
        lambda: roster.accept(invitation, carl), lambda: roster.accept(invitation, dora)
    )
    assert refusals(outcomes) == [roster.INVITATION_IS_OVER]
    assert laboratory.memberships.count() == 2


def refusals(outcomes):
    return [str(outcome) for outcome in outcomes if isinstance(outcome, roster.RosterError)]


class TestHowManyOnePersonAdministers:
    @pytest.fixture(autouse=True)
    def _two(self, settings):
        settings.LABORATORIES_PER_PERSON = 2

    def test_opened(self, ada):
        roster.open_laboratory(ada.user, "Siaya")
        with pytest.raises(roster.RosterError, match="ada administers 2 laboratories already"):
            roster.open_laboratory(ada.user, "Mombasa")
        assert Laboratory.objects.count() == 2

    def test_by_an_invitation_which_stays_open(self, ada):
        eve = laboratory_of("eve", "Mombasa").members.get()
        roster.open_laboratory(eve, "Lamu")
        invitation = invitation_by(ada, role=Role.ADMINISTRATOR)
        with pytest.raises(roster.RosterError, match="as many as one person may"):
            roster.accept(invitation, eve)
        invitation.refresh_from_db()
        assert invitation.is_open
        roster.accept(invitation_by(ada, role=Role.CLINICIAN), eve)

    def test_by_handing_over(self, ada, ben):
        for name in ("Siaya", "Lamu"):
            roster.open_laboratory(ben.user, name)
        with pytest.raises(roster.RosterError):
            roster.hand_over(ada, ben)
        assert roles(ada.laboratory)["ada"] == Role.ADMINISTRATOR

    def test_again_in_the_same_laboratory(self, ada, settings):
        settings.LABORATORIES_PER_PERSON = 1
        roster.change_role(ada, Role.ADMINISTRATOR)

    def test_whoever_runs_the_site_is_not_bound(self):
        boss = person("boss", is_staff=True, is_superuser=True)
        for name in ("Kisumu", "Siaya", "Lamu"):
            roster.open_laboratory(boss, name)

    def test_also_when_they_come_at_once(self, real_database):
        person("eve")
        outcomes = at_once(*[self.open] * 4)
        assert sum(isinstance(one, roster.RosterError) for one in outcomes) == 2
        assert Laboratory.objects.count() == 2

    @staticmethod
    def open():
        return roster.open_laboratory(User.objects.get(username="eve"))

    def test_the_page_says_it(self, ada):
        roster.open_laboratory(ada.user, "Siaya")
        page = signed_in(ada.user).post("/laboratories/", {"name": "Mombasa"})
        assert "as many as one person may" in page.text
