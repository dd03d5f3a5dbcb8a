import re
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import AnonymousUser, Permission
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.http import Http404, HttpResponse
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone

from diagnosis import access, signing
from diagnosis.models import Laboratory, Role
from tests.databases import taken_back
from tests.people import join, laboratory_of, person, signed_in
from tests.readings import active_model, another_model, new_image, new_slide, read, read_field
from tests.test_api import program_of

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


# The table: every address of the site, and what each kind of visitor is told there.

MEMBERS = ("uploader", "technician", "clinician", "reviewer", "administrator")
OUTSIDERS = ("outsider", "operator", "nobody")
SIGNED_IN = MEMBERS + OUTSIDERS
ANONYMOUS = ("anonymous", "inactive", "signed out")
VISITORS = SIGNED_IN + ANONYMOUS

OPEN, SIGN_IN, NOT_THERE, NOT_ALLOWED = "open", "sign in", 404, 403


@dataclass(frozen=True)
class Row:
    """What is asked at the address that its name begins with.

    `opens` is what those who may are told, `others` what the others are.

    The `parts` of the address, and those that the `data` names, are of the `place`.
    """

    may: tuple[str, ...]
    opens: int | str = 200
    method: str = "get"
    parts: tuple[str, ...] = ()
    data: dict[str, str] = field(default_factory=dict)
    others: dict[str, int | str] = field(default_factory=dict)

    def expected(self, visitor: str) -> int | str:
        if visitor in self.may:
            return self.opens
        if visitor in self.others:
            return self.others[visitor]
        return SIGN_IN if visitor in ANONYMOUS else NOT_THERE


def of_slide(**more: Any) -> Row:
    return Row(MEMBERS, parts=("slide",), **more)


def of_uploaders(**more: Any) -> Row:
    """Of what one of them made."""
    refused = dict.fromkeys(("technician", "clinician", "reviewer"), NOT_ALLOWED)
    return Row(("uploader", "administrator"), parts=("slide",), others=refused, **more)


def of_image(**more: Any) -> Row:
    return Row(MEMBERS, parts=("image",), **more)


def of_field(*parts: str, **more: Any) -> Row:
    refused: dict[str, int | str] = more.get("others", {})
    may = tuple(visitor for visitor in MEMBERS if visitor not in refused)
    return Row(may, parts=("field", *parts), **more)


def of_reviewers(*parts: str, opens: int = 302, method: str = "post", **more: Any) -> Row:
    refused = dict.fromkeys(("uploader", "technician"), NOT_ALLOWED)
    reviewing = ("clinician", "reviewer", "administrator")
    return Row(reviewing, opens, method, parts or ("image",), others=refused, **more)


def of_administrators(*parts: str, opens: int = 302, method: str = "post", **more: Any) -> Row:
    refused = dict.fromkeys(("uploader", "technician", "clinician", "reviewer"), NOT_ALLOWED)
    return Row(("administrator",), opens, method, ("laboratory", *parts), others=refused, **more)


def of_operators(**more: Any) -> Row:
    return Row(("operator",), parts=("version",), **more)


def public(opens: int | str = 200, **more: Any) -> Row:
    return Row(VISITORS, opens, **more)


def signed_in_only(opens: int = 200, **more: Any) -> Row:
    return Row(SIGNED_IN, opens, **more)


def for_the_anonymous(signed_in_go_to: int = 302, **more: Any) -> Row:
    return Row(ANONYMOUS, others=dict.fromkeys(SIGNED_IN, signed_in_go_to), **more)


