import uuid

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.core.exceptions import PermissionDenied
from django.http import Http404

from diagnosis import access
from diagnosis.models import Role
from tests.people import join, laboratory_of, person
from tests.readings import active_model, another_model, new_image, new_slide

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory)


@pytest.fixture
def outsiders(laboratory):
    """Nobody, a member of another laboratory, and a member whose account was closed."""
    closed = join(laboratory, "carl").user
    closed.is_active = False
    closed.save()
    return [AnonymousUser(), laboratory_of("eve", "Mombasa").members.get(), closed]


@pytest.mark.parametrize("role", Role.values)
def test_every_member_sees_the_laboratory_its_slides_and_images(role, laboratory, slide):
    image = new_image(slide)
    user = join(laboratory, "ben", role).user
    assert list(access.laboratories_for(user)) == [laboratory]
    assert list(access.slides_for(user)) == [slide]
    assert list(access.images_for(user)) == [image]
    assert access.get_laboratory(user, laboratory.pk) == laboratory
    assert access.get_slide(user, str(slide.pk)) == slide
    assert access.get_image(user, image.pk) == image


def test_outsiders_are_told_that_there_is_nothing(laboratory, slide, outsiders):
    image = new_image(slide)
    for user in outsiders:
        assert laboratory not in access.laboratories_for(user)
        assert slide not in access.slides_for(user)
        assert image not in access.images_for(user)
        for get, thing in (
            (access.get_laboratory, laboratory),
            (access.get_slide, slide),
            (access.get_image, image),
        ):
            with pytest.raises(Http404):
                get(user, thing.pk)


def test_a_site_administrator_is_an_outsider_too(slide):
    boss = laboratory_of("boss", "Nairobi").members.get()
    boss.is_superuser = boss.is_staff = True
    boss.save()
    with pytest.raises(Http404):
        access.get_slide(boss, slide.pk)


@pytest.mark.parametrize("id", [uuid.uuid4(), "", "7", "not-an-id", "' OR 1=1", "\x00"])
def test_what_is_no_id_is_not_found(id, laboratory):
    user = laboratory.members.get()
    for get in (access.get_slide, access.get_image, access.get_laboratory):
        with pytest.raises(Http404):
            get(user, id)


def test_a_person_in_two_laboratories_sees_both_and_no_slide_twice(laboratory, slide):
    eve = laboratory_of("eve", "Mombasa").members.get()
    theirs = new_slide(eve.memberships.get().laboratory)
    laboratory.memberships.create(user=eve, role=Role.REVIEWER)
    assert set(access.slides_for(eve)) == {slide, theirs}
    assert access.slides_for(eve).count() == 2


def test_whoever_leaves_sees_nothing_any_more(laboratory, slide):
    membership = join(laboratory, "ben")
    membership.delete()
    with pytest.raises(Http404):
        access.get_slide(membership.user, slide.pk)


def test_a_role_can_be_asked_for(laboratory):
    ben = join(laboratory, "ben", Role.TECHNICIAN).user
    assert access.get_laboratory(ben, laboratory.pk, Role.TECHNICIAN) == laboratory
    assert access.get_laboratory(ben, laboratory.pk, (Role.REVIEWER, Role.TECHNICIAN))
    for role in (Role.ADMINISTRATOR, (Role.REVIEWER, Role.CLINICIAN), ()):
        with pytest.raises(PermissionDenied):
            access.get_laboratory(ben, laboratory.pk, role)


@pytest.mark.parametrize("role", Role)
def test_who_may_review(role, laboratory, slide, outsiders):
    image, user = new_image(slide), join(laboratory, "ben", role).user
    if role == Role.TECHNICIAN:
        assert not access.may_review(user, slide)
        with pytest.raises(PermissionDenied):
            access.get_image_to_review(user, image.pk)
    else:
        assert access.may_review(user, slide)
        assert access.get_image_to_review(user, image.pk) == image
    for outsider in outsiders:
        assert not access.may_review(outsider, slide)
        with pytest.raises(Http404):
            access.get_image_to_review(outsider, image.pk)


def test_a_role_in_another_laboratory_counts_for_nothing(laboratory):
    eve = laboratory_of("eve", "Mombasa").members.get()
    with pytest.raises(Http404):
        access.get_laboratory(eve, laboratory.pk, Role.ADMINISTRATOR)
    laboratory.memberships.create(user=eve, role=Role.TECHNICIAN)
    with pytest.raises(PermissionDenied):
        access.get_laboratory(eve, laboratory.pk, Role.ADMINISTRATOR)


def test_models_are_seen_by_everyone_who_signed_in(laboratory, outsiders):
    anonymous, eve, closed = outsiders
    versions = {active_model(), another_model()}
    for user in (laboratory.memberships.get(role=Role.ADMINISTRATOR).user, eve):
        assert set(access.versions_for(user)) == versions
    for user in (anonymous, closed):
        assert not access.versions_for(user)
        with pytest.raises(Http404):
            access.get_version(user, active_model().pk)


def test_models_are_changed_by_operators_of_the_site_alone(laboratory, outsiders):
    permission = Permission.objects.get(codename="change_modelversion")
    trusted, visitor = person("trusted", is_staff=True), person("visitor")
    for user in (trusted, visitor):
        user.user_permissions.add(permission)
    closed = person("closed", is_staff=True, is_superuser=True, is_active=False)
    administrator = laboratory.memberships.get(role=Role.ADMINISTRATOR).user
    version = active_model()
    for user in (person("root", is_staff=True, is_superuser=True), trusted):
        assert access.get_version(user, version.pk, to_change=True) == version
    refused = [administrator, visitor, closed, person("staff", is_staff=True), *outsiders]
    for user in refused:
        assert not access.is_operator(user)
        with pytest.raises(Http404):
            access.get_version(user, version.pk, to_change=True)
