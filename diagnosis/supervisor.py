"""Keeps a set of programs running: one that ends, killed or crashed, is started again.

Honcho, which reads the Procfile, stops everything as soon as one of its programs ends; a site
whose worker was killed for memory has to go on serving results.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from typing import NoReturn

logger = logging.getLogger(__name__)

POLL_SECONDS = 1
PATIENCE_SECONDS = 28
"""A worker ends its task (ANALYSIS_SOFT_TIME_LIMIT), the web process its uploads."""
SHORT_SECONDS, LONGEST_PAUSE = 10, 30
"""Whoever ends sooner waits, ever longer: one that cannot start would only fill the log."""
PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """A person or the system asked for the end."""


def supervise(commands: Mapping[str, str], patience: float = PATIENCE_SECONDS) -> None:
    """Run commands until SIGINT, SIGTERM or SIGHUP; all have ended when this returns."""
    for number in _asking():
        signal.signal(number, _stop)
    programs = [Program(name, command) for name, command in commands.items()]
    try:
        while True:
            for program in programs:
                program.keep()
            time.sleep(POLL_SECONDS)
    except Stopped:
        _end([program.process for program in programs if program.process], patience)


def _asking() -> list[signal.Signals]:
    """Without SIGHUP where it is ignored: `nohup` lets a program outlive its terminal."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]


class Program:
    """One that runs, or is about to: it waits the longer the more often it has ended at once."""

    def __init__(self, name: str, command: str) -> None:
        self.name, self.command = name, command
        self.process: subprocess.Popen[bytes] | None = None
        self.started = self.due = self.pause = 0.0

    def keep(self) -> None:
        if self.process and self.process.poll() is not None:
            self._bury(self.process)
        if not self.process and time.monotonic() >= self.due:
            self.process, self.started = _start(self.command), time.monotonic()

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        _kill(process)
        now = time.monotonic()
        lasted = now - self.started >= SHORT_SECONDS
        self.pause = 0 if lasted else min(max(1, 2 * self.pause), LONGEST_PAUSE)
        self.process, self.due = None, now + self.pause
        when = f"in {self.pause:.0f} s" if self.pause else "now"
        code = process.returncode
        logger.error("The %s process ended (%s); it is started again %s.", self.name, code, when)


def _stop(*_: object) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _start(command: str) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches the supervisor alone, which ends all.

    By a shell, since commands are lines of the Procfile.
    """
    return subprocess.Popen(  # nosec B602
        f"exec {command}", shell=True, start_new_session=True, preexec_fn=_die_with_parent
    )


def _die_with_parent() -> None:
    """Where the kernel can (Linux), a killed supervisor leaves nothing running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(processes: Collection[subprocess.Popen[bytes]], patience: float) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + patience
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0, deadline - time.monotonic()))
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it may have left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
