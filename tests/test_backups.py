"""A backup restored into an empty installation is the same, row by row and file by file."""

import io
import json
import os
import re
import shutil
import signal
import tarfile
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from diagnosis import backups, cells, restoring, tokens
from diagnosis.models import Activation, Band, MailChoice, Prediction, SmearImage
from tests.databases import at_once, connected, migrate
from tests.people import join, laboratory_of
from tests.readings import (
    active_model,
    another_model,
    failed,
    new_slide,
    read,
    read_field,
    waiting,
)


def fill() -> None:
    """Something in every table, and what is easily lost: long fractions, odd signs, loops."""
    model, older = active_model(), another_model()
    Activation.objects.create(version=model, replaced=older, reason='It\'s "better"\n細胞')
    band = Band.objects.create(version=model, low=0.1234567890123, high=0.9, reason="Local")
    laboratory = laboratory_of("ada", "Kisumu ä")
    ben = join(laboratory, "ben").user
    laboratory.invitations.create(invited_by=ben, note="For Carl")
    slide, other = new_slide(laboratory, note="Ward 4", created_by=ben), new_slide(laboratory)
    first = read(slide, probability=1 / 3, band=band, reasons=["a", "ß"])
    read(other, same_as=first)
    failed(slide), waiting(other)
    first.image.reviews.create(reviewer=ben, prediction=first, label="parasitized", comment="Ring")
    field = read_field(slide, "uninfected", "parasitized")
    cells.say(field.image, ben, field.cells.first().pk, "cannot-tell")
    slide.readings.create(reader=ben, who="ben", conclusion="positive")
    slide.settlements.create(label="negative", reason="Stain", by=ben, who="ben", is_third=True)
    slide.reports.create(number=1, content={"images": 1}, signed_by=ben, who="ben")
    group = Group.objects.create(name="operators")
    group.permissions.set(Permission.objects.filter(codename__contains="modelversion"))
    ben.groups.add(group)
    ben.user_permissions.set(Permission.objects.filter(codename="view_slide"))
    tokens.new(ben, "scanner")
    slide.notices.create(user=ben, kind="critical", is_to_mail=True)
    MailChoice.objects.create(user=ben, critical=True)
    address = EmailAddress.objects.create(user=ben, email="ben@example.org")
    EmailConfirmation.objects.create(email_address=address, key="k")
    Authenticator.objects.create(user=ben, type="totp", data={"secret": "x"})
    entry = {"user": ben, "object_repr": "x", "action_flag": CHANGE, "change_message": "[]"}
    LogEntry.objects.create(**entry)
    User.objects.filter(pk=ben.pk).update(last_login=timezone.now() - timedelta(microseconds=1))


def contents() -> dict[str, list[str]]:
    """All rows of all tables, with the related rows of each, as text."""
    rows = {}
    for model in backups.models():
        lines = []
        for row in model._base_manager.order_by("pk"):
            line = {field.attname: getattr(row, field.attname) for field in model._meta.fields}
            line |= {
                field.name: sorted(map(str, field.value_from_object(row)))
                for field in model._meta.many_to_many
                if field.remote_field.through._meta.auto_created
            }
            lines.append(repr(sorted(line.items())))
        rows[model._meta.label] = lines
    return rows


def files(folder) -> dict[str, bytes]:
    paths = Path(folder).rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture
def empty_databases(tmp_path, request, django_db_blocker):
    """New ones, by their kind."""

    def make(kind):
        if kind == "sqlite":
            return migrate(f"sqlite:///{tmp_path / 'new.sqlite3'}")
        return migrate(request.getfixturevalue("postgres_url"))

    with django_db_blocker.unblock():
        yield make


