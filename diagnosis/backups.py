"""One archive with all rows and all images, of SQLite or PostgreSQL, of a folder or a bucket.

A tar, written and read as a stream; in this order:

    backup.json                 the format and the migrations of the database
    rows/<app>.<model>.jsonl.gz    one row a line, as Django serialises it
    media/<name>                the files that rows name
    checksums.json              SHA-256 of every entry before it: without it an archive is cut off

Sessions are left out, and so is what each installation makes by itself: content types and
permissions, which rows name by their words.
"""

import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.files.storage import default_storage
from django.core.serializers import jsonl
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import FileField, Model

from . import storage

FORMAT = 1
ABOUT, CHECKSUMS = "backup.json", "checksums.json"
NAMED = (ContentType, Permission)
LEFT_OUT = (*NAMED, Session, UserSession)
AT_ONCE = 2_000
MEDIA = "media/"


class BackupError(Exception):
    """An archive that cannot be written or restored; the text is a sentence for people."""


class Counts(dict[str, int]):
    """Rows by model, and "files"."""

    def __str__(self) -> str:
        files = self.get("files", 0)
        return f"{sum(self.values()) - files} rows and {files} files"


def models() -> list[type[Model]]:
    return [
        model
        for model in apps.get_models()
        if model._meta.managed and not model._meta.proxy and model not in LEFT_OUT
    ]


def write(path: Path) -> tuple[Counts, list[str]]:
    """Of what is stored at this moment, while the site runs; and the files that were missing."""
    if path.exists():
        raise BackupError(f"{path} exists already: choose another name.")
    _require_images()
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("xb") as file:
            unfinished.chmod(0o600)  # password hashes are in it
            found = _write(file)
        unfinished.rename(path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written ({error.strerror or error}).") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return found


def _require_images() -> None:
    """An archive without them would be taken for a whole one."""
    try:
        storage.require()
    except Exception as error:  # each storage has its own kinds
        raise BackupError(f"Nothing was written. {error}") from None


def _write(file: IO[bytes]) -> tuple[Counts, list[str]]:
    counts, missing = Counts(), []
    with Archive(file) as archive, tempfile.TemporaryFile() as names:
        with _snapshot():
            archive.add_bytes(ABOUT, _json({"format": FORMAT, "migrations": migrations()}))
            for model in models():
                counts[model._meta.label] = _write_rows(archive, model, names)
        names.seek(0)
        for line in names:
            name = json.loads(line)
            if archive.add_stored(name):
                counts["files"] = counts.get("files", 0) + 1
            else:
                missing.append(name)
    return counts, missing


class Archive:
    """A tar that remembers the checksum of each entry, and ends with all of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tar = tarfile.open(fileobj=file, mode="w|")  # noqa: SIM115 (closed by __exit__)
        self.sums: dict[str, str] = {}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.add_bytes(CHECKSUMS, _json(self.sums))
            self.tar.close()

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        read = Hashed(file)
        self.tar.addfile(entry, cast(IO[bytes], read))
        self.sums[name] = read.hash.hexdigest()

    def add_bytes(self, name: str, content: bytes) -> None:
        self.add(name, io.BytesIO(content), len(content))

    def add_stored(self, name: str) -> bool:
        """False where the storage has it no longer."""
        try:
            with default_storage.open(name) as file:
                self.add(MEDIA + name, cast(IO[bytes], file), file.size)
        except FileNotFoundError:
            return False
        return True


class Hashed:
    """What is read through it, is hashed."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.hash.update(block)
        return block


@contextmanager
def _snapshot() -> Iterator[None]:
    """All tables as they are at one moment."""
    if connection.vendor == "sqlite":
        with _reading_sqlite():
            yield
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


@contextmanager
def _reading_sqlite() -> Iterator[None]:
    """Not by `atomic`, which would lock the database against uploads."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _write_rows(archive: Archive, model: type[Model], names: IO[bytes]) -> int:
    """And the names of their files, a line each."""
    rows = model._base_manager.order_by("pk").iterator(AT_ONCE)
    number = 0

    def noted() -> Iterator[Model]:
        nonlocal number
        for row in rows:
            number += 1
            names.writelines(_json(name) + b"\n" for name in _files(row))
            yield row

    with tempfile.TemporaryFile() as file:
        with gzip.open(file, "wt", compresslevel=5, encoding="utf-8") as text:
            Rows().serialize(noted(), stream=text)
        size = file.tell()
        file.seek(0)
        archive.add(f"rows/{model._meta.label}.jsonl.gz", file, size)
    return number


def _files(row: Model) -> Iterator[str]:
    for field in row._meta.concrete_fields:
        if isinstance(field, FileField) and (name := field.value_from_object(row).name):
            yield name


class Rows(jsonl.Serializer):
    """Rows name others by their keys; content types and permissions by their words."""

    def _init_options(self) -> None:
        super()._init_options()  # type: ignore[misc]
        self.json_kwargs["cls"] = Exact

    def handle_fk_field(self, obj: Any, field: Any) -> None:
        self.use_natural_foreign_keys = field.remote_field.model in NAMED
        super().handle_fk_field(obj, field)

    def handle_m2m_field(self, obj: Any, field: Any) -> None:
        self.use_natural_foreign_keys = field.remote_field.model in NAMED
        super().handle_m2m_field(obj, field)


class Exact(DjangoJSONEncoder):
    """Django's cuts moments to milliseconds."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def _json(values: Any) -> bytes:
    return json.dumps(values).encode()


def migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied)
