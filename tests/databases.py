"""Real databases with the site's tables: a file of SQLite, and PostgreSQL.

`real_database` runs a test on both, in place of the test database, with autocommit: what threads
and other processes then see is what they would see at work.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from malariaweb import environment
from malariaweb.settings import SQLITE


def settings_of(url: str) -> dict[str, Any]:
    if url.startswith("postgres"):
        return environment.database(url)
    return SQLITE | {"NAME": url.removeprefix("sqlite:///")}


@contextmanager
def connected(url: str) -> Iterator[str]:
    """In place of the default database, in all threads that connect from now on."""
    before, current = connections.settings["default"], connections["default"]
    connections.close_all()
    chosen = connections.configure_settings({"default": settings_of(url)})
    connections.settings["default"] = chosen["default"]
    connections["default"] = connections.create_connection("default")
    try:
        yield url
    finally:
        connections.close_all()
        connections.settings["default"] = before
        connections["default"] = current


def migrate(url: str) -> str:
    with connected(url):
        call_command("migrate", verbosity=0)
        call_command("createcachetable")
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory, django_db_blocker):
    with django_db_blocker.unblock():
        return migrate(f"sqlite:///{tmp_path_factory.mktemp('migrated') / 'db.sqlite3'}")


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server, django_db_blocker):
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    with django_db_blocker.unblock():
        migrate(f"{postgres_server}/migrated")
    return postgres_server


@pytest.fixture
def sqlite_file(migrated_sqlite, tmp_path):
    """A migrated database, in place of the test database."""
    path = tmp_path / "db.sqlite3"
    shutil.copy(migrated_sqlite.removeprefix("sqlite:///"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_copy(migrated_postgres, django_db_blocker):
    with psycopg.connect(f"{migrated_postgres}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE copy TEMPLATE migrated")
        yield f"{migrated_postgres}/copy"
        connection.execute("DROP DATABASE copy WITH (FORCE)")


@pytest.fixture
def postgresql(postgres_copy, django_db_blocker):
    """As `real_database`, on PostgreSQL alone."""
    with django_db_blocker.unblock(), connected(postgres_copy):
        yield postgres_copy


@contextmanager
def taken_back(url: str) -> Iterator[None]:
    """What is done meanwhile, without any transaction around it: it is done to a copy."""
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connections.close_all()
        connection.execute(f"CREATE DATABASE taken_back TEMPLATE {name}")
        try:
            with connected(f"{server}/taken_back"):
                yield
        finally:
            connection.execute("DROP DATABASE taken_back WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def real_database(request, django_db_blocker):
    name = {"sqlite": "sqlite_file", "postgresql": "postgres_copy"}[request.param]
    url = request.getfixturevalue(name)
    with django_db_blocker.unblock(), connected(url):
        yield url


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each returns or raises, run in threads with connections of their own."""
    outcomes: list[Any] = [None] * len(actions)
    start = Barrier(len(actions))

    def run(index: int, action: Callable[[], Any]) -> None:
        try:
            connections["default"].ensure_connection()
            start.wait()
            outcomes[index] = action()
        except Exception as error:
            outcomes[index] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=item) for item in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def slow_down(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    """Whoever comes between a look and what follows from it, now comes."""
    function = getattr(place, name)

    def slow(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        time.sleep(0.05)
        return result

    monkeypatch.setattr(place, name, slow)
