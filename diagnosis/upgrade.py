"""The database is brought up to this version while the one before still serves."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.core.management import call_command
from django.db import OperationalError, connection

PATIENCE_MS = 500
"""Less than the second after which PostgreSQL ends a deadlock, by ending either side of it."""
TRIES = 60
Result = TypeVar("Result")


def migrate() -> None:
    giving_way(lambda: call_command("migrate", interactive=False, verbosity=0))


def giving_way(action: Callable[[], Result]) -> Result:
    """Do it, each time anew while the tables it needs are in use.

    On PostgreSQL whoever waits for a table holds up all that come after, and two that wait for each
    other are a deadlock: so it waits only briefly, lets the others through and comes back. A
    migration is done whole or not at all.

    Raises OperationalError if the tables are never free.
    """
    if connection.vendor != "postgresql":
        return action()
    for _ in range(TRIES - 1):
        try:
            return _briefly(action)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
                raise
        time.sleep(PATIENCE_MS / 1000)
    return _briefly(action)


def _briefly(action: Callable[[], Result]) -> Result:
    with limited("lock_timeout", f"{PATIENCE_MS}ms"):
        return action()


@contextmanager
def limited(timeout: str, most: str) -> Iterator[None]:
    """One of PostgreSQL's, for what this connection does meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, false)", [timeout, most])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"RESET {timeout}")
