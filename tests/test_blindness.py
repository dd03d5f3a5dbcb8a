"""What one reader says of a slide reaches no other reader before they have closed their own."""

import re
from typing import Any

import pytest
from django.urls import reverse

from diagnosis import blindness, cells, readings, reviews
from diagnosis.models import Role
from tests.people import join, laboratory_of, signed_in
from tests.readings import measured_model, new_slide, read, read_field
from tests.test_api import program_of

pytestmark = pytest.mark.django_db
PAGES = (
    "slide", "slide_results", "slide_csv", "history", "history_csv", "report_pdf", "report_fhir",
    "field", "field_cells", "first_slide", "slide_next", "slide_cells_csv",
)  # fmt: skip
PROGRAMS = (
    "api_slides", "api_slide", "api_slide_images", "api_slide_csv", "api_image", "api_cells",
    "api_slide_reports", "api_readings", "api_differences", "api_slide_pdf", "api_slide_fhir",
    "api_slide_cells_csv",
)  # fmt: skip
IMAGES = ("?show=parasitized", "?order=suspicious")
NARROWED = {
    "slide": IMAGES,
    "slide_results": IMAGES,
    "api_slide_images": IMAGES,
    "history": ("?result=positive", "?result=parasitized"),
    "api_slides": ("?result=positive", "?result=parasitized"),
}
SECRETS = ("fay", "a ring of hers")


class Place:
    def __init__(self) -> None:
        measured_model()
        self.programs: dict[Any, Any] = {}
        self.laboratory = laboratory_of("ada")
        self.laboratory.second_reading = True
        self.laboratory.save()
        self.slide = new_slide(self.laboratory, "KSM-7")
        self.image = read(self.slide, "uncertain").image
        self.field = read_field(self.slide, "uncertain", "uninfected").image
        self.other_field = read_field(self.slide, "uninfected", "uninfected").image
        self.first = join(self.laboratory, "fay").user

    def speak(self) -> None:
        """All that a first reader can say, against the model."""
        reviews.say(self.image, self.first, "parasitized", "a ring of hers")
        for cell in self.field.cells.filter(prediction__isnull=False):
            cells.say(self.field, self.first, cell.pk, "parasitized", "a ring of hers")
        reviews.say(self.other_field, self.first, "aside", "a ring of hers")
        cells.add(self.field, self.first, [200, 200, 30, 30], "parasitized")
        readings.conclude(self.slide, self.first, "positive", "a ring of hers", close=True)

    def address(self, name: str) -> str:
        if name in ("history", "history_csv", "api_slides", "first_slide"):
            return reverse(name)
        if name in ("field", "field_cells", "api_cells"):
            return reverse(name, args=[self.field.pk])
        return reverse(name, args=[(self.image if name == "api_image" else self.slide).pk])

    def told(self, user: Any) -> dict[str, str]:
        """By every way out, as it is put to this person."""
        if user not in self.programs:
            self.programs[user] = program_of(user)
        page, program = signed_in(user), self.programs[user]
        ways = [(page, name) for name in PAGES] + [(program, name) for name in PROGRAMS]
        return {
            f"{name}{query}": text(client.get(self.address(name) + query))
            for client, name in ways
            for query in ("", *NARROWED.get(name, ()))
        }


def text(answer: Any) -> str:
    """Without what differs each time."""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if answer.headers.get("Content-Type") == "application/pdf":
        content = re.sub(rb"/(ID|CreationDate|ModDate)[^\n]*\n[^\n]*", b"", content)
    plain = content.decode("latin-1") + answer.headers.get("Location", "")
    return re.sub(r'csrf[^>]*value=\\?"[^"\\]*', "", plain)


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def ben(place):
    return join(place.laboratory, "ben", Role.REVIEWER).user


@pytest.fixture
def still(monkeypatch):
    """The page says when it was made."""
    monkeypatch.setattr("diagnosis.pdf._moment", lambda when: "now")
    monkeypatch.setattr("reportlab.rl_config.invariant", 1)


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.CLINICIAN, Role.ADMINISTRATOR])
def test_no_way_out_tells_a_second_reader_of_the_first(place, role, still):
    second = join(place.laboratory, "sam", role).user
    before = place.told(second)
    place.speak()
    after = place.told(second)
    assert {name for name in before if before[name] != after[name]} == set()
    assert not [name for name in after for secret in SECRETS if secret in after[name]]


