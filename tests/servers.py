"""Real servers for tests: the site itself, PostgreSQL and Redis, each in a folder of its own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Missing(Exception):
    """A server cannot be had on this machine; str() says why."""


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment with no setting of the site but the given ones."""
    names = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.M))
    kept = {name: value for name, value in os.environ.items() if name not in names}
    fixed = {"ENV_FILE": os.devnull, "DJANGO_SETTINGS_MODULE": "malariaweb.settings"}
    if "PYTEST_XDIST_WORKER" in kept:  # threads that wait for each other's core only burn both
        fixed["OMP_NUM_THREADS"] = "1"
    return kept | fixed | settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(
    condition: Callable[[], object], what: str, seconds: float = 120, log: Path | None = None
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-4000:] if log else ""
            raise TimeoutError(f"waited {seconds:.0f} s for {what}\n{said}")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """By SIGTERM to the process alone, then by SIGKILL to its whole session."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def redis_server(port: int = 0) -> Iterator[str]:
    """Its address."""
    program, port = shutil.which("redis-server"), port or free_port()
    if not program:
        raise Missing("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        with running([program, *options], Path(folder, "log")) as log:
            wait_for(lambda: accepts(port), "Redis", log=log)
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Its address, to which a database's name is to be added."""
    initdb, postgres, port = postgres_program("initdb"), postgres_program("postgres"), free_port()
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        new = [initdb, "-D", f"{folder}/data", "-U", "tester", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(new, check=True, capture_output=True, cwd=folder, user=user)
        options = ["-F", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        command = [postgres, "-D", f"{folder}/data", *options]
        with running(command, Path(folder, "log"), user=user) as log:
            wait_for(lambda: b"ready to accept" in log.read_bytes(), "PostgreSQL", log=log)
            yield f"postgres://tester@127.0.0.1:{port}"


def postgres_program(name: str) -> str:
    """Debian keeps them off the PATH, a folder for each version."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    found = shutil.which(name) or max(map(str, versions), default="")
    if not found:
        raise Missing(f"PostgreSQL's {name} is not installed")
    return found


@contextlib.contextmanager
def running(command: list[str], log: Path, user: str | None = None) -> Iterator[Path]:
    """The file that it writes its output to."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            user=user,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        stop(process)


def procfile(name: str) -> list[str]:
    """The command that hosts run."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    return lines[name].split()


class Site:
    """The real site: gunicorn and Celery workers as processes, in a VAR folder of its own.

    `settings` are environment variables. `url` answers once `start()` has returned;
    `workers` are the Popen objects of the workers' main processes. On SQLite the VAR folder may
    start as a copy of one that was prepared before.
    """

    def __init__(self, folder: Path, prepared: Path | None = None, **settings: str) -> None:
        self.var = folder / "var"
        self.log = folder / "site.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = clean_environment(VAR=str(self.var), PORT=str(self.port), **settings)
        self.web: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        if prepared and "DATABASE_URL" not in settings:
            shutil.copytree(prepared, self.var)

    def prepare(self) -> None:
        if not (self.var / "db.sqlite3").exists():
            self.manage("prepare", "--no-static")

    def start(self, workers: int = 1) -> "Site":
        self.prepare()
        self.start_web()
        for _ in range(workers):
            self.start_worker()
        return self

    def manage(self, *arguments: str, **options: str) -> str:
        """What a management command prints; its complaint is raised."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env | options,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments} failed: {done.stderr}\n{done.stdout}")
        return done.stdout

    def start_web(self) -> subprocess.Popen[bytes]:
        self.web = self._start(*procfile("web"))
        wait_for(self.answers, "the web process", log=self.log)
        return self.web

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        ready = self.said("ready.")
        worker = self._start(*procfile("worker"), **settings)
        wait_for(lambda: self.said("ready.") > ready, "the worker", log=self.log)
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: subprocess.Popen[bytes] | None = None) -> None:
        """As the kernel does when memory runs out: its main process and all its children."""
        worker = worker or self.workers[-1]
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        self.workers.remove(worker)

    def stop(self) -> None:
        for process in [*self.workers, *([self.web] if self.web else [])]:
            stop(process)
        self.workers, self.web = [], None

    def said(self, words: str) -> int:
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    def last_words(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def get(self, path: str, **headers: str) -> str:
        asked = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as response:
            return response.read().decode()

    def status(self, path: str) -> tuple[int, str]:
        """Also of an answer that is an error."""
        try:
            return 200, self.get(path)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def answers(self) -> bool:
        try:
            self.get("/static/")
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _start(self, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.env | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def prepared_var(folder: Path) -> Path:
    """What `prepare` makes of a new VAR folder on SQLite."""
    site = Site(folder)
    site.manage("prepare")
    return site.var
