"""Administrators leave at the same moment, on the database that the environment names.

python -m tests.leavers ROUNDS    (prints how many administrators each laboratory keeps)
"""

import sys
from collections.abc import Callable
from threading import Barrier, Thread

import django


def at_once(*changes: Callable[[], object]) -> list[str]:
    """Runs each change in a thread and connection of its own; returns the refusals."""
    from django.db import connection

    from diagnosis.roster import RosterError

    refusals: list[str] = []
    start = Barrier(len(changes))

    def run(change: Callable[[], object]) -> None:
        connection.ensure_connection()
        start.wait()
        try:
            change()
        except RosterError as error:
            refusals.append(str(error))
        finally:
            connection.close()

    threads = [Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refusals


def leave_at_once(name: str) -> int:
    from diagnosis import roster
    from diagnosis.models import Role
    from tests.people import join, laboratory_of

    laboratory = laboratory_of(f"ada{name}")
    ada = laboratory.memberships.get()
    ben = join(laboratory, f"ben{name}", Role.ADMINISTRATOR)
    join(laboratory, f"carl{name}")
    at_once(lambda: roster.leave(ada), lambda: roster.leave(ben))
    return laboratory.memberships.filter(role=Role.ADMINISTRATOR).count()


if __name__ == "__main__":
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0)
    kept = [leave_at_once(str(number)) for number in range(int(sys.argv[1]))]
    sys.stdout.write(" ".join(map(str, kept)))
