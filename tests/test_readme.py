"""The README is run: every command in it, in order, in one copy of the project.

Blocks follow each other as they do for a reader, so run this module whole. A block after
`<!-- not run: REASON -->` is a skipped test with that reason; that its options exist is tested.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import load_command_class

from ml.drawing import draw_cell
from tests.cells import dark, write_fields
from tests.servers import ROOT, clean_environment, free_port, wait_for

README = (ROOT / "README.md").read_text()
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```\n", re.S
)
SLIDES, TEST_SLIDES, CELLS_OF_A_KIND = 10, ("C2", "C7"), 4
PALE_GROUND = (245, 240, 235)
FOR_FEW_CELLS = "--batch-size 8 --learning-rate 0.003 --no-levelling --image-size 32"
FEWER_EPOCHS = "--epochs 4"
API = "/api/v1/"
TOKEN = shlex.quote(
    "from django.contrib.auth.models import User; from diagnosis import tokens;"
    "print(tokens.new(User.objects.get(), 'README')[1], end='')"
)

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return " ".join(self.text.splitlines()[-1].split()[:4])


BLOCKS = [Block(f["language"], f["text"], f["reason"] or "") for f in FENCE.finditer(README)]
RUN = [block for block in BLOCKS if block.language in ("sh", "python", "sql")]


class Copy:
    """The project as a reader has it: no settings, everything installed, and some drawn cells."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log = folder / "malariaweb", folder / "log"
        self.port, self.postgres, self.said, self.token = free_port(), "", "", ""
        copy_project(self.root)
        link_environment(self.root / ".venv")
        draw_cells(self.root / "cell_images")
        write_fields(self.root / "other_lab", fields=10)
        (self.root / "test_slides.txt").write_text("\n".join(TEST_SLIDES))
        draw_cell(1, parasitized=True).save(self.root / "cell.png")
        self.make_pullable(folder / "upstream")

    def make_pullable(self, upstream: Path) -> None:
        commit = (
            f"git -C {upstream} -c user.name=Somebody -c user.email=somebody@localhost "
            "commit --quiet --allow-empty --message"
        )
        self.sh(f"git init --quiet --initial-branch main {upstream} && {commit} first")
        self.sh(f"git init --quiet && git remote add origin {upstream} && git fetch --quiet")
        self.sh("git checkout --quiet -b main --track origin/main")
        self.sh(f"touch {upstream}/news && git -C {upstream} add news && {commit} news")

    def make_fresh(self) -> None:
        """As another copy, which holds nothing yet."""
        (self.root / "var").rename(self.root / "var of another copy")

    @property
    def environment(self) -> dict[str, str]:
        values = clean_environment(PORT=str(self.port), PYTHONUNBUFFERED="1", TOKEN=self.token)
        values["OMP_NUM_THREADS"] = "1"  # tiny batches; the same sums every time
        for name in ("ENV_FILE", "MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV"):
            values.pop(name, None)
        return values

    def here(self, script: str) -> list[str]:
        """With a port and a database server of this machine, and small steps for its few cells."""
        script = re.sub(r"\bPORT=\d+", f"PORT={self.port}", script)
        script = script.replace("localhost:8000", f"localhost:{self.port}")
        script = script.replace("--folds 3", "--folds 2 --epochs 2")
        script = re.sub(r"train_model --data.*", rf"\g<0> {FOR_FEW_CELLS}", script)
        script = re.sub(r"train_model(?!.*--epochs).*", rf"\g<0> {FEWER_EPOCHS}", script)
        return ["sh", "-e", "-c", script.replace("localhost:5432", self.postgres)]

    def sh(self, script: str) -> str:
        done = subprocess.run(
            self.here(script),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def sql(self, script: str) -> None:
        with psycopg.connect(f"postgres://tester@{self.postgres}/postgres") as connection:
            connection.autocommit = True
            for statement in script.strip().split(";\n"):
                connection.execute(statement.encode())

    def run_until_ctrl_c(self, script: str) -> None:
        with self.running(script):
            pass

    @contextmanager
    def running(self, script: str) -> Iterator[None]:
        self.port = free_port()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.here(script),
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(lambda: process.poll() is not None or self.is_up(script), script, log=self.log)
        assert process.poll() is None, self.log.read_text()
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
            wait_for(lambda: not self.processes(), "the end of all processes", 60, self.log)
            self.said += self.log.read_text()

    def ask_the_api(self, script: str) -> str:
        with self.running("make run"):
            self.token = self.token or self.sh(f".venv/bin/python manage.py shell -v 0 -c {TOKEN}")
            return self.sh(script)

    def is_up(self, script: str) -> bool:
        command = script.splitlines()[-1]
        web = "celery" in command or self.answers()
        return web and ("gunicorn" in command or " ready.\n" in self.log.read_text())

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}/", timeout=30) as page:
                return b"Research use only" in page.read()
        except OSError:
            return False

    def processes(self) -> list[int]:
        """All that run in this copy."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if Path(os.readlink(link)).is_relative_to(self.root):
                    found.append(int(link.parent.name))
            except OSError:
                continue
        return found


def copy_project(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def link_environment(target: Path) -> None:
    """The one these tests run in; the stamps say that it is complete."""
    target.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.suffix != ".stamp":
            (target / path.name).symlink_to(path)
    for name in ("serve.stamp", "dev.stamp"):
        (target / name).touch()


def draw_cells(folder: Path) -> None:
    """So unlike each other that a network parts them after few steps."""
    number = 0
    for name, parasitized in (("Parasitized", True), ("Uninfected", False)):
        (folder / name).mkdir(parents=True)
        for slide in [*range(1, SLIDES + 1)] * CELLS_OF_A_KIND:
            number += 1
            cell = draw_cell(number, parasitized, 64, (0, 0, 0) if parasitized else PALE_GROUND)
            if parasitized:
                cell = dark(cell)
            cell.save(folder / name / f"C{slide}P{slide}ThinF_IMG_1_cell_{number}.png")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    copy = Copy(tmp_path_factory.mktemp("readme"))
    yield copy
    for pid in copy.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("block", RUN, ids=str)
def test_it_runs(block, copy, request):
    if block.reason:
        pytest.skip(block.reason)
    if "restore backup.tar" in block.text:
        copy.make_fresh()
    if block.language == "sql" or "5432" in block.text:
        copy.postgres = urlsplit(request.getfixturevalue("postgres_server")).netloc.split("@")[-1]
    if block.language == "sql":
        copy.sql(block.text)
    elif block.language == "python":
        script = f".venv/bin/python -c {shlex.quote(block.text)}"
        said = copy.ask_the_api(script) if API in block.text else copy.sh(script)
        assert "Research use only" in said or API not in block.text
    elif API in block.text:
        assert '"results":[]' in copy.ask_the_api(block.text)
    elif re.match(r"make run|.*/gunicorn|.*/celery", block.text.splitlines()[-1]):
        copy.run_until_ctrl_c(block.text)
    else:
        copy.sh(block.text)


def test_the_first_account_is_made_once_and_survives_the_restored_backup(copy):
    assert len(re.findall(r"password +[a-z0-9-]{19}\n", copy.said)) == 1


def test_the_rows_move_to_postgresql(copy):
    if not copy.postgres:
        pytest.skip("no PostgreSQL server")
    with psycopg.connect(f"postgres://malaria@{copy.postgres}/malaria") as connection:
        row = connection.execute("SELECT username FROM auth_user").fetchall()
    assert row == [("admin",)]


@pytest.mark.parametrize("block", [block for block in RUN if block.reason], ids=str)
def test_what_is_not_run_has_no_unknown_options(block, copy):
    copy.sh(f"sh -n -c {shlex.quote(block.text)}")
    for line in block.text.splitlines():
        program, *words = shlex.split(line)
        if program == "make":
            copy.sh(f"make --dry-run {shlex.join(words)}")
        elif words[0] == "manage.py":
            command = load_command_class("diagnosis", words[1])
            command.create_parser("manage.py", words[1]).parse_args(words[2:])
        else:
            assert program in ("git", "cp")
