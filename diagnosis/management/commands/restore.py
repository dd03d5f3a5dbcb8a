"""What `backup` wrote, into an installation that has not been started yet."""

import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from diagnosis import backups, restoring, upgrade


class Command(BaseCommand):
    help = "Restores an archive of `backup` into an empty installation, on either database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("archive", type=Path)

    def handle(self, *args: Any, archive: Path, **options: Any) -> None:
        heed_the_end()
        try:
            call_command("migrate", interactive=False, verbosity=0)
            call_command("createcachetable", verbosity=0)
            counts = restoring.restore(archive)
        except backups.BackupError as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(upgrade.complaint(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped: nothing was restored.", returncode=130) from None
        self.stdout.write(f"{counts} are restored. Now start the site.")


def heed_the_end() -> None:
    """As Ctrl-C: what is asked to end, or loses its terminal, takes back what it wrote."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
