"""Everything on this machine: prepare, then web and worker until Ctrl-C."""

import errno
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from honcho.environ import parse_procfile

from diagnosis.supervisor import supervise


class Command(BaseCommand):
    help = "Prepares this installation and runs the site, web and worker, until Ctrl-C."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGINT, leave)
        self.refuse_busy_port()
        self.check(display_num_errors=False)
        call_command("prepare", stdout=self.stdout, stderr=self.stderr)
        path = os.environ.get("PATH", os.defpath)
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
        os.chdir(settings.BASE_DIR)
        commands = parse_procfile(Path("Procfile").read_text()).processes
        self.stdout.write("Starting. Ctrl-C stops the site.")
        self.stdout.flush()
        supervise({name: commands[name] for name in ("web", "worker")})
        self.stdout.write("The site has stopped.")

    def refuse_busy_port(self) -> None:
        """Gunicorn would say it five times in five seconds."""
        family = socket.AF_INET6 if ":" in settings.LISTEN_ON else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((settings.LISTEN_ON, settings.PORT))
        except OSError as error:
            raise CommandError(self.why(error)) from None

    def why(self, error: OSError) -> str:
        port = settings.PORT
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} is in use by another program: choose one, like PORT={port + 1}."
        return f"Port {port} cannot be used ({error.strerror}): choose another, like PORT=8000."


def leave(*_: object) -> NoReturn:
    """At once: an exception would wait for every file that is being compressed, and one that is
    raised inside a callback is lost. What `prepare` does can be cut anywhere and done again."""
    os.write(sys.stderr.fileno(), b"Stopped.\n")
    os._exit(1)
