"""What every test may ask for. Each test has media and VAR folders of its own.

Real servers, skipped with the reason where they cannot be had (a failure under CI=true):

    postgres_url   a fresh, empty PostgreSQL database: "postgres://..." (dropped afterwards)
    redis_url      a Redis server, flushed before each test: "redis://127.0.0.1:PORT/0"
    live_stack     a factory: `site = live_stack(REDIS_URL=redis_url, MODEL_ENGINE="torch")` is a
                   tests.servers.Site: the real web server and a real worker in a fresh VAR, with
                   .url .var .env .manage("command", ...) .start_worker() .kill_worker() .log;
                   `live_stack(workers=0)` reads nothing, and is there in half the time;
                   `live_stack(start=False)` leaves starting to the test

    prepared_var   the VAR folder of a new site on SQLite, to be copied

    real_database  the test on both: a migrated SQLite file and PostgreSQL, in place of the test
                   database and with autocommit, for threads and other processes
    postgresql     the same on PostgreSQL alone
    ada, ben, cleo  who opened the `laboratory` of a test, and two who read in it
    trained_model  the folder of an artifact: a real ResNet34 with random weights, one a session
    training_run   what train_model made of drawn cells, killed and resumed: .artifact .cells ...

Servers of a module's or session's own: tests.servers has the plain functions and classes.
"""

import gc
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.utils import translation
from filelock import FileLock

from diagnosis.models import Role
from tests import servers
from tests.artifacts import random_artifact
from tests.databases import (  # noqa: F401
    migrated_postgres,
    migrated_sqlite,
    postgres_copy,
    postgresql,
    real_database,
    sqlite_file,
)
from tests.people import join

LONGEST = ("test_faults", "test_readme", "test_worker")
"""These begin first, or whatever process has the last of them would end alone."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_collection_finish():
    """What lives as long as the tests is not looked through for garbage, and seldom what they
    leave: a fifth of the time of those with a database."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Of a test that failed in a browser: what its pages and its site said, told at the end."""
    report = yield
    for name in ("open_page", "site"):
        shown = getattr(item, "funcargs", {}).get(name)
        if report.when == "call" and report.failed and hasattr(shown, "last_words"):
            report.sections.append((name, shown.last_words()))
    return report


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path_factory):
    settings.VAR = tmp_path_factory.mktemp("var")
    settings.MEDIA_ROOT = settings.VAR / "media"
    settings.MEDIA_ROOT.mkdir(parents=True)


@pytest.fixture(autouse=True)
def english(settings):
    """Whatever language the page asked for last in this thread was in."""
    translation.activate(settings.LANGUAGE_CODE)


@pytest.fixture
def ada(laboratory):
    """Who opened the laboratory of a test; ben and cleo read in it, too."""
    return laboratory.members.get(username="ada")


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben", Role.REVIEWER).user


@pytest.fixture
def cleo(laboratory):
    return join(laboratory, "cleo").user


@pytest.fixture
def synced(monkeypatch):
    """The files and folders that were brought to the disk, in order."""
    paths: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    return paths


def missing(reason: object) -> None:
    """Seldom what CI should pass over: there everything has to be present."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(reason))


def running(server):
    try:
        with server() as url:
            yield url
    except servers.Missing as reason:
        missing(reason)


@pytest.fixture(scope="session")
def redis_server():
    yield from running(servers.redis_server)


@pytest.fixture
def redis_url(redis_server):
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def postgres_server():
    yield from running(servers.postgres_server)


names = (f"test{number}" for number in itertools.count())


@pytest.fixture
def postgres_url(postgres_server):
    name = next(names)
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A factory: `made_once(name, make)` is what `make(folder)` returned, to whichever process of
    this run of tests was the first to ask."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(name: str, make: Callable[[Path], Any]) -> Any:
        record = shared / f"{name}.pickle"
        with FileLock(shared / f"{name}.lock"):
            if not record.exists():
                folder = shared / name
                folder.mkdir()
                made = make(folder)
                record.write_bytes(pickle.dumps(made))
            return pickle.loads(record.read_bytes())

    return get


@pytest.fixture(scope="session")
def trained_model(made_once):
    return made_once("models", lambda folder: random_artifact(folder / "random"))


@pytest.fixture(scope="session")
def training_run(made_once):
    from tests.training_run import train_in_three_goes  # loads torch

    return made_once("training", train_in_three_goes)


@pytest.fixture(scope="session")
def prepared_var(made_once):
    return made_once("prepared", servers.prepared_var)


@pytest.fixture
def live_stack(tmp_path_factory, prepared_var):
    sites = []

    def launch(start: bool = True, workers: int = 1, **settings: str) -> servers.Site:
        sites.append(servers.Site(tmp_path_factory.mktemp("site"), prepared_var, **settings))
        return sites[-1].start(workers) if start else sites[-1]

    yield launch
    for site in sites:
        site.stop()