TABLE = {
    "home": for_the_anonymous(),
    "set_language": public(302, method="post", data={"language": "language"}),
    "words": public(parts=("language", "old")),
    "dashboard": signed_in_only(),
    "dashboard, of one laboratory": Row(MEMBERS, data={"laboratory": "laboratory"}),
    "tray": signed_in_only(),
    "tray, of one laboratory": Row(MEMBERS, data={"laboratory": "laboratory"}),
    "history": signed_in_only(),
    "history_csv": signed_in_only(),
    "slide_new": signed_in_only(),
    "slide": of_slide(),
    "first_slide": signed_in_only(302),
    "slide_next": of_slide(opens=302),
    "slide_reading": of_reviewers("slide", data={"conclusion": "positive"}),
    "slide_settle": of_reviewers("slide"),
    "slide_second_reader": of_reviewers("slide"),
    "slide_second_reader, taken back": of_reviewers("slide", data={"take_back": "yes"}),
    "slide_one_reading": Row(
        ("administrator",),
        302,
        "post",
        ("read twice",),
        {"reason": "Nobody else is here."},
        dict.fromkeys(("uploader", "technician", "clinician", "reviewer"), NOT_ALLOWED),
    ),
    "slide_images": of_slide(opens=302, method="post"),
    "slide_results": of_slide(),
    "slide_again": of_slide(opens=302, method="post"),
    "slide_retry": of_slide(opens=302, method="post"),
    "slide_csv": of_slide(),
    "slide_cells_csv": of_slide(),
    "report_pdf": of_slide(),
    "signed_pdf": Row(MEMBERS, parts=("signed slide", "report")),
    "signed_fhir": Row(MEMBERS, parts=("signed slide", "report")),
    "report_fhir": of_slide(),
    "slide_delete": of_uploaders(opens=302, method="post"),
    "slide_basis": of_slide(opens=302, method="post"),
    "slide_sign": of_reviewers("slide"),
    "slide_sign, the page": of_reviewers("slide", opens=200, method="get"),
    "slide_amend": of_reviewers("signed slide", data={"reason": "A field more."}),
    "slide_report": Row(MEMBERS, parts=("signed slide", "report")),
    "field": of_field(),
    "field_cells": of_field(),
    "field_cells, to review": of_field(
        method="post", opens=400, others=dict.fromkeys(("uploader", "technician"), NOT_ALLOWED)
    ),
    "cell_crop": of_field("cell"),
    "cell_heatmap": of_field("cell"),
    "image_kind": of_image(opens=302, method="post"),
    "image_photo": of_image(),
    "image_heatmap": of_image(),
    "image_retry": of_image(opens=302, method="post"),
    "image_review": of_reviewers(data={"label": "uninfected"}),
    "image_review_undo": of_reviewers(),
    "laboratories": signed_in_only(),
    "laboratory": Row(MEMBERS, parts=("laboratory",)),
    "laboratory_rename": of_administrators(data={"name": "Siaya"}),
    "laboratory_second_reading": of_administrators(data={"second_reading": "on"}),
    "laboratory_report_language": of_administrators(data={"report_language": "fr"}),
    "laboratory_leave": Row(MEMBERS, parts=("laboratory",)),
    "laboratory_hand_over": of_administrators(opens=200, method="get"),
    "laboratory_invite": of_administrators(data={"role": "technician"}),
    "invitation_revoke": of_administrators("invitation"),
    "member_role": of_administrators("member", data={"role": "reviewer"}),
    "member_remove": of_administrators("member"),
    "member_reset": of_administrators("member", opens=200),
    "laboratory_audit": of_administrators(opens=200, method="get"),
    "laboratory_audit_csv": of_administrators(opens=200, method="get"),
    "laboratory_deleted": of_administrators(opens=200, method="get"),
    "slide_restore": of_administrators("deleted slide"),
    # Whoever holds the link may read it; a member is led to the laboratory.
    "invitation": Row(
        (*OUTSIDERS, *ANONYMOUS), parts=("token",), others=dict.fromkeys(MEMBERS, 302)
    ),
    "model": public(),
    "model_compare": signed_in_only(data={"one": "version", "other": "version"}),
    "model_version": signed_in_only(parts=("version",)),
    "model_plot": signed_in_only(404, parts=("version", "plot")),
    "model_activate": of_operators(),
    "model_thresholds": of_operators(),
    "healthz": public(),
    "readyz": public(503),  # without a model's files here
    "metrics": public(404),  # without the token
    "account_login": for_the_anonymous(),
    "account_logout": Row(SIGNED_IN, others=dict.fromkeys(ANONYMOUS, 302)),
    "account_inactive": public(),
    "account_signup": for_the_anonymous(),
    "account_reauthenticate": signed_in_only(),
    "account_email": signed_in_only(),
    "account_email_verification_sent": public(),
    "account_change_password": signed_in_only(),
    "account_set_password": signed_in_only(302),
    "account_reset_password": public(),
    "account_confirm_login_code": signed_in_only(302),
    "account_confirm_email": public(parts=("key",)),
    "account_reset_password_from_key": public(parts=("uid", "key")),
    "account_reset_password_from_key_done": public(),
    "account_reset_password_done": public(),
    "usersessions_list": signed_in_only(),
    "mfa_index": signed_in_only(),
    "mfa_authenticate": signed_in_only(302),
    "mfa_reauthenticate": signed_in_only(302),
    "mfa_activate_totp": signed_in_only(302),  # the password is asked for first
    "mfa_deactivate_totp": signed_in_only(404),  # there is none
    "mfa_view_recovery_codes": signed_in_only(404),
    "mfa_generate_recovery_codes": signed_in_only(302),
    "mfa_download_recovery_codes": signed_in_only(404),
    "notices": signed_in_only(),
    "bell": signed_in_only(others=dict.fromkeys(ANONYMOUS, 204)),
    "notices_seen": signed_in_only(302, method="post"),
    "mail_choices": signed_in_only(),
    "tokens": signed_in_only(302),
    "token_revoke": Row(("administrator",), 302, "post", ("own token",)),
    # By a token, each visitor's own.
    "api_schema": public(),
    "api_docs": public(),
    "api_laboratories": signed_in_only(),
    "api_slides": signed_in_only(),
    "api_slides, a new one": signed_in_only(400, method="post"),
    "api_slide": of_slide(),
    "api_slide, to delete": of_uploaders(opens=204, method="delete"),
    "api_slide_images": of_slide(),
    "api_slide_images, to upload": of_slide(opens=415, method="post"),
    "api_slide_again": of_slide(method="post"),
    "api_slide_retry": of_slide(method="post"),
    "api_slide_csv": of_slide(),
    "api_slide_cells_csv": of_slide(),
    "api_slide_pdf": of_slide(),
    "api_slide_fhir": of_slide(),
    "api_readings": of_slide(),
    "api_readings, to conclude": of_reviewers(
        "slide", opens=200, method="put", data={"conclusion": "positive"}
    ),
    "api_second_reader": of_reviewers("slide", opens=200),
    "api_second_reader, taken back": of_reviewers("slide", opens=409, method="delete"),
    "api_differences": of_slide(),
    "api_differences, to settle": of_reviewers("slide", opens=400),
    "api_slide_reports": of_slide(),
    "api_slide_reports, to sign": of_reviewers("slide", opens=201),
    "api_image": of_image(),
    "api_image_photo": of_image(),
    "api_image_retry": of_image(method="post"),
    "api_image_review": of_reviewers(opens=200, method="put", data={"label": "uninfected"}),
    "api_image_review, back": of_reviewers(opens=200, method="delete"),
    "api_cells": of_field(),
    "api_cells, a missed one": of_reviewers(
        "field", opens=201, data={"box": "box", "label": "parasitized"}
    ),
    "api_image_kind": of_image(opens=200, method="put", data={"kind": "kind"}),
    "api_slide_basis": of_slide(
        opens=200, method="put", data={"red_cells_per_microlitre": "4000000"}
    ),
    "api_cell_review": of_reviewers(
        "field", "cell", opens=200, method="put", data={"label": "uninfected"}
    ),
    "api_cell_review, back": of_reviewers("field", "cell", opens=200, method="delete"),
}


