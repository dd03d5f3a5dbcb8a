"""One archive with all rows and all images, of SQLite or PostgreSQL, of a folder or a bucket.

A tar, written and read as a stream; in this order:

    backup.json                 the format, the site's version and the migrations of the database
    rows/<app>.<model>.jsonl.gz    one row a line, as Django serialises it
    media/<name>                the files that rows name
    checksums.json              SHA-256 of every entry before it: without it an archive is cut off

Sessions are left out, and so is what each installation makes by itself: content types and
permissions, which rows name by their words.
"""

import dataclasses
import gzip
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.conf import settings
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


@dataclasses.dataclass
class Written:
    """What is in an archive, and the files that are not: lost ones, and others with the reason."""

    counts: Counts = dataclasses.field(default_factory=Counts)
    missing: list[str] = dataclasses.field(default_factory=list)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def models() -> list[type[Model]]:
    return [
        model
        for model in apps.get_models()
        if model._meta.managed and not model._meta.proxy and model not in LEFT_OUT
    ]


def write(path: Path) -> Written:
    """Of what is stored at this moment, while the site runs."""
    try:
        _refuse_to_overwrite(path)
        _require_images()
        with _unfinished(path) as file:
            written = _write(file)
    except OSError as error:
        raise BackupError(f"{path} cannot be written ({error.strerror or error}).") from None
    return written


@contextmanager
def _unfinished(path: Path) -> Iterator[IO[bytes]]:
    """Under a name of its own and for nobody else, since password hashes are in it."""
    handle, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
    try:
        with open(handle, "wb") as file:
            yield file
        _refuse_to_overwrite(path)  # with what another backup finished meanwhile
        Path(name).rename(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        raise BackupError(f"{path} exists already: choose another name.")


def _require_images() -> None:
    """An archive without them would be taken for a whole one."""
    try:
        storage.require()
    except Exception as error:  # each storage has its own kinds
        raise BackupError(f"Nothing was written. {error}") from None


def _write(file: IO[bytes]) -> Written:
    written = Written()
    with Archive(file) as archive, tempfile.TemporaryFile() as names:
        with _snapshot():
            archive.add_bytes(ABOUT, _json(_about()))
            for model in models():
                written.counts[model._meta.label] = _write_rows(archive, model, names)
        names.seek(0)
        for line in names:
            _write_file(archive, json.loads(line), written)
    return written


def _write_file(archive: "Archive", name: str, written: Written) -> None:
    """Read whole before it is written: an entry that was begun cannot be taken back."""
    try:
        with default_storage.open(name) as file:
            content = file.read()
    except Exception as error:  # each storage has its own kinds
        _require_images()
        if isinstance(error, FileNotFoundError):
            written.missing.append(name)
        else:
            written.unreadable[name] = str(error)
    else:
        archive.add_bytes(MEDIA + name, content)
        written.counts["files"] = written.counts.get("files", 0) + 1


class Archive:
    """A tar that remembers the checksum of each entry, and ends with all of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tar = tarfile.open(fileobj=file, mode="w|")  # noqa: SIM115 (closed by __exit__)
        self.sums: dict[str, str] = {}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.add_bytes(CHECKSUMS, _json(self.sums))
        finally:
            self.tar.close()  # else it closes itself, once the file below it is closed

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        read = Hashed(file)
        self.tar.addfile(entry, cast(IO[bytes], read))
        self.sums[name] = read.hash.hexdigest()

    def add_bytes(self, name: str, content: bytes) -> None:
        self.add(name, io.BytesIO(content), len(content))


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


def _about() -> dict[str, Any]:
    return {"format": FORMAT, "version": version(), "migrations": migrations()}


def version() -> str:
    """The commit of this copy of the project, or its version where git knows none."""
    git = shutil.which("git")
    if git and (settings.BASE_DIR / ".git").exists():
        command = [git, "-C", str(settings.BASE_DIR), "rev-parse", "--short=12", "HEAD"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if not asked.returncode:
            return f"commit {asked.stdout.strip()}"
    about: str = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"][
        "version"
    ]
    return about


def migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied)
