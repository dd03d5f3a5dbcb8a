"""No dead ends: what is said where something fails, or where there is nothing yet."""

import logging
import re

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from diagnosis import dashboard
from malariaweb import errors, logs
from tests.people import laboratory_of, signed_in
from tests.servers import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
ERRORS = ("400", "403", "403_csrf", "404", "429", "500")
EMPTY = re.compile(r'class="panel empty">(.*?)</(?:section|div)>', re.S)


@pytest.fixture
def broken(db, monkeypatch):
    """Somebody for whom the first page fails."""

    def fail(*_):
        raise DatabaseError("secret: the row of KSM-9")

    monkeypatch.setattr(dashboard, "wait", fail)
    client = signed_in(laboratory_of("ada").members.get())
    client.raise_request_exception = False
    return client


def written(record):
    """As the log has it by default."""
    logs.Ids().filter(record)
    form = settings.LOGGING["formatters"]["line"]["format"]
    return logs.Lines(form, style="{").format(record)


def test_a_failed_page_carries_the_reference_that_the_log_has(broken, caplog):
    answer = broken.get(reverse("dashboard"))
    reference = answer["X-Request-ID"][: logs.REFERENCE]
    assert answer.status_code == 500
    assert f'<strong class="code">{reference}</strong>' in answer.text
    assert "kept" in answer.text
    assert "secret" not in answer.text
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert f" ERROR django.request [{answer['X-Request-ID']}]: Internal" in written(record)


@pytest.mark.parametrize(
    ("path", "accepts", "kind"),
    [
        ("/api/v1/slides/", "*/*", "application/json"),
        ("/api/v1/docs/", "text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ("/slides/", "*/*", "text/html; charset=utf-8"),
    ],
)
def test_who_does_not_say_what_they_accept_gets_what_is_usual_there(rf, path, accepts, kind):
    answer = errors.server_error(rf.get(path, headers={"Accept": accepts}))
    assert (answer.status_code, answer["Content-Type"]) == (500, kind)


def test_a_program_is_told_the_reference_too(broken):
    answer = broken.get(reverse("dashboard"), headers={"Accept": "application/json"})
    reference = answer["X-Request-ID"][: logs.REFERENCE]
    assert (answer.status_code, answer.json()["reference"]) == (500, reference)
    assert reference in answer.json()["error"]


def test_lines_that_tell_of_no_trouble_stay_short():
    record = logging.LogRecord("diagnosis", logging.INFO, "", 0, "All is well", (), None)
    assert written(record).endswith("INFO diagnosis: All is well")


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_says_that_nothing_was_lost_and_where_to_go(name):
    text = render_to_string(f"{name}.html", {"sentence": "Send less.", "reference": "ab12cd34"})
    main = text[text.index("<main") : text.index("</main>")]
    assert re.search(r"[Nn]othing (is lost|was changed)|nothing was changed|is kept", main)
    assert re.search(r'<a class="button[^"]*" href="/', main)


def test_every_empty_state_leads_on():
    found = [(path.name, state) for path in TEMPLATES for state in EMPTY.findall(path.read_text())]
    assert len(found) >= 12
    assert [name for name, state in found if "href=" not in state] == []
    assert [name for name, state in found if "<p>" not in state] == []


def test_an_address_that_is_not_there_leads_on(db):
    answer = Client().get("/nowhere/")
    assert answer.status_code == 404
    assert "Nothing is lost" in answer.text
