from typing import Any

from django.core.management.base import BaseCommand

from diagnosis import deletion


class Command(BaseCommand):
    help = "Removes for good, with their files, the slides that were deleted 30 days ago or more."

    def handle(self, *args: Any, **options: Any) -> None:
        number = deletion.purge()
        noun = "slide is" if number == 1 else "slides are"
        self.stdout.write(f"{number} {noun} gone for good.")
