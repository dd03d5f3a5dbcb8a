"""Whether this installation can do its work: each part is "ok", or a sentence says why not.

Strangers may read the sentences, so they name no host, folder or account; the log does.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection

from ml import artifact
from ml.artifact import ArtifactError

from . import registry, storage
from .tasks import PATIENCE

logger = logging.getLogger(__name__)

OK = "ok"
LEAST_FREE = 500_000_000
"""Bytes: some twenty photographs of the largest size that is taken."""


def readiness() -> dict[str, str]:
    return {name: _state(name, check, words) for name, (check, words) in CHECKS.items()}


def _state(name: str, check: Callable[[], None], words: str) -> str:
    try:
        check()
    except Exception as error:  # each service has its own kinds
        logger.warning("Not ready, %s: %s", name, error)
        return words
    return OK


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    with current_app.connection_for_write(transport_options=PATIENCE) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        channel: Any = broker.default_channel  # typed as its base class, which can do nothing
        channel.queue_declare(current_app.conf.task_default_queue)  # a round trip


def _model() -> None:
    version = registry.active_model()
    if why := registry.absence(version):
        raise ArtifactError(why)
    folder = registry.folder_of(version)
    _verified(folder, tuple(_stamp(path) for path in sorted(folder.iterdir())))


def _stamp(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2)
def _verified(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> None:
    """Hashed again only where a file changed since: probes come every few seconds."""
    artifact.verify(folder, artifact.read_manifest(folder))


def _disk() -> None:
    for folder in {settings.VAR} if settings.S3_BUCKET else {settings.VAR, settings.MEDIA_ROOT}:
        Path(folder).mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ok")
        if shutil.disk_usage(folder).free < LEAST_FREE:
            raise OSError(f"less than {LEAST_FREE / 1e6:.0f} MB are free in {folder}")


CHECKS: dict[str, tuple[Callable[[], None], str]] = {
    "database": (_database, "It cannot be reached."),
    "broker": (_broker, "It cannot be reached."),
    "model": (_model, "No model is active, or its files here are missing or damaged."),
    "disk": (_disk, "It is full or cannot be written to."),
    "storage": (storage.require, "The stored images cannot be reached."),
}
