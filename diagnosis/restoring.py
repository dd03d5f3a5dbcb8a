"""A backup becomes an installation again: all of it, or nothing (see `backups` for its form)."""

import gzip
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management.color import no_style
from django.core.serializers import jsonl
from django.core.serializers.base import DeserializationError
from django.db import DatabaseError, connection, transaction

from .backups import ABOUT, CHECKSUMS, FORMAT, MEDIA, BackupError, Counts, migrations, models

BLOCK = 1 << 20


def restore(path: Path) -> Counts:
    """Into an installation that is migrated and empty."""
    verify(path)
    _refuse_a_used_installation()
    written: list[str] = []
    try:
        with transaction.atomic():
            counts = _read_all(path, written)
            connection.check_constraints()
            _continue_numbers()
    except BaseException as error:
        for name in written:
            default_storage.delete(name)
        if isinstance(error, (DatabaseError, DeserializationError, OSError)):
            raise BackupError(f"Nothing was restored: {error}") from error
        raise
    return counts


def verify(path: Path) -> None:
    """BackupError where it is no backup, damaged, cut off, or of another version of the site."""
    found: dict[str, str] = {}
    expected: dict[str, str] | None = None
    try:
        for name, file in _entries(path):
            if name == CHECKSUMS:
                expected = json.loads(file.read())
            elif name == ABOUT:
                found[name] = _refuse_another_version(file.read())
            else:
                found[name] = _digest(file)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(f"{path} is damaged or no backup: {error}.") from None
    if expected is None:
        raise BackupError(f"{path} is cut off or no backup: its end is missing.")
    if altered := sorted(found.items() ^ expected.items()):
        raise BackupError(f"{path} is damaged: {altered[0][0]} is not what was written.")


def _entries(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is None:
                    raise BackupError(f"{path} is no backup: {entry.name} is not a file.")
                yield entry.name, content
    except FileNotFoundError:
        raise BackupError(f"There is no file {path}.") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be read ({error.strerror}).") from None


def _digest(file: IO[bytes]) -> str:
    hashed = sha256()
    while block := file.read(BLOCK):
        hashed.update(block)
    return hashed.hexdigest()


def _refuse_another_version(content: bytes) -> str:
    """The checksum of what was read."""
    about = json.loads(content)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BackupError("This backup has a format that this version of the site does not read.")
    if differing := sorted(set(about["migrations"]) ^ set(migrations())):
        which = f"{about['version']}; " if "version" in about else ""
        raise BackupError(
            f"This backup was made by another version of the site ({which}its database differs "
            f"by {differing[-1]}): restore it with that version, then update."
        )
    return sha256(content).hexdigest()


def _refuse_a_used_installation() -> None:
    for model in models():
        if number := model._base_manager.count():
            raise BackupError(
                f"This installation is not empty ({model._meta.label}: {number}): restore into a "
                "new one, before its first start."
            )


def _read_all(path: Path, written: list[str]) -> Counts:
    counts = Counts()
    for name, file in _entries(path):
        if name.startswith("rows/"):
            label = name.removeprefix("rows/").removesuffix(".jsonl.gz")
            with gzip.open(file, "rt", encoding="utf-8") as text:
                counts[label] = _read_rows(text)
        elif name.startswith(MEDIA):
            _store(name.removeprefix(MEDIA), file, written)
            counts["files"] = counts.get("files", 0) + 1
    return counts


def _read_rows(lines: Iterable[str]) -> int:
    number = 0
    for row in jsonl.Deserializer(lines):  # type: ignore[arg-type]
        row.save(force_insert=True)  # as it is: no default of ours, no new moment
        number += 1
    return number


def _store(name: str, content: IO[bytes], written: list[str]) -> None:
    """Through the disk: a bucket wants to go back in what it sends."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(content, file, BLOCK)
        if _is_there(name, file):
            return
        written.append(name)
        file.seek(0)
        stored = default_storage.save(name, File(file, name))
    if stored != name:
        raise FileExistsError(f"there is a file {name} already.")


def _is_there(name: str, file: IO[bytes]) -> bool:
    """As a restore that was killed leaves it; a part of it makes room.

    No row knows it, and no other image has its name. What is whole is not ours to take back: the
    images may have outlived their database.
    """
    if not default_storage.exists(name):
        return False
    file.seek(0)
    with default_storage.open(name) as stored:
        is_whole = _digest(cast(IO[bytes], stored)) == _digest(file)
    if not is_whole:
        default_storage.delete(name)
    return is_whole


def _continue_numbers() -> None:
    """PostgreSQL would give new rows the numbers of restored ones."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models()):
            cursor.execute(statement)