def test_each_way_out_tells_once_both_are_closed(place, ben, still):
    """So that the test above can fail."""
    before = place.told(ben)
    place.speak()
    readings.conclude(place.slide, ben, "negative", close=True)
    after = place.told(ben)
    silent = {name.split("?")[0] for name in before if before[name] != after[name]}
    assert {*PAGES, *PROGRAMS} - silent <= {
        "field",
        "slide_next",
        "first_slide",
        "api_slide_reports",
    }


def test_both_are_blind_while_both_are_open(place, ben):
    reviews.say(place.image, place.first, "parasitized")
    reviews.say(place.image, ben, "uninfected")
    for user, other in ((place.first, ben), (ben, place.first)):
        assert blindness.hides(user, place.slide)
        [seen] = blindness.reviews(user).filter(image=place.image)
        assert seen.reviewer == user != other


def test_whoever_has_closed_their_reading_sees_the_other(place, ben):
    place.speak()
    reviews.say(place.image, ben, "uninfected")
    assert blindness.reviews(place.first).filter(image=place.image).count() == 2
    assert blindness.reviews(ben).filter(image=place.image).count() == 1


def test_a_technician_does_not_read_and_sees_it(place):
    technician = join(place.laboratory, "tom", Role.TECHNICIAN).user
    place.speak()
    assert not blindness.hides(technician, place.slide)
    assert "a ring of hers" in place.told(technician)["slide"]


def test_the_own_words_are_there(place, ben):
    place.speak()
    reviews.say(place.image, ben, "uninfected", "mine")
    drawn = cells.add(place.field, ben, [100, 300, 30, 30], "parasitized")
    told = place.told(ben)
    assert "mine" in told["slide"]
    assert "mine" in told["api_image"]
    assert f'"id": {drawn.pk}' in told["field_cells"]


def test_a_cell_that_the_other_drew_is_not_there_to_be_asked_for(place, ben):
    place.speak()
    drawn = place.field.cells.get(prediction=None)
    for name in ("cell_crop", "cell_heatmap"):
        address = reverse(name, args=[place.field.pk, drawn.pk])
        assert signed_in(ben).get(address).status_code == 404
    with pytest.raises(cells.NoSuchCell):
        cells.say(place.field, ben, drawn.pk, "uninfected")


def test_the_trail_holds_it_back_from_an_administrator_who_may_still_read(place):
    ada = place.laboratory.members.get(username="ada")
    client = signed_in(place.first)
    client.post(
        reverse("image_review", args=[place.image.pk]),
        {"label": "parasitized", "comment": "a ring of hers"},
    )
    address = reverse("laboratory_audit", args=[place.laboratory.pk])
    csv = reverse("laboratory_audit_csv", args=[place.laboratory.pk])
    trail = signed_in(ada)
    for page in (address, csv):
        assert "a ring of hers" not in text(trail.get(page))
    readings.conclude(place.slide, place.first, "positive", close=True)
    readings.conclude(place.slide, ada, "negative", close=True)
    for page in (address, csv):
        assert "a ring of hers" in text(trail.get(page))


def test_a_slide_that_is_read_once_hides_nothing(place, ben):
    slide = new_slide(place.laboratory)
    slide.is_read_twice = False
    slide.save()
    image = read(slide).image
    reviews.say(image, place.first, "parasitized")
    assert blindness.reviews(ben).filter(image=image).exists()


def test_another_laboratorys_rule_does_not_matter(place):
    eve = laboratory_of("eve", "Mombasa").members.get()
    place.laboratory.memberships.create(user=eve, role=Role.TECHNICIAN)
    assert not blindness.hides(eve, place.slide)


def test_the_number_of_a_drawn_cell_tells_nothing_of_what_the_other_drew():
    place = Place()
    ben = join(place.laboratory, "ben", Role.REVIEWER).user
    other = read_field(place.slide, "uninfected").image
    box = [200, 200, 30, 30]
    alone = [cells.add(place.field, ben, box, "parasitized").number for _ in range(2)]
    for _ in range(3):
        cells.add(other, place.first, box, "parasitized")
    beside = [cells.add(other, ben, box, "parasitized").number for _ in range(2)]
    assert beside == alone
