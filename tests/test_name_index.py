"""PostgreSQL finds words in file names by an index, which is made beside what goes on."""

import logging

import psycopg
import pytest
from django.db import connection

from diagnosis import history, name_index
from diagnosis.models import Slide
from tests.databases import at_once, connected
from tests.people import laboratory_of
from tests.readings import new_slide


def plan_of_a_search() -> str:
    with connection.cursor() as cursor:
        for way in ("seqscan", "indexscan", "indexonlyscan"):  # with few rows all are as cheap
            cursor.execute(f"SET enable_{way} = off")
    return history.named("2025_77").explain()


def test_a_search_uses_it(postgresql):
    assert name_index.NAME not in plan_of_a_search()
    name_index.make()
    assert name_index.NAME in plan_of_a_search()
    slide = new_slide(laboratory_of("ada"))
    slide.images.create(name="IMG_2025_771.png", sha256="0", width=100, height=100)
    assert history.search(Slide.objects.all(), q="img_2025_77").count() == 1


def test_of_several_that_start_at_once_one_makes_it(postgresql):
    assert at_once(*[name_index.make] * 3) == [None] * 3
    assert name_index.stands()


def test_one_that_was_cut_off_is_made_anew(postgresql):
    name_index.make()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)",
            [name_index.NAME],
        )
    assert not name_index.stands()
    name_index.make()
    assert name_index.stands()


def test_where_the_server_does_not_let_us_it_says_so(postgresql, caplog):
    with psycopg.connect(postgresql, autocommit=True) as owner:
        owner.execute("CREATE ROLE guest LOGIN")
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
    try:
        with connected(postgresql.replace("tester@", "guest@")), caplog.at_level(logging.WARNING):
            name_index.make()
            assert not name_index.stands()
    finally:
        with psycopg.connect(postgresql, autocommit=True) as owner:
            owner.execute("DROP OWNED BY guest")
            owner.execute("DROP ROLE guest")
    assert "Searching file names stays slow" in caplog.text


def test_a_transaction_that_never_ends_does_not_keep_a_start_waiting(
    postgresql, caplog, monkeypatch
):
    monkeypatch.setattr(name_index, "PATIENCE", "1s")
    with psycopg.connect(postgresql) as forgotten, caplog.at_level(logging.WARNING):
        forgotten.execute("UPDATE diagnosis_smearimage SET name = name")
        name_index.make()
    assert "Searching file names stays slow" in caplog.text
    assert not name_index.stands()
    name_index.make()
    assert name_index.stands()


@pytest.mark.django_db
def test_sqlite_does_without():
    name_index.make()