def names(patterns: list[Any], space: str = "") -> Iterator[str]:
    """Of every address; those of the administration are asked below, and "" stands for no other."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
                yield from names(pattern.url_patterns, inner)
        else:
            yield space + (pattern.name or str(pattern.pattern))


def address_of(name: str) -> str:
    return name.split(",")[0]


def test_every_address_has_its_row():
    assert set(names(get_resolver().url_patterns)) == {"", *map(address_of, TABLE)}


@dataclass
class Place:
    """A laboratory with a member of each role and one thing of each kind; and all visitors."""

    clients: dict[str, Client]
    programs: dict[str, Client]
    parts: dict[str, Any]

    def ask(self, visitor: str, name: str, row: Row, **parts: Any) -> HttpResponse:
        """What is changed by it is taken back."""
        with transaction.atomic():
            answer = self.tell(visitor, name, row, **parts)
            transaction.set_rollback(True)
        return answer

    def tell(self, visitor: str, name: str, row: Row, **parts: Any) -> HttpResponse:
        address = reverse(address_of(name), args=[(self.parts | parts)[part] for part in row.parts])
        data = {key: self.parts.get(value, value) for key, value in row.data.items()}
        by_token = name.startswith("api_")
        client = (self.programs if by_token else self.clients)[visitor]
        kind = {"content_type": "application/json"} if by_token and row.method != "get" else {}
        return getattr(client, row.method)(address, data, **kind)


@pytest.fixture
def place(laboratory):
    people = {role: join(laboratory, role, role).user for role in MEMBERS[1:-1]}
    people["administrator"] = laboratory.members.get(username="ada")
    people["uploader"] = join(laboratory, "uploader", Role.TECHNICIAN).user
    people["inactive"] = join(laboratory, "carl").user
    people["outsider"] = laboratory_of("eve", "Mombasa").members.get()
    people["operator"] = person("root", is_staff=True, is_superuser=True)
    people["nobody"] = person("ned")
    people["signed out"] = join(laboratory, "sol").user
    clients = {name: signed_in(user) for name, user in people.items()}
    clients["anonymous"] = Client()
    programs = {name: program_of(user) for name, user in people.items()}
    programs["anonymous"] = Client()
    clients["signed out"].post(reverse("account_logout"))
    people["signed out"].tokens.all().delete()
    people["inactive"].is_active = False
    people["inactive"].save()
    slide = new_slide(laboratory, created_by=people["uploader"])
    image = read(slide, "parasitized").image
    field = read_field(slide, "parasitized").image
    signed = new_slide(laboratory)
    read(signed)
    invitation = laboratory.invitations.create(invited_by=people["administrator"])
    parts = {
        "box": [1, 2, 30, 40],
        "kind": "cell",
        "slide": slide.pk,
        "deleted slide": new_slide(laboratory, deleted_at=timezone.now()).pk,
        "signed slide": signed.pk,
        "read twice": new_slide(laboratory, is_read_twice=True).pk,
        "report": signing.sign(signed, people["administrator"]).number,
        "image": image.pk,
        "field": field.pk,
        "cell": field.cells.get().pk,
        "laboratory": laboratory.pk,
        "member": laboratory.memberships.get(user=people["technician"]).pk,
        "invitation": invitation.pk,
        "token": invitation.token,
        "version": active_model().pk,
        "plot": "roc.png",
        "own token": people["administrator"].tokens.get().pk,
        "key": "made-up",
        "language": "en-gb",
        "old": "old",
        "uid": "a",
    }
    return Place(clients, programs, parts)


def told(answer: HttpResponse) -> int | str:
    if answer.status_code == 302 and answer["Location"].startswith(reverse("account_login")):
        return SIGN_IN
    return SIGN_IN if answer.status_code == 401 else answer.status_code


def test_what_each_visitor_is_told(place):
    surprises = {
        (name, visitor): answer
        for name, row in TABLE.items()
        for visitor in VISITORS
        if (answer := told(place.ask(visitor, name, row))) != row.expected(visitor)
    }
    assert surprises == {}


def test_without_a_transaction_around_it_postgresql_does_the_same(postgresql, place):
    """On SQLite locks ask for none, and a test's own transaction hides that there is none."""
    surprises = {}
    for name, row in TABLE.items():
        around = nullcontext() if row.method == "get" else taken_back(postgresql)
        with around:
            answer = told(place.tell(row.may[-1], name, row))
        if answer != row.expected(row.may[-1]):
            surprises[name] = answer
    assert surprises == {}


