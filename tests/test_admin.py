import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from diagnosis import cells, reviews
from diagnosis.models import Prediction
from tests.people import laboratory_of, signed_in
from tests.readings import failed, new_slide, read, read_field

pytestmark = pytest.mark.django_db
MODELS = [model for model in admin.site._registry if model._meta.app_label == "diagnosis"]


@pytest.fixture
def laboratory():
    return laboratory_of("ada", "Kisumu")


@pytest.fixture
def things(laboratory):
    slide = new_slide(laboratory, "S-1")
    image = read(slide, "parasitized").image
    failed(slide)
    user = laboratory.members.get()
    reviews.say(image, user, "parasitized")
    field = read_field(slide, "uninfected")
    cells.say(field.image, user, field.cells.get().pk, "no-cell")
    slide.reports.create(number=1, content={}, signed_by=user, who=user.username)
    laboratory.invitations.create(invited_by=user, note="for Ben")


@pytest.fixture
def operator():
    boss = laboratory_of("boss", "Nairobi").members.get()
    boss.is_staff = boss.is_superuser = True
    boss.save()
    return signed_in(boss)


def address(model, page, *args):
    return reverse(f"admin:diagnosis_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_lists_and_shows_everything(model, things, operator):
    row = model.objects.first()
    for url in (address(model, "changelist"), address(model, "change", row.pk)):
        assert operator.get(url).status_code == 200
    assert operator.get(address(model, "changelist"), {"q": "S-1"}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_is_for_staff_alone(model, things, laboratory):
    member = signed_in(laboratory.members.get())
    for client in (Client(), member):
        assert client.get(address(model, "changelist")).status_code in (302, 403)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_is_added_or_deleted(model, things, operator):
    row = model.objects.first()
    assert operator.get(address(model, "add")).status_code == 403
    assert operator.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_a_prediction_is_not_edited(things, operator):
    row = Prediction.objects.get(decision="parasitized")
    answer = operator.post(address(Prediction, "change", row.pk), {"decision": "uninfected"})
    assert answer.status_code == 403
    row.refresh_from_db()
    assert row.decision == "parasitized"


def test_no_photograph_and_no_invitation_link_is_shown(things, operator, laboratory):
    image = Prediction.objects.first().image
    page = operator.get(address(type(image), "change", image.pk)).text
    assert image.file.name not in page
    invitation = laboratory.invitations.get()
    assert (
        invitation.token
        not in operator.get(address(type(invitation), "change", invitation.pk)).text
    )
