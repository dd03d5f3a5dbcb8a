from typing import Any

from django.core.management.base import BaseCommand, CommandError

from diagnosis import deletion, sessions, storage


class Command(BaseCommand):
    help = (
        "Removes for good, with their files, the slides that were deleted 30 days ago or more; "
        "and sign-ins that are over."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        sessions.purge()
        try:
            number = deletion.purge()
        except storage.Away as error:
            raise CommandError(f"No slide was removed. {error}") from None
        noun = "slide is" if number == 1 else "slides are"
        self.stdout.write(f"{number} {noun} gone for good.")
