"""For the operator: a forgotten password, or a lost second factor, of any account."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils.crypto import get_random_string

from diagnosis import credentials, passwords


class Command(BaseCommand):
    help = "Prints a link with which the account's owner sets a new password, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--random", action="store_true", help="set a random password and print it instead"
        )
        parser.add_argument(
            "--remove-second-factor",
            action="store_true",
            help="for a lost phone: the password alone signs in again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if not user:
            raise CommandError(f"There is no account {options['username']}.")
        if options["remove_second_factor"]:
            credentials.remove_factor(user)
            self.stdout.write(f"The second factor of {user} is removed.")
        self.stdout.write(self._random(user) if options["random"] else self._link(user))

    def _random(self, user: User) -> str:
        password = get_random_string(16)
        user.set_password(password)
        user.save(update_fields=["password"])
        return f"The new password of {user}: {password}"

    def _link(self, user: User) -> str:
        site = settings.SITE_URL or f"http://localhost:{settings.PORT}"
        return (
            f"{user} sets a new password here, once, within {passwords.link_hours()} hours:\n"
            f"{site}{passwords.reset_path(user)}"
        )
