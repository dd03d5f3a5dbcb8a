"""The description of the API keeps its word: questions made from it meet only answers it names."""

import os
import re

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from diagnosis import tokens
from diagnosis.api.base import Throttle
from diagnosis.api.urls import urlpatterns
from tests.people import laboratory_of
from tests.readings import active_model, new_slide, read, read_field, waiting

SCHEMA = "/api/v1/schema/"
# That 1 is no "text", and that a laboratory's id is one's own, cannot be said in a schema.
TOO_STRICT = [checks.negative_data_rejection, checks.positive_data_acceptance]
EXAMPLES = int(os.environ.get("EXAMPLES", "3"))
description = schemathesis.openapi.from_wsgi(SCHEMA, get_wsgi_application())


@pytest.fixture
def known(db, monkeypatch, settings):
    """A token, and the ids that its owner may ask for."""
    settings.CELERY_BROKER_URL = "memory://"
    for signal in (request_started, request_finished):  # they would end the test's transaction
        signal.disconnect(close_old_connections)
    monkeypatch.setattr(Throttle, "rate", "1000000/min")
    active_model()
    laboratory = laboratory_of("ada")
    slide = new_slide(laboratory, "KSM-7")
    read(slide, "parasitized")
    waiting(slide)
    _, token = tokens.new(laboratory.members.get(), "schemathesis")
    field = read_field(slide, "parasitized", "uninfected")
    ids = {"slides": str(slide.pk), "images": str(field.image_id), "cell": field.cells.first().pk}
    yield {"Authorization": f"Bearer {token}"}, ids
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@description.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_is_described(case, known):
    headers, ids = known
    kind = case.path.split("/")[3]
    for own in ({}, {"id": ids.get(kind), "cell": ids["cell"]}):
        for name in set(own) & set(case.path_parameters or {}):
            case.path_parameters[name] = own[name]
        case.call_and_validate(headers=headers, excluded_checks=TOO_STRICT)


def test_the_description_is_served_to_everyone_and_is_whole(client):
    answer = client.get(SCHEMA)
    assert answer["Content-Type"] == "application/json"
    found = answer.json()
    assert found["openapi"].startswith("3.")
    addresses = {pattern.name for pattern in urlpatterns if pattern.name}
    assert len(found["paths"]) == len(addresses - {"api_schema", "api_docs"})
    for operations in found["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["security"] == [{"token": []}]


def test_the_page_shows_every_operation_by_the_sites_own_means(client, db):
    page = client.get("/api/v1/docs/")
    for operations in client.get(SCHEMA).json()["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page.text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [url for url in sources if not re.match(r"[/#](?!/)", url)] == []
    assert "wait as long as <code>Retry-After</code> says" in page.text
    assert "`" not in page.text
    assert "<style" not in page.text
    scripts = re.findall("<script[^>]*>", page.text)
    assert all("src=" in script for script in scripts)


def test_it_is_made_without_a_guess_or_a_made_up_name():
    reset_generator_stats()
    made = SchemaGenerator().get_schema(request=None, public=True)
    assert not GENERATOR_STATS
    assert {"Label", "ImageOpinion", "Conclusion"} <= set(made["components"]["schemas"])
