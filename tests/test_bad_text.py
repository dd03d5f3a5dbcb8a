"""Text that no database can keep, text without end and numbers beyond all: refused, never a 500."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from django.urls import NoReverseMatch, reverse
from rest_framework.serializers import Serializer

from diagnosis import readings, texts
from tests.people import join, laboratory_of, signed_in
from tests.readings import new_slide, read_field
from tests.test_access import TABLE, Place, Row, address_of, laboratory, place  # noqa: F401

pytestmark = pytest.mark.django_db
HALF = "\ud800"
NUL, LONG = "a\0b", "x" * 5_000
BAD = [NUL, LONG, "9" * 30]
NEVER_ENDING = "[" * 100_000
JSON = "application/json"


@contextmanager
def asked_for(names: set[str]) -> Iterator[None]:
    """The parameters that anyone looks for in a form or a query."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("get", "__getitem__", "getlist", "__contains__"):
            patch.setattr(QueryDict, method, _noting(getattr(QueryDict, method), names))
        yield


def _noting(method: Any, names: set[str]) -> Any:
    def noting(self: Any, name: str, *more: Any, **options: Any) -> Any:
        names.add(name)
        return method(self, name, *more, **options)

    return noting


def values_of(at: Place, row: Row) -> dict[str, Any]:
    return {key: at.parts.get(value, value) for key, value in row.data.items()}


def parameters(at: Place, name: str, row: Row, client: Client) -> set[str]:
    names: set[str] = set()
    with asked_for(names):
        ask(client, row.method, address(at, name, row), values_of(at, row))
    return names - {"csrfmiddlewaretoken"}


def address(at: Place, name: str, row: Row, **parts: Any) -> str:
    return reverse(address_of(name), args=[(at.parts | parts)[part] for part in row.parts])


def ask(client: Client, method: str, url: str, data: Any, **options: Any) -> int:
    """The status; what is changed is taken back."""
    with transaction.atomic():
        client.raise_request_exception = False
        status = getattr(client, method)(url, data, **options).status_code
        transaction.set_rollback(True)
    return status


def told_of(visitor: Client, at: Place, name: str, row: Row) -> Iterator[tuple[Any, int]]:
    url, values = address(at, name, row), values_of(at, row)
    for parameter in sorted(parameters(at, name, row, visitor)):
        for bad in BAD:
            case = (name, parameter, bad[:9])
            yield case, ask(visitor, row.method, url, values | {parameter: bad})
        if row.method != "get":
            yield case, ask(visitor, row.method, f"{url}?{parameter}=%00", values)


def told_at(visitor: Client, at: Place, name: str, row: Row) -> Iterator[tuple[Any, int]]:
    for part in row.parts:
        for bad in (NUL, LONG, 10**30, 0):
            try:
                url = address(at, name, row, **{part: bad})
            except NoReverseMatch:
                continue
            yield (name, part, str(bad)[:9]), ask(visitor, row.method, url, values_of(at, row))


def is_page(name: str) -> bool:
    return not name.startswith("api_")


def test_no_parameter_of_any_page_breaks_it(postgresql, place):  # noqa: F811
    told: dict[Any, int] = {}
    for name, row in TABLE.items():
        visitor = (place.clients if is_page(name) else place.programs)[row.may[-1]]
        told |= told_at(visitor, place, name, row)
        if row.method == "get" or is_page(name):
            told |= told_of(visitor, place, name, row)
    expected = {name: row.opens for name, row in TABLE.items()}
    broken = [
        case for case, status in told.items() if status >= 500 and status != expected[case[0]]
    ]
    assert not broken, "\n".join(map(str, broken))
    tried = {parameter for _, parameter, _ in told}
    assert tried >= {"q", "page", "show", "comment", "label", "role", "reason", "next"}, tried


def fields(at: Place, name: str, row: Row, program: Client) -> set[str]:
    """What a program may send there."""
    names: set[str] = set()
    reading = Serializer.to_internal_value

    def noting(self: Serializer, data: Any) -> Any:
        names.update(self.fields)
        return reading(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Serializer, "to_internal_value", noting)
        send(program, row, address(at, name, row), values_of(at, row))
    return names


def send(program: Client, row: Row, url: str, said: Any) -> int:
    return ask(program, row.method, url, json.dumps(said), content_type=JSON)