def body(answer: HttpResponse) -> str:
    """Without what differs each time, and the address that was asked for."""
    differing = r'csrf[^>]*value="[^"]*"|X-CSRFToken[^}]*|name="next" value="[^"]*"'
    return re.sub(differing, "", answer.content.decode())


@pytest.mark.parametrize("part", ["slide", "signed slide", "image", "field", "laboratory"])
def test_what_others_hold_is_answered_as_what_never_was(part, place):
    for name, row in TABLE.items():
        if row.parts[:1] == (part,):
            theirs, none = (
                place.ask("outsider", name, row, **parts) for parts in ({}, {part: uuid.uuid4()})
            )
            assert (theirs.status_code, body(theirs)) == (404, body(none)), name


@pytest.mark.parametrize("part", ["member", "invitation", "deleted slide", "own token"])
def test_what_others_hold_is_not_in_ones_own_either(part, place):
    """An administrator elsewhere puts the id of another laboratory's into their own address."""
    own = Laboratory.objects.get(name="Mombasa").pk
    never = uuid.uuid4() if part == "deleted slide" else 10**6
    rows = {name: row for name, row in TABLE.items() if row.parts[-1:] == (part,)}
    assert rows
    for name, row in rows.items():
        theirs, none = (
            place.ask("outsider", name, row, laboratory=own, **{part: id})
            for id in (place.parts[part], never)
        )
        assert (theirs.status_code, body(theirs)) == (404, body(none)), name


