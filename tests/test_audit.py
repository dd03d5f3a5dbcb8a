"""Every deed leaves an event, which administrators of the laboratory read and nobody changes."""

import csv
import io
import re

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import NoReverseMatch, reverse

from diagnosis import audit, registry, tokens
from diagnosis.models import Action, Event, Role
from ml.decisions import Thresholds
from tests.people import join, laboratory_of, signed_in
from tests.readings import active_model, another_model, failed, new_slide, png, read, read_field

pytestmark = pytest.mark.django_db
PAGES = ["laboratory_audit", "laboratory_audit_csv", "laboratory_deleted"]


@pytest.fixture
def laboratory(settings):
    settings.CELERY_BROKER_URL = "memory://"
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return signed_in(laboratory.members.get())


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "KSM-7")


def url(name, laboratory, *more):
    return reverse(name, args=[laboratory.pk, *more])


def last(laboratory):
    event = laboratory.events.first()
    return event.who, event.action, event.kind, event.name


def count(action):
    return Event.objects.filter(action=action).count()


class TestWhatIsNoted:
    def test_a_slide_and_its_images(self, ada, laboratory):
        active_model()
        ada.post(reverse("slide_new"), {"code": "K-1"}, headers={"accept": "application/json"})
        slide = laboratory.slides.get()
        assert last(laboratory) == ("ada", "made", "slide", "K-1")
        image = SimpleUploadedFile("cell.png", png())
        ada.post(reverse("slide_images", args=[slide.pk]), {"images": [image]})
        assert last(laboratory) == ("ada", "uploaded", "slide", "K-1")
        assert laboratory.events.first().changes == {"images": [None, ["cell.png"]]}
        again = SimpleUploadedFile("again.png", png())
        ada.post(reverse("slide_images", args=[slide.pk]), {"images": [again]})
        assert count(Action.UPLOADED) == 1

    def test_an_image_that_is_to_be_read_again(self, ada, laboratory, slide):
        active_model()
        image = failed(slide).image
        for _ in range(2):
            ada.post(reverse("image_retry", args=[image.pk]))
        assert last(laboratory) == ("ada", "read-again", "smearimage", f"KSM-7: {image.name}")
        assert count(Action.READ_AGAIN) == 1

    def test_a_laboratory_that_is_closed(self, ada, laboratory):
        ada.post(url("laboratory_leave", laboratory))
        event = Event.objects.first()
        assert (event.who, event.action, event.name) == ("ada", "deleted", "Kisumu")
        assert event.laboratory_id == laboratory.pk

    def test_invitations_that_go_with_whoever_made_them(self, ada, laboratory):
        eve = join(laboratory, "eve", Role.ADMINISTRATOR)
        laboratory.invitations.create(invited_by=eve.user, note="for Ben")
        ada.post(url("member_role", laboratory, eve.pk), {"role": "clinician"})
        gone = laboratory.events.get(kind="invitation")
        assert (gone.who, gone.action, gone.name) == ("ada", "deleted", "for Ben")

    @pytest.mark.parametrize("name", ["image_photo", "slide_sign"])
    def test_who_saw_a_slide_past_its_page(self, ada, laboratory, slide, name):
        image = read(slide, "parasitized").image
        seen = image if name == "image_photo" else slide
        for _ in range(2):
            assert ada.get(reverse(name, args=[seen.pk])).status_code == 200
        assert last(laboratory) == ("ada", "saw", "slide", "KSM-7")
        assert count(Action.SAW) == 1

    def test_the_small_pictures_of_a_page_are_seen_with_it(self, ada, laboratory, slide):
        image = read(slide, "parasitized").image
        ada.get(reverse("image_photo", args=[image.pk]), {"small": ""})
        assert count(Action.SAW) == 0

    def test_reviews_with_what_was_said_before(self, ada, laboratory, slide):
        image = read(slide, "parasitized", name="cell.png").image
        address = reverse("image_review", args=[image.pk])
        ada.post(address, {"label": "uninfected"})
        assert last(laboratory) == ("ada", "reviewed", "smearimage", "KSM-7: cell.png")
        ada.post(address, {"label": "parasitized", "comment": "a ring"})
        ada.post(address, {"label": "parasitized", "comment": "a ring"})
        ada.post(reverse("image_review_undo", args=[image.pk]))
        changes = Event.objects.filter(action=Action.REVIEWED).order_by("pk")
        assert list(changes.values_list("changes", flat=True)) == [
            {"label": [None, "uninfected"]},
            {"label": ["uninfected", "parasitized"], "comment": ["", "a ring"]},
            {"label": ["parasitized", None]},
        ]

    def test_cells_of_a_field(self, ada, laboratory, slide):
        field = read_field(slide, "parasitized", "uninfected")
        address = reverse("field_cells", args=[field.image_id])
        kind = "application/json"
        ada.post(address, {"cell": field.cells.first().pk, "label": "no-cell"}, content_type=kind)
        name = f"KSM-7: {field.image.name}, cell 1"
        assert last(laboratory) == ("ada", "reviewed", "cell", name)
        box = {"box": [200, 200, 30, 30], "label": "parasitized"}
        ada.post(address, box, content_type=kind)
        assert last(laboratory)[1:3] == ("made", "cell")

    def test_looking_is_one_event_in_a_while(self, ada, laboratory, slide):
        page = reverse("slide", args=[slide.pk])
        ada.get(page), ada.get(page)
        ada.get(reverse("history")), ada.get(reverse("history"))
        assert [event.name for event in Event.objects.filter(action=Action.SAW)] == [
            "Kisumu",
            "KSM-7",
        ]
        Event.objects.update(at=Event.objects.first().at - audit.SEEN_AGAIN_AFTER * 1.1)
        ada.get(page)
        assert count(Action.SAW) == 3

    def test_everyone_who_looks_is_named(self, ada, laboratory, slide):
        page = reverse("slide", args=[slide.pk])
        ada.get(page), signed_in(join(laboratory, "ben").user).get(page)
        looks = Event.objects.filter(action=Action.SAW)
        assert set(looks.values_list("who", flat=True)) == {"ada", "ben"}

    def test_a_page_that_asks_again_and_again_is_no_look(self, ada, slide):
        ada.get(reverse("slide_results", args=[slide.pk]))
        assert count(Action.SAW) == 0

    def test_what_leaves_the_site(self, ada, laboratory, slide):
        ada.get(reverse("slide_csv", args=[slide.pk]))
        assert last(laboratory) == ("ada", "exported", "slide", "KSM-7")
        ada.get(reverse("slide_cells_csv", args=[slide.pk]))
        assert laboratory.events.filter(action=Action.EXPORTED).count() == 2
        ada.get(reverse("history_csv"), {"result": "parasitized"})
        assert last(laboratory) == ("ada", "exported", "laboratory", "Kisumu")
        assert laboratory.events.first().changes == {"narrowed": [None, {"result": "parasitized"}]}

    def test_who_belongs_to_the_laboratory(self, ada, laboratory):
        ben = join(laboratory, "ben", Role.CLINICIAN)
        ada.post(url("laboratory_rename", laboratory), {"name": "Siaya"})
        assert laboratory.events.first().changes == {"name": ["Kisumu", "Siaya"]}
        ada.post(url("member_role", laboratory, ben.pk), {"role": "reviewer"})
        assert laboratory.events.first().changes == {"role": ["clinician", "reviewer"]}
        ada.post(url("member_reset", laboratory, ben.pk))
        assert last(laboratory) == ("ada", "changed", "membership", "ben")
        ada.post(url("member_remove", laboratory, ben.pk))
        assert last(laboratory) == ("ada", "deleted", "membership", "ben")
        ada.post(url("laboratory_invite", laboratory), {"role": "clinician", "note": "Carl"})
        assert last(laboratory) == ("ada", "made", "invitation", "Carl")
        invitation = laboratory.invitations.get()
        carl = signed_in(laboratory_of("carl", "Migori").members.get())
        carl.post(reverse("invitation", args=[invitation.token]))
        assert last(laboratory) == ("carl", "made", "membership", "carl")

    def test_the_measured_red_cells_of_a_slide(self, ada, laboratory, slide):
        address = reverse("slide_basis", args=[slide.pk])
        ada.post(address, {"red_cells_per_microlitre": 4_000_000})
        changes = laboratory.events.first().changes
        assert changes == {"red_cells_per_microlitre": [None, 4_000_000]}

    def test_a_model_is_everybodys_matter(self, laboratory):
        other, version = laboratory_of("eve", "Mombasa"), another_model()
        active_model()
        registry.activate(version, "Better.")
        registry.set_band(version, Thresholds(0.2, 0.7), "Safer.")
        for one in (laboratory, other):
            assert last(one) == ("command line", "changed", "modelversion", "resnet34-next")
            band, activation = one.events.all()[:2]
            assert activation.changes == {"active": ["resnet34-drawn", "resnet34-next"]}
            assert band.changes == {"low": [None, 0.2], "high": [None, 0.7]}

    def test_a_program_is_named_with_its_token(self, laboratory, slide):
        token, text = tokens.new(laboratory.members.get(), "scanner")
        assert last(laboratory)[1:] == ("made", "token", "scanner")
        program = Client(headers={"authorization": f"Bearer {text}"})
        program.get(reverse("api_slide", args=[slide.pk]))
        event = laboratory.events.first()
        assert (event.who, event.token, event.action) == ("ada", "scanner", "saw")
        tokens.revoke(token)
        assert last(laboratory)[1:] == ("deleted", "token", "scanner")

    def test_nothing_is_noted_of_what_did_not_happen(self, ada, laboratory, slide):
        outsider = signed_in(laboratory_of("eve", "Mombasa").members.get())
        before = Event.objects.count()
        outsider.get(reverse("slide", args=[slide.pk]))
        outsider.get(reverse("slide_csv", args=[slide.pk]))
        ada.post(reverse("slide_basis", args=[slide.pk]), {"red_cells_per_microlitre": "many"})
        assert Event.objects.count() == before

    def test_an_event_outlives_person_and_laboratory(self, laboratory, slide):
        audit.note(Action.CHANGED, slide)
        slide.delete(), laboratory.delete()
        User.objects.all().delete()
        assert Event.objects.filter(name="KSM-7").exists()


