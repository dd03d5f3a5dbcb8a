"""Processes that tests start, stop and read."""

import signal
import subprocess

UNREACHABLE = {
    "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
}
"""Settings of a site whose servers are all down."""


def heed_ctrl_c() -> None:
    """For preexec_fn: who is started in the background of a shell would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """When it is through by itself."""
    out, complaints = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, complaints)
