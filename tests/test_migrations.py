"""Each migration runs while the version before it serves: old programs work on during and after."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from diagnosis import upgrade
from tests.databases import connected

FIRST = "0003_review"
"""No site is as old as what came before it."""
NAMES = [name for app, name in MigrationExecutor(None).loader.disk_migrations if app == "diagnosis"]
STEPS = [name for name in sorted(NAMES) if name >= FIRST]
numbers = itertools.count()


def migrate_to(name: str) -> Any:
    """Its models, as a program of that version knows them."""
    executor = MigrationExecutor(connection)
    others = [key for key in executor.loader.graph.leaf_nodes() if key[0] != "diagnosis"]
    steps = [*others, ("diagnosis", name)]
    executor.migrate(steps)
    return executor.loader.project_state(steps).apps


class Version:
    """A program as old as its models."""

    def __init__(self, apps: Any):
        self.apps = apps

    def make(self, model_name: str, /, **values: Any) -> Any:
        """What its version knows of the values; nothing where it knows no such thing."""
        try:
            model = self.apps.get_model(model_name)
        except LookupError:
            return None
        known = {field.name for field in model._meta.get_fields()}
        return model.objects.create(**{key: values[key] for key in values if key in known})

    def work(self) -> None:
        """A slide's way, from the upload to the report, and back."""
        number = next(numbers)
        person = self.make("auth.User", username=f"person {number}")
        laboratory = self.make("diagnosis.Laboratory", name=f"Laboratory {number}")
        whose = {"laboratory": laboratory, "user": person, "created_by": person, "by": person}
        self.make("diagnosis.Membership", role="clinician", **whose)
        self.make("diagnosis.Invitation", invited_by=person, token=str(number), **whose)
        slide = self.make("diagnosis.Slide", code=str(number), **whose)
        size = {"width": 128, "height": 128}
        image = self.make("diagnosis.SmearImage", slide=slide, name="c.png", sha256="0", **size)
        model = self.make(
            "diagnosis.ModelVersion", name="m", path="m", fingerprint=str(number), manifest={}
        )
        self.make("diagnosis.Activation", version=model, reason="first")
        band = self.make("diagnosis.Band", version=model, reason="wider")
        reading = {"image": image, "slide": slide, "model": model, "band": band}
        prediction = self.make("diagnosis.Prediction", **reading)
        of = {"slide": slide, "image": image, "prediction": prediction, "reviewer": person}
        cell = self.make("diagnosis.Cell", number=1, x=1, y=1, **size, **of)
        self.make("diagnosis.Review", label="uninfected", **of)
        self.make("diagnosis.CellReview", cell=cell, label="uninfected", **of)
        self.make("diagnosis.SlideReading", reader=person, who="person", place=1, **of)
        self.make("diagnosis.Settlement", label="uninfected", reason="r", is_third=True, **of)
        self.make("diagnosis.Report", number=1, content={}, **of)
        self.make("diagnosis.Event", action="saw", kind="slide", name="s", subject="s", **whose)
        self.make("diagnosis.Notice", kind="critical", slide=slide, **whose)
        self.make("diagnosis.MailChoice", **whose)
        self.make("diagnosis.Token", name="t", digest=str(number), **whose)
        self.read_again(prediction, slide)

    def read_again(self, *rows: Any) -> None:
        for row in rows:
            row.save()
        for row in rows:
            row.refresh_from_db()
        for model in self.apps.get_app_config("diagnosis").get_models():
            list(model.objects.order_by("-pk")[:5])
        rows[-1].delete()


@contextmanager
def at_work(version: Version, step: str) -> Iterator[None]:
    """In a thread of its own, again and again; what goes wrong there goes wrong here."""
    errors: list[Exception] = []
    done = threading.Event()
    rounds = itertools.count(1)
    worked = 0

    def run() -> None:
        nonlocal worked
        try:
            while not done.is_set():
                version.work()
                worked = next(rounds)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not errors, (step, errors)
    assert worked


@pytest.fixture
def database(postgres_url, django_db_blocker):
    with django_db_blocker.unblock(), connected(postgres_url):
        yield


def test_each_version_works_on_while_the_next_migration_runs(database):
    version = Version(migrate_to(STEPS[0]))
    for step in STEPS[1:]:
        with at_work(version, step):
            migrated = upgrade.giving_way(partial(migrate_to, step))
        version.work()
        version = Version(migrated)
    version.work()


@pytest.fixture
def in_use(database, postgres_url, monkeypatch):
    """A table that somebody holds until their transaction ends."""
    monkeypatch.setattr(upgrade, "PATIENCE_MS", 20)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE films ()")
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE films")
        yield other


def change() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE films ADD code text")


def test_a_table_in_use_is_tried_again(in_use):
    tries = itertools.count(1)

    def third_time_it_is_free() -> int:
        if (number := next(tries)) == 3:
            in_use.rollback()
        change()
        return number

    assert upgrade.giving_way(third_time_it_is_free) == 3
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_a_table_that_is_never_free_is_said(in_use, monkeypatch):
    monkeypatch.setattr(upgrade, "TRIES", 2)
    with pytest.raises(OperationalError, match="lock timeout"):
        upgrade.giving_way(change)


def test_other_troubles_are_not_tried_again(database):
    tries = []

    def lost() -> None:
        tries.append(1)
        raise OperationalError("connection lost")

    with pytest.raises(OperationalError, match="connection lost"):
        upgrade.giving_way(lost)
    assert len(tries) == 1
