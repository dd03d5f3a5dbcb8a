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
PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """A person or the system asked for the end."""


def supervise(commands: Mapping[str, str], patience: float = PATIENCE_SECONDS) -> None:
    """Run commands until SIGINT, SIGTERM or SIGHUP; all have ended when this returns."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while True:
            for name, command in commands.items():
                if name not in running:
                    running[name] = _start(command)
                elif running[name].poll() is not None:
                    _bury(name, running.pop(name))
            time.sleep(POLL_SECONDS)
    except Stopped:
        _end(running.values(), patience)


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


def _bury(name: str, process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    logger.error("The %s process ended (%s); it is started again.", name, process.returncode)


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