@contextmanager
def another_installation(url, settings, tmp_path):
    before = settings.MEDIA_ROOT
    settings.MEDIA_ROOT = tmp_path / "new media"
    try:
        with connected(url):
            yield
    finally:
        settings.MEDIA_ROOT = before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_of_it_is_the_same(real_database, kind, empty_databases, settings, tmp_path, capsys):
    fill()
    archive, before, stored = tmp_path / "backup.tar", contents(), files(settings.MEDIA_ROOT)
    assert len(stored) == 5
    assert {name for name, rows in before.items() if not rows} == set(), "fill() them"
    call_command("backup", archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert f"{sum(map(len, before.values()))} rows and 5 files" in capsys.readouterr().out
    with another_installation(empty_databases(kind), settings, tmp_path):
        call_command("restore", archive)
        assert contents() == before
        assert files(settings.MEDIA_ROOT) == stored
        image = SmearImage.objects.first()
        assert image.file.read() == stored[image.file.name]
        assert image.name_in_lower_case == image.name.lower()
        assert User.objects.get(username="ben").has_perm("diagnosis.view_slide")
        another_model()  # numbers go on
        read(image.slide)


@pytest.fixture
def archive(tmp_path, transactional_db):
    fill()
    path = tmp_path / "backup.tar"
    backups.write(path)
    return path


def remove_rows() -> None:
    for model in reversed(backups.models()):
        with connection.constraint_checks_disabled():
            model._base_manager.all()._raw_delete("default")
    for kind in (User.groups, User.user_permissions, Group.permissions):
        kind.through.objects.all()._raw_delete("default")


@pytest.fixture
def emptied(archive, settings):
    remove_rows()
    shutil.rmtree(settings.MEDIA_ROOT)
    return archive


def refusal(archive) -> str:
    with pytest.raises(CommandError) as error:
        call_command("restore", archive)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_installation_in_use_is_left_alone(archive):
    before = contents()
    assert "This installation is not empty" in refusal(archive)
    assert contents() == before


def rewritten(archive, change) -> None:
    """The archive with entries that `change` made of its own: (name, bytes) → some of them."""
    with tarfile.open(archive) as tar:
        entries = [(entry.name, tar.extractfile(entry).read()) for entry in tar]
    with tarfile.open(archive, "w") as tar:
        for old in entries:
            for name, content in change(*old):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def flipped(name, content):
    spoil = name.startswith("media/")
    yield name, content[:-1] + bytes([content[-1] ^ 1]) if spoil else content


def one_lost(name, content):
    if "Membership" not in name:
        yield name, content


def one_more(name, content):
    yield name, content
    if name == backups.ABOUT:
        yield "media/other.png", b"not ours"


def without_end(name, content):
    if name != backups.CHECKSUMS:
        yield name, content


def without_version(name, content):
    """As it was written before it said so."""
    about = json.loads(content) if name == backups.ABOUT else {}
    about.pop("version", None)
    yield name, json.dumps(about).encode() if about else content


@pytest.mark.parametrize("change", [flipped, one_lost, one_more, without_end])
def test_an_altered_archive_is_refused(emptied, change):
    rewritten(emptied, change)
    assert "is damaged" in refusal(emptied) or "is cut off" in refusal(emptied)
    assert not User.objects.exists()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.8])
def test_an_archive_that_was_cut_off_is_refused(emptied, share):
    content = emptied.read_bytes()
    emptied.write_bytes(content[: int(len(content) * share)])
    said = refusal(emptied)
    assert "damaged" in said or "cut off" in said
    assert not User.objects.exists()


def test_what_is_no_archive_is_refused(emptied):
    emptied.write_bytes(b"no tar at all" * 100)
    assert "is damaged or no backup" in refusal(emptied)
    assert "There is no file" in refusal(emptied.with_name("nowhere.tar"))
    assert "cannot be read (Is a directory)" in refusal(emptied.parent)


def test_another_version_is_refused(emptied):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('diagnosis', '9999', %s)",
            [timezone.now()],
        )
    try:
        assert f"another version of the site ({backups.version()}; its" in refusal(emptied)
        assert "diagnosis.9999" in refusal(emptied)
        rewritten(emptied, without_version)
        assert "another version of the site (its database differs" in refusal(emptied)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999'")


def test_the_version_is_a_commit_where_there_is_one(tmp_path, settings):
    assert re.fullmatch(r"commit [0-9a-f]{12}", backups.version())
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    settings.BASE_DIR = tmp_path
    assert backups.version() == "1.2.3"


def test_a_restore_that_breaks_off_leaves_nothing(emptied, monkeypatch, settings):
    save, calls = default_storage.save, []

    def full(name, content):
        calls.append(name)
        if len(calls) == 3:
            raise OSError("no space left")
        return save(name, content)

    monkeypatch.setattr(default_storage, "save", full)
    assert "Nothing was restored: no space left" in refusal(emptied)
    assert not User.objects.exists()
    assert files(settings.MEDIA_ROOT) == {}
    monkeypatch.undo()
    call_command("restore", emptied)
    assert Prediction.objects.count() == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_restore_that_is_asked_to_end_leaves_nothing(emptied, monkeypatch, settings, number):
    save, calls = default_storage.save, []

    def interrupted(name, content):
        calls.append(save(name, content))
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return calls[-1]

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # in a job in the background some are ignored
    monkeypatch.setattr(default_storage, "save", interrupted)
    try:
        assert refusal(emptied) == "Stopped: nothing was restored."
    finally:
        signal.signal(number, before)
    assert not User.objects.exists()
    assert files(settings.MEDIA_ROOT) == {}


