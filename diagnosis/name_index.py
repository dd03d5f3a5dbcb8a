"""An index by which PostgreSQL finds words within a million file names."""

import logging

from django.db import DatabaseError, connection

from . import upgrade

NAME = "image_name_trigrams"
LOCK = 7_316_001
"""Of all that could start at once, the first makes it."""
PATIENCE = "10min"
"""It waits for every transaction that began before; the next start tries again."""
logger = logging.getLogger(__name__)


def make() -> None:
    """Once, while uploads go on; where the server has no pg_trgm for us, search is only slower.

    Not a migration: it can be made later, once the database's administrator allows it.
    """
    if connection.vendor != "postgresql" or stands() or not _is_first():
        return
    try:
        with upgrade.limited("statement_timeout", PATIENCE):
            _make()
    except DatabaseError as error:
        logger.warning("Searching file names stays slow where there are many: %s", error)
    finally:
        _run("SELECT pg_advisory_unlock(%s)", LOCK)


def stands() -> bool:
    """One that was cut off while it was made is there, but not valid."""
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    return bool(_run(valid, NAME))


def _is_first() -> bool:
    return bool(_run("SELECT pg_try_advisory_lock(%s)", LOCK))


def _make() -> None:
    _run("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    _run(f"DROP INDEX IF EXISTS {NAME}")
    _run(
        f"CREATE INDEX CONCURRENTLY {NAME} ON diagnosis_smearimage"
        " USING gin (name_in_lower_case gin_trgm_ops)"
    )


def _run(statement: str, *values: str | int) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None