class TestWhoReadsIt:
    @pytest.mark.parametrize("name", PAGES)
    def test_administrators_alone(self, laboratory, ada, name):
        address = url(name, laboratory)
        assert ada.get(address).status_code == 200
        assert ada.post(address).status_code == 405
        assert Client().get(address)["Location"].startswith(reverse("account_login"))
        for role in (Role.TECHNICIAN, Role.CLINICIAN, Role.REVIEWER):
            member = signed_in(join(laboratory, f"a {role}", role).user)
            assert member.get(address).status_code == 403
        outsider = signed_in(laboratory_of("eve", "Mombasa").members.get())
        assert outsider.get(address).status_code == 404

    def test_of_their_own_laboratory_alone(self, laboratory, ada, slide):
        audit.note(Action.CHANGED, new_slide(laboratory_of("eve", "Mombasa"), "MSA-1"))
        audit.note(Action.CHANGED, slide)
        for name in ("laboratory_audit", "laboratory_audit_csv"):
            text = ada.get(url(name, laboratory)).getvalue().decode()
            assert "KSM-7" in text
            assert "MSA-1" not in text

    def test_narrowed_by_deed_and_person(self, laboratory, ada, slide):
        ada.get(reverse("slide", args=[slide.pk]))
        join(laboratory, "ben")
        address = url("laboratory_audit", laboratory)
        assert "KSM-7" in ada.get(address, {"action": "saw", "who": "ada"}).text
        assert "Nothing like that happened" in ada.get(address, {"who": "ben"}).text
        assert "Nothing like that happened" in ada.get(address, {"action": "purged"}).text

    def test_what_changed_has_the_signs_of_the_readers_language(self, laboratory, ada, slide):
        audit.note(Action.CHANGED, slide, note=("", "A"), code=("B", "C"))
        page = ada.get(url("laboratory_audit", laboratory), headers={"Accept-Language": "fr"}).text
        assert re.search(r"note\xa0: aucune? → A\xa0; code\xa0: B → C", page)

    def test_a_file_that_a_spreadsheet_does_not_run(self, laboratory, ada, slide):
        audit.note(Action.CHANGED, slide, note=("=1+1", "Ward 4"))
        Event.objects.update(name="=cmd|' /C calc'!A0")
        answer = ada.get(url("laboratory_audit_csv", laboratory))
        assert answer["Content-Disposition"] == 'attachment; filename="audit.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
        assert "'=cmd|' /C calc'!A0" in {row["name"] for row in rows}
        assert "note: =1+1 → Ward 4" in {row["what changed"] for row in rows}
        assert rows[0]["what changed"] == "of: none → who did what"

    def test_many_events_come_in_pages_of_few_queries(
        self, laboratory, ada, slide, django_assert_max_num_queries
    ):
        for _ in range(120):
            audit.note(Action.CHANGED, slide)
        with django_assert_max_num_queries(9):
            page = ada.get(url("laboratory_audit", laboratory), {"page": 2}).text
        assert "Page 2 of 3" in page

    def test_the_sites_administrator_cannot_change_it(self, laboratory, slide):
        audit.note(Action.CHANGED, slide)
        boss = laboratory.members.get()
        boss.is_staff = boss.is_superuser = True
        boss.save()
        with pytest.raises(NoReverseMatch):
            reverse("admin:diagnosis_event_change", args=[Event.objects.first().pk])
        assert signed_in(boss).get("/admin/diagnosis/event/").status_code == 404
