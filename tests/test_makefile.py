"""What `make` says where something is missing. That it works is for a fresh clone to show."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT

TOO_OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *) exit 0;; esac\n'

WITHOUT_PIP = '#!/bin/sh\n[ "$2" = pip ] && echo "No module named pip" >&2 && exit 1\necho "$@"\n'
MAKES_VENV = """#!/bin/sh
if [ "$2" = venv ]; then
    echo '#!/bin/sh' > .venv/bin/python
    echo 'echo "$@"' >> .venv/bin/python
    chmod 755 .venv/bin/python
fi
"""


def make(folder: Path, *arguments: str, python: str = "") -> subprocess.CompletedProcess[str]:
    """In a copy, on a machine that has nothing but a shell and the given python3."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements-serve.txt").touch()
    programs = folder / "bin"
    programs.mkdir()
    for name in ("sh", "touch", "echo", "id", "chmod"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if python:
        (programs / "python3").write_text(python)
        (programs / "python3").chmod(0o755)
    return subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=folder,
        env={"PATH": str(programs), "SHELL": "/bin/sh", "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("python", ["", TOO_OLD], ids=["none", "too old"])
def test_without_a_python_that_is_new_enough(tmp_path, python):
    done = make(tmp_path, "run", python=python)
    assert done.returncode
    assert done.stdout.splitlines() == [
        "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python."
    ]


def test_without_venv(tmp_path):
    done = make(tmp_path, "run", python=WITHOUT_VENV)
    assert done.returncode
    assert done.stdout.splitlines() == [
        "Python's venv module is missing: on Debian or Ubuntu, apt install python3-venv."
    ]
    assert not (tmp_path / ".venv").exists()


def test_a_virtual_environment_that_was_never_finished_is_made_anew(tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text(WITHOUT_PIP)
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    done = make(tmp_path, "run", python=MAKES_VENV)
    assert done.returncode == 0, done.stderr
    assert "No module named pip" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "manage.py start"


def test_a_second_run_installs_nothing(tmp_path):
    """The stamp is newer than the requirements."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    first = make(tmp_path, "run")
    assert "pip install" in first.stdout
    shutil.rmtree(tmp_path / "bin")
    stamp = tmp_path / ".venv" / "serve.stamp"
    os.utime(stamp, (stamp.stat().st_mtime + 10,) * 2)
    assert make(tmp_path, "run").stdout.splitlines() == ["manage.py start"]
