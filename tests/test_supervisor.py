import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diagnosis.supervisor import SHORT_SECONDS, Program
from tests.servers import ROOT, clean_environment, stop, wait_for

SUPERVISE = """
import sys
from diagnosis.supervisor import supervise
supervise({name: f"{sys.executable} {sys.argv[1]} {name}" for name in ("one", "two")}, patience=3)
"""
PROGRAM = """
import os, signal, sys, time
if sys.argv[1] == "two":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
time.sleep(600)
"""
DEFAULT_SIGNALS = ["env", "--default-signal"]
"""Whatever the tests themselves were started under."""


class Supervised:
    def __init__(self, folder: Path, *before: str) -> None:
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        self.process = subprocess.Popen(
            [*(before or DEFAULT_SIGNALS), sys.executable, "-c", SUPERVISE, "program.py"],
            cwd=folder,
            env=clean_environment(PYTHONPATH=str(ROOT), VAR=str(folder)),
            start_new_session=True,
        )
        wait_for(lambda: self.pids("one") and self.pids("two"), "both programs")

    def pids(self, name: str) -> list[int]:
        """Of all that were ever started, oldest first."""
        path = self.folder / name
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def running(self) -> list[int]:
        return [pid for name in ("one", "two") for pid in self.pids(name) if alive(pid)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def supervised(tmp_path, request):
    supervised = Supervised(tmp_path, *getattr(request, "param", []))
    yield supervised
    stop(supervised.process)
    for pid in supervised.running():
        os.kill(pid, signal.SIGKILL)


def test_a_killed_program_is_started_again_and_the_other_left_alone(supervised):
    os.kill(supervised.pids("one")[0], signal.SIGKILL)
    wait_for(lambda: len(supervised.pids("one")) == 2, "its successor")
    assert supervised.running() == [supervised.pids("one")[1], supervised.pids("two")[0]]
    assert len(supervised.pids("two")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_ends_all_even_a_program_that_will_not(supervised, number):
    supervised.process.send_signal(number)
    assert supervised.process.wait(timeout=20) == 0
    assert supervised.running() == []


@pytest.mark.parametrize("supervised", [["nohup"]], indirect=True)
def test_nohup_lets_it_outlive_its_terminal(supervised):
    supervised.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        supervised.process.wait(timeout=3)
    assert len(supervised.running()) == 2
    supervised.process.terminate()
    assert supervised.process.wait(timeout=20) == 0


def test_a_program_that_ends_at_once_waits_ever_longer(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    program, starts = Program("web", "false"), []
    for now[0] in range(100):
        if program.process is None and now[0] >= program.due:
            starts.append(now[0])
        program.keep()
        program.process and program.process.wait()
    assert starts == [0, 2, 5, 10, 19, 36, 67, 98]
    assert "The web process ended (1); it is started again in 30 s." in caplog.messages


def test_a_program_that_ran_for_long_is_started_again_at_once(monkeypatch):
    program = Program("web", "false")
    program.keep()
    program.process.wait()
    program.started -= SHORT_SECONDS
    first = program.process
    program.keep()
    assert program.process not in (None, first)
    program.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal that only Linux sends")
def test_a_killed_supervisor_asks_its_programs_to_end(supervised):
    supervised.process.kill()
    wait_for(lambda: not alive(supervised.pids("one")[0]), "the end of the program")