def test_no_field_of_any_answer_of_a_program_breaks_it(postgresql, place):  # noqa: F811
    broken, tried = {}, set()
    for name, row in TABLE.items():
        if is_page(name) or row.method not in ("post", "put"):
            continue
        program, url = place.programs[row.may[-1]], address(place, name, row)
        for field in sorted(fields(place, name, row, program)):
            tried.add(field)
            for bad in [*BAD, HALF, {HALF: HALF}, [[HALF]], 10**400, True]:
                status = send(program, row, url, values_of(place, row) | {field: bad})
                if status >= 500:
                    broken[name, field, str(bad)[:9].encode("utf-8", "replace")] = status
        if ask(program, row.method, url, NEVER_ENDING, content_type=JSON) >= 500:
            broken[name, "nested"] = 500
    assert not broken, "\n".join(map(str, broken))
    assert tried >= {"code", "label", "comment", "reason", "conclusion", "box", "kind"}, tried


class TestASlideOfTwoReadings:
    @pytest.fixture
    def reading(self, postgresql):
        return read_field(new_slide(laboratory_of("ada")), "parasitized")

    @pytest.fixture
    def ada(self, reading):
        return signed_in(reading.slide.laboratory.members.get())

    @pytest.mark.parametrize("words", [NUL, HALF, LONG, [HALF], {HALF: NUL}])
    @pytest.mark.parametrize("key", ["comment", "label", "cell", "box"])
    def test_what_is_said_of_a_cell(self, reading, ada, key, words):
        url = reverse("field_cells", args=[reading.image_id])
        said = {"cell": reading.cells.get().pk, "label": "uninfected", key: words}
        answer = ada.post(url, json.dumps(said), content_type=JSON)
        assert answer.status_code in (400, 409)
        assert answer.json()["error"]

    def test_json_without_end(self, reading, ada):
        url = reverse("field_cells", args=[reading.image_id])
        assert ada.post(url, NEVER_ENDING, content_type=JSON).status_code == 400

    @pytest.mark.parametrize(("reason", "status"), [("x" * 300, 302), ("x" * 301, 302), (NUL, 400)])
    def test_the_reason_of_a_settlement(self, reading, ada, reason, status):
        slide, user = reading.slide, reading.slide.laboratory.members.get()
        ben = join(slide.laboratory, "ben").user
        slide.is_read_twice = True
        slide.save()
        readings.conclude(slide, user, "positive", close=True)
        readings.conclude(slide, ben, "negative", close=True)
        said = {"key": "slide", "label": "negative", "reason": reason}
        answer = ada.post(reverse("slide_settle", args=[slide.pk]), said)
        assert answer.status_code == status
        assert slide.settlements.exists() == (len(reason) == 300)

    def test_a_reason_and_a_name_of_the_greatest_length_are_kept(self, reading):
        slide = reading.slide
        long_name = join(slide.laboratory, "x" * 150, "administrator").user
        slide.is_read_twice = True
        slide.save()
        address = reverse("slide_one_reading", args=[slide.pk])
        signed_in(long_name).post(address, {"reason": "y" * 300})
        slide.refresh_from_db()
        assert slide.single_reading.endswith("y" * 300)


@pytest.mark.parametrize(
    "address",
    [
        "/invitations/%00/",
        "/accounts/login/?next=/invitations/%00/",
        "/accounts/signup/?next=/invitations/%00/",
        "/slides/?q=%00",
    ],
)
def test_such_text_in_an_address_is_refused_in_words(postgresql, address):
    answer = Client().get(address)
    assert answer.status_code == 400
    assert "a character that cannot be kept" in answer.text


def test_such_text_in_a_form_is_refused_too(postgresql):
    said = {"login": "ada", "password": "no", "next": "/invitations/\0/"}
    assert Client().post("/accounts/login/", said).status_code == 400


def test_a_cookie_that_the_site_never_set_counts_for_nothing(postgresql):
    client = Client()
    client.cookies["sessionid"] = "abcdefgh\0"
    assert client.get("/").status_code == 200


def test_clean_text_of_all_languages_stays():
    assert texts.is_clean({"é": ["日本", {"a": ("🔬", "\n\t")}, 1, None]})
    assert texts.read_json('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