def test_nothing_hinders_the_next_try_after_a_restore_that_was_killed(
    emptied, monkeypatch, settings
):
    with tarfile.open(emptied) as tar:
        media = [entry for entry in tar if entry.name.startswith("media/")]
        stored = {entry.name: tar.extractfile(entry).read() for entry in media}
    whole, half, *_ = stored
    for name, content in ((whole, stored[whole]), (half, stored[half][:9])):
        path = settings.MEDIA_ROOT / name.removeprefix("media/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    call_command("restore", emptied)
    assert {f"media/{name}": found for name, found in files(settings.MEDIA_ROOT).items()} == stored


def test_images_that_outlived_their_database_outlive_a_restore_that_breaks_off(
    archive, monkeypatch, settings
):
    stored = files(settings.MEDIA_ROOT)
    remove_rows()

    def fails():
        raise OSError("no space left")

    monkeypatch.setattr(restoring, "_continue_numbers", fails)
    assert "Nothing was restored" in refusal(archive)
    assert files(settings.MEDIA_ROOT) == stored


def test_an_archive_is_not_overwritten(archive, capsys):
    content = archive.read_bytes()
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", archive)
    assert archive.read_bytes() == content


def test_an_archive_that_may_not_be_looked_for_is_told_in_a_sentence(transactional_db, tmp_path):
    """As one in another account's folder, which root, who runs tests, may look into."""
    with pytest.raises(CommandError, match="cannot be written \\(File name too long\\)"):
        call_command("backup", tmp_path / f"{'a' * 300}.tar")


def test_a_lost_file_is_named_and_the_rest_is_kept(transactional_db, tmp_path, capsys):
    fill()
    lost = SmearImage.objects.first().file
    lost.storage.delete(lost.name)
    call_command("backup", tmp_path / "backup.tar")
    said = capsys.readouterr()
    assert "and 4 files" in said.out
    assert "model of your own: nowhere" in said.out
    assert said.err.count(lost.name) == 1


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_kept(
    transactional_db, empty_databases, settings, tmp_path, capsys
):
    fill()
    faulty = SmearImage.objects.first().file
    Path(faulty.path).unlink()
    Path(faulty.path).symlink_to("/proc/self/mem")  # opens, and then is an I/O error
    archive = tmp_path / "backup.tar"
    with pytest.raises(CommandError, match="1 file is not in it"):
        call_command("backup", archive)
    said = capsys.readouterr()
    assert "and 4 files" in said.out
    assert f"it cannot be read here: {faulty.name} ([Errno 5]" in said.err
    with another_installation(empty_databases("sqlite"), settings, tmp_path):
        call_command("restore", archive)
        assert len(files(settings.MEDIA_ROOT)) == 4


def meanwhile(monkeypatch, action):
    """It happens once, while the rows are being written."""
    write_rows, actions = backups._write_rows, [action]

    def written(*arguments):
        if actions:
            actions.pop()()
        return write_rows(*arguments)

    monkeypatch.setattr(backups, "_write_rows", written)


def test_images_that_go_away_meanwhile_are_not_taken_for_lost_ones(
    transactional_db, settings, tmp_path, monkeypatch
):
    fill()
    meanwhile(monkeypatch, lambda: settings.MEDIA_ROOT.rename(settings.VAR / "away"))
    with pytest.raises(CommandError, match="Nothing was written"):
        call_command("backup", tmp_path / "backup.tar")
    assert not list(tmp_path.iterdir())


def test_an_archive_that_was_finished_meanwhile_is_not_overwritten(
    transactional_db, tmp_path, monkeypatch
):
    archive = tmp_path / "backup.tar"
    meanwhile(monkeypatch, lambda: archive.write_bytes(b"theirs"))
    with pytest.raises(backups.BackupError, match="exists already"):
        backups.write(archive)
    assert archive.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [archive]


def test_two_backups_of_one_name_leave_a_whole_one(real_database, tmp_path):
    fill()
    folder = tmp_path / "backups"
    folder.mkdir()
    archive = folder / "backup.tar"
    outcomes = at_once(*[partial(backups.write, archive)] * 2)
    assert not all(isinstance(outcome, Exception) for outcome in outcomes)
    restoring.verify(archive)
    assert list(folder.iterdir()) == [archive]


def test_what_a_killed_backup_left_hinders_no_other(transactional_db, tmp_path):
    left = tmp_path / ".backup.tar.part"
    left.touch()
    backups.write(tmp_path / "backup.tar")
    assert left.exists()


def test_without_the_images_there_is_no_backup(transactional_db, tmp_path, settings):
    fill()
    settings.MEDIA_ROOT.rename(settings.VAR / "away")
    with pytest.raises(CommandError, match="Nothing was written"):
        call_command("backup", tmp_path / "backup.tar")
    assert not list(tmp_path.iterdir())


def test_uploads_go_on_while_rows_are_written_and_are_not_in_it(real_database):
    laboratory_of("ada")
    with backups._snapshot():
        assert User.objects.count() == 1
        (made,) = at_once(lambda: laboratory_of("ben"))
        assert made.name == "Kisumu"
        assert User.objects.count() == 1
    assert User.objects.count() == 2
