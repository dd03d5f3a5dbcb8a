"""The database is brought up to this version while the one before still serves."""

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection

PATIENCE_MS = 500
"""Less than the second after which PostgreSQL ends a deadlock, by ending either side of it."""
TRIES = 60
ROOM = 1_000_000
"""Bytes below which SQLite fails, and says of a full disk that its input or output failed."""
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


def complaint(error: OperationalError | OSError) -> str:
    """For whoever prepares an installation: what its database or its folder is in want of."""
    if _is_full(error):
        return f"The disk of {settings.VAR} is full: make room there, and start again."
    if isinstance(error, OSError):
        return f"{error.filename or settings.VAR} cannot be used ({error.strerror or error})."
    return f"The database cannot be used: {error}".strip()


def _is_full(error: OperationalError | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return connection.vendor == "sqlite" and shutil.disk_usage(settings.VAR).free < ROOM
