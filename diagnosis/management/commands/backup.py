"""The whole installation in one file, while the site runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from diagnosis import backups
from diagnosis.models import ModelVersion
from diagnosis.registry import folder_of
from ml.artifact import MODELS


class Command(BaseCommand):
    help = "Writes all rows and images into one archive, for `restore`. The site may run meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("archive", type=Path, help="like backup.tar; it must not exist yet")

    def handle(self, *args: Any, archive: Path, **options: Any) -> None:
        try:
            written = backups.write(archive)
        except backups.BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{written.counts} are in {archive}.")
        for name in written.missing:
            self.stderr.write(f"Not in it, since it is missing here: {name}")
        for name, why in written.unreadable.items():
            self.stderr.write(f"Not in it, since it cannot be read here: {name} ({why})")
        for version in ModelVersion.objects.order_by("pk"):
            if MODELS not in folder_of(version).parents:
                self.stdout.write(f"Keep this folder too, a model of your own: {version.path}")
        if number := len(written.unreadable):
            noun = "file is" if number == 1 else "files are"
            raise CommandError(f"{number} {noun} not in it: make another once all can be read.")