@pytest.mark.parametrize("number", [1, 2])
def test_a_report_of_others_is_answered_as_one_that_never_was(number, place):
    row = TABLE["slide_report"]
    theirs = place.ask("outsider", "slide_report", row, report=number)
    none = place.ask("outsider", "slide_report", row, **{"signed slide": uuid.uuid4()})
    assert (theirs.status_code, body(theirs)) == (404, body(none))


def test_an_invitation_that_is_over_is_answered_as_one_that_never_was(place, laboratory):
    ada, carla = laboratory.members.get(username="ada"), person("carla")
    used = laboratory.invitations.create(invited_by=ada, accepted_by=carla)
    answers = [
        place.ask("outsider", "invitation", TABLE["invitation"], token=token)
        for token in (used.token, "made-up")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert body(answers[0]) == body(answers[1])


def test_the_administration_opens_to_operators_alone(place):
    addresses = ["/admin/", *(admin_address(model) for model in site._registry)]
    for visitor, client in place.clients.items():
        answers = {client.get(address).status_code for address in addresses}
        assert answers == ({200} if visitor == "operator" else {302}), visitor


def admin_address(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def test_a_sign_in_and_a_reset_do_not_tell_who_has_an_account(client, mailoutbox):
    person("ada", email="ada@example.org")
    wrong = [
        body(client.post(reverse("account_login"), {"login": login, "password": "wrong"}))
        for login in ("ada", "bob")
    ]
    assert wrong[0].replace('"ada"', '"bob"') == wrong[1]
    resets = [
        client.post(reverse("account_reset_password"), {"email": f"{name}@example.org"})
        for name in ("ada", "bob")
    ]
    assert [(answer.status_code, answer.headers.get("Location")) for answer in resets] == [
        (resets[0].status_code, resets[0].headers.get("Location"))
    ] * 2
