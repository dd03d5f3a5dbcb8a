"""All that a start needs; doing it again changes nothing."""

import json
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles.finders import get_finders
from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import OperationalError, transaction

from diagnosis import name_index, registry, roster, storage, upgrade
from ml.artifact import ArtifactError

FIRST_NAME = "admin"
FOR_DEBUGGING = ["jquery.js", "xregexp.js", "select2.full.js", "htmax-4.js", "htmx-[24].js"]
"""Large scripts whose short form pages load; compressing all of them takes a third of a start."""
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Command(BaseCommand):
    help = "Makes this installation ready to start: database, static files, model, first account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-static", dest="static", action="store_false", help="leave static files alone"
        )

    def handle(self, *args: Any, static: bool, **options: Any) -> None:
        try:
            self.prepare(static)
        except (OperationalError, OSError) as error:
            raise CommandError(upgrade.complaint(error)) from None

    def prepare(self, static: bool) -> None:
        upgrade.migrate()
        name_index.make()
        call_command("createcachetable", verbosity=0)
        if static:
            collect_static()
        with suppress(ArtifactError):  # a system check has said so already
            registry.ensure_shipped()
        with suppress(Exception):  # it may be away for now; `/readyz` and uploads say so
            storage.require()
        self.create_first_account()

    def create_first_account(self) -> None:
        password = "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))
        with transaction.atomic():
            if User.objects.exists():
                return
            roster.open_laboratory(User.objects.create_superuser(FIRST_NAME, password=password))
        self.stdout.write(
            "The first account, an administrator (shown only now; change the password):\n"
            f"    user name  {FIRST_NAME}\n"
            f"    password   {password}"
        )


def collect_static() -> None:
    """Compressing takes seconds, so only when a file has changed since."""
    stamp = settings.STATIC_ROOT / "sources.sha256"
    sources = fingerprint_of_sources()
    if not stamp.exists() or stamp.read_text() != sources:
        options = {"clear": True, "ignore_patterns": FOR_DEBUGGING}
        call_command("collectstatic", interactive=False, verbosity=0, **options)
        stamp.write_text(sources)


def fingerprint_of_sources() -> str:
    files = [
        [path, (found := Path(storage.path(path)).stat()).st_size, found.st_mtime_ns]
        for finder in get_finders()
        for path, storage in finder.list([])
    ]
    return sha256(json.dumps(sorted(files)).encode()).hexdigest()
