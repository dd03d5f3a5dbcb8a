import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from diagnosis import reviews, roster, tokens
from diagnosis.models import Laboratory, ModelVersion, Role
from tests.people import join, laboratory_of, person, signed_in
from tests.readings import new_slide, read

pytestmark = pytest.mark.django_db
MODELS = [Laboratory, ModelVersion, User]


@pytest.fixture
def laboratory():
    laboratory = laboratory_of("ada", "Kisumu")
    slide = new_slide(laboratory, "S-1")
    image = read(slide, "parasitized").image
    reviews.say(image, laboratory.members.get(), "parasitized")
    laboratory.invitations.create(invited_by=laboratory.members.get(), note="for Ben")
    return laboratory


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get(username="ada")


@pytest.fixture
def operator():
    return signed_in(person("boss", is_staff=True, is_superuser=True))


def address(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def changed(operator, user, **values):
    """The answer to the form of an account, sent with these values in place of the shown ones."""
    page = operator.get(address(User, "change", user.pk))
    shown = page.context["adminform"].form.initial
    fields = {name: shown[name] for name in ("username", "first_name", "last_name", "email")}
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if shown[name]}
    sent = {name: value for name, value in (fields | flags | values).items() if value is not None}
    return operator.post(address(User, "change", user.pk), sent)


def events(laboratory):
    return list(laboratory.events.values_list("who", "action", "kind", "name", "changes"))


def test_nothing_of_slides_and_no_secret_of_an_account_is_there():
    assert sorted(admin.site._registry, key=lambda model: model.__name__) == MODELS


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_lists_and_shows_everything(model, laboratory, operator):
    row = model.objects.first()
    for url in (address(model, "changelist"), address(model, "change", row.pk)):
        page = operator.get(url)
        assert page.status_code == 200
        assert "S-1" not in page.text
    assert operator.get(address(model, "changelist"), {"q": "Kis"}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_is_for_staff_alone(model, laboratory, ada):
    for client in (Client(), signed_in(ada)):
        assert client.get(address(model, "changelist")).status_code in (302, 403)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_is_deleted(model, laboratory, operator):
    row = model.objects.first()
    assert operator.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    operator.post(address(model, "changelist"), chosen)
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", [Laboratory, ModelVersion], ids=lambda model: model.__name__)
def test_only_accounts_are_made(model, laboratory, operator):
    assert operator.get(address(model, "add")).status_code == 403
    assert operator.get(address(User, "add")).status_code == 200


def test_a_laboratory_gets_another_name_and_nothing_else(laboratory, operator):
    sent = {"name": "Siaya", "second_reading": "on"}
    sent |= {f"memberships-{name}": "1" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    own = laboratory.memberships.get()
    sent |= {"memberships-0-id": own.pk, "memberships-0-laboratory": laboratory.pk}
    assert operator.post(address(Laboratory, "change", laboratory.pk), sent).status_code == 302
    laboratory.refresh_from_db()
    assert (laboratory.name, laboratory.second_reading) == ("Siaya", False)
    assert laboratory.memberships.get().role == Role.ADMINISTRATOR
    said = ("boss", "changed", "laboratory", "Siaya", {"name": ["Kisumu", "Siaya"]})
    assert events(laboratory)[0] == said


def test_what_is_changed_of_an_account_stands_in_the_trail(laboratory, ada, operator):
    assert (
        changed(operator, ada, username="adah", is_staff="on", email="a@b.org").status_code == 302
    )
    changes = {"name": ["ada", "adah"], "staff": [False, True], "e-mail": [None, "a new one"]}
    assert events(laboratory)[0] == ("boss", "changed", "user", "adah", changes)


def test_rights_too(laboratory, ada, operator):
    right = Permission.objects.get(codename="change_modelversion")
    changed(operator, ada, user_permissions=[right.pk])
    *_, changes = events(laboratory)[0]
    assert changes == {"rights": [[], [str(right)]]}


def test_nothing_changed_is_nothing_noted(laboratory, ada, operator):
    before = events(laboratory)
    assert changed(operator, ada).status_code == 302
    assert events(laboratory) == before


def test_a_new_password_stands_there_and_ends_tokens(laboratory, ada, operator):
    _, text = tokens.new(ada, "scanner")
    new = "another long password"
    url = reverse("admin:auth_user_password_change", args=[ada.pk])
    sent = {"password1": new, "password2": new, "usable_password": "false"}
    assert operator.post(url, sent).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(new)
    assert tokens.find(text) is None
    assert ("boss", "changed", "user", "ada", {"password": [None, "a new one"]}) in events(
        laboratory
    )


class TestTheLastAdministrator:
    def test_of_others_is_not_closed_out(self, laboratory, ada, operator):
        join(laboratory, "ben")
        page = changed(operator, ada, is_active=None)
        assert "Kisumu has no other administrator" in page.text
        ada.refresh_from_db()
        assert ada.is_active

    def test_is_closed_out_after_handing_over(self, laboratory, ada, operator):
        ben = join(laboratory, "ben")
        roster.hand_over(laboratory.memberships.get(user=ada), ben)
        assert changed(operator, ada, is_active=None).status_code == 302
        assert events(laboratory)[0][-1] == {"active": [True, False]}

    def test_of_nobody_else_is_closed_out(self, laboratory, ada, operator):
        assert changed(operator, ada, is_active=None).status_code == 302

    def test_whose_account_is_closed_does_not_count(self, laboratory, ada):
        ben = join(laboratory, "ben", Role.ADMINISTRATOR)
        User.objects.filter(pk=ben.user_id).update(is_active=False)
        with pytest.raises(roster.RosterError):
            roster.leave(laboratory.memberships.get(user=ada))
        roster.remove(ben)
        assert laboratory.memberships.get().user == ada
