"""A site on PostgreSQL and Redis, uploads without a pause, and what can go wrong meanwhile."""

import contextlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread

import psutil
import psycopg

from tests.readings import png
from tests.servers import Site, accepts, free_port, postgres_program, stop, wait_for
from tests.visitors import Visitor

AWAY = 4.0
"""Seconds that a server is gone or silent."""
DISK = 400_000_000
AMISS = ("lost", "doubled", "stuck", "without a reason")
STUCK_AFTER = 60
"""Seconds after the last fault in which all has to be read: two sweeps, a lease, a slow machine."""


class Server:
    """A process that can be stopped in every way and started again in its folder."""

    def __init__(self, command: list[str], folder: Path, port: int, user: str | None) -> None:
        self.command, self.folder, self.port, self.user = command, folder, port, user
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.user,
                start_new_session=True,
            )
        wait_for(lambda: accepts(self.port), self.command[0], log=self.folder / "log")

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()


def redis_of(folder: Path) -> Server:
    """It keeps nothing: started again it is empty."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    return Server(["redis-server", *options], folder, port, None)


def postgres_of(folder: Path) -> Server:
    user, port = "postgres" if os.getuid() == 0 else None, free_port()
    if user:
        shutil.chown(folder, user)
    new = ["-D", f"{folder}/data", "-U", "tester", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(
        [postgres_program("initdb"), *new], check=True, capture_output=True, cwd=folder, user=user
    )
    options = ["-D", f"{folder}/data", "-F", "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    return Server([postgres_program("postgres"), *options], folder, port, user)


def small_disks(*folders: Path) -> tuple[Path, ...]:
    """Those of these that can be filled up: all where this process may mount, else none."""
    mounted: list[Path] = []
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            unmount(mounted)
            return ()
        mounted.append(folder)
    return folders


def unmount(disks: Iterable[Path]) -> None:
    for disk in disks:
        subprocess.run(["umount", "--lazy", disk], check=True)


class Stand:
    """All of it. `accepted` are the images whose upload was answered with a receipt."""

    def __init__(self, folder: Path) -> None:
        for name in ("redis", "postgres", "site"):
            (folder / name).mkdir()
        folder.chmod(0o755)
        self.disks = small_disks(folder / "postgres", folder / "site" / "var" / "media")
        self.redis, self.postgres = redis_of(folder / "redis"), postgres_of(folder / "postgres")
        self.url = f"postgres://tester@127.0.0.1:{self.postgres.port}/site"
        wait_for(self._made, "the database")
        self.site = Site(
            folder / "site",
            DATABASE_URL=self.url,
            REDIS_URL=f"redis://127.0.0.1:{self.redis.port}/0",
            SECRET_KEY=secrets.token_urlsafe(50),
            DJANGO_SETTINGS_MODULE="tests.worker_settings",
            UPLOADS_PER_HOUR="1000000",
        )
        self.accepted: set[str] = set()
        self.tally: Counter[str] = Counter()
        self.seed, self.over = 0, Event()

    def open(self) -> None:
        self.site.start()
        self.visitor = Visitor(self.site)
        self.path = self.visitor.new_slide("F-1")

    def _made(self) -> bool:
        try:
            with psycopg.connect(self.url.replace("/site", "/postgres"), autocommit=True) as made:
                made.execute("CREATE DATABASE site")
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        self.site.stop()
        for server in (self.redis, self.postgres):
            with contextlib.suppress(ProcessLookupError):
                server.send(signal.SIGCONT)
            stop(server.process)
        unmount(self.disks)

    @contextlib.contextmanager
    def uploads(self) -> Iterator[None]:
        self.over.clear()
        thread = Thread(target=self._upload)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def _upload(self) -> None:
        while not self.over.wait(0.02):
            self.upload()

    def upload(self) -> int:
        """The status of the answer, 0 where none came."""
        self.seed += 1
        self.tally["tried"] += 1
        try:
            answer = self.visitor.upload(self.path, {f"{self.seed}.png": png(self.seed)})
        except (HTTPException, urllib.error.URLError, OSError):
            self.tally["no answer"] += 1
            return 0
        if answer.status == 200:
            for receipt in answer.json["receipts"]:
                if receipt["image"]:
                    self.accepted.add(receipt["image"])
                else:
                    self.tally["refused"] += 1
        else:
            self.tally[str(answer.status)] += 1
        return answer.status

    def query(self, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(text).fetchall()

    @property
    def troubled(self) -> int:
        """Uploads that did not end with a stored image."""
        return self.tally["tried"] - len(self.accepted)

    def waiting(self) -> int:
        query = "SELECT count(*) FROM diagnosis_prediction WHERE state IN ('queued', 'running')"
        return int(str(self.query(query)[0][0]))

    def settle(self) -> dict[str, int]:
        """What became of all that was accepted, once nothing waits any more."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: self.waiting() == 0, "the reading", STUCK_AFTER)
        rows = self.query(
            "SELECT image_id::text, state, error, count(*) OVER (PARTITION BY image_id, model_id)"
            " FROM diagnosis_prediction"
        )
        known = {row[0] for row in rows}
        files = {path.name for path in (self.site.var / "media").rglob("*") if path.is_file()}
        named = {
            Path(str(file)).name for (file,) in self.query("SELECT file FROM diagnosis_smearimage")
        }
        return {
            "accepted": len(self.accepted),
            "read": sum(row[1] in ("done", "rejected") for row in rows),
            "failed": sum(row[1] == "failed" for row in rows),
            "lost": len(self.accepted - known) + len(named - files),
            "doubled": sum(row[3] != 1 for row in rows),
            "stuck": sum(row[1] in ("queued", "running") for row in rows),
            "without a reason": sum(row[1] == "failed" and not row[2] for row in rows),
        }


@contextlib.contextmanager
def stands() -> Iterator[Stand]:
    """In a folder that PostgreSQL's own user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(Path(folder))
        try:
            stand.open()
            yield stand
        finally:
            stand.close()


def worker_child_killed(stand: Stand) -> None:
    children = psutil.Process(stand.site.workers[0].pid).children()
    os.kill(children[-1].pid, signal.SIGKILL)


def all_workers_killed(stand: Stand) -> None:
    stand.site.kill_worker()
    time.sleep(1)
    stand.site.start_worker()


def web_killed(stand: Stand) -> None:
    """In the middle of uploads: they never stop."""
    assert stand.site.web
    os.killpg(stand.site.web.pid, signal.SIGKILL)
    stand.site.web.wait()
    stand.site.start_web()


def redis_restarted_empty(stand: Stand) -> None:
    stand.redis.end()
    stand.redis.start()


def redis_away(stand: Stand) -> None:
    stand.redis.end()
    time.sleep(AWAY)
    stand.redis.start()


def redis_silent(stand: Stand) -> None:
    stand.redis.send(signal.SIGSTOP)
    time.sleep(AWAY)
    stand.redis.send(signal.SIGCONT)


def postgres_restarted(stand: Stand) -> None:
    stand.postgres.end(signal.SIGINT)
    stand.postgres.start()


def postgres_crashed(stand: Stand) -> None:
    stand.postgres.end(signal.SIGQUIT)
    stand.postgres.start()


def deployed(stand: Stand) -> None:
    """Both are asked to stop, and started anew, with work on its way."""
    stand.site.stop()
    stand.site.start_web()
    stand.site.start_worker()


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1_000_000))
            file.flush()
    yield
    filler.unlink()


def media_full(stand: Stand) -> None:
    with full(stand.disks[1]):
        time.sleep(AWAY)


def database_full(stand: Stand) -> None:
    """PostgreSQL ends where it cannot write its log; whoever operates it makes room and starts."""
    with full(stand.disks[0]):
        time.sleep(AWAY)
    if stand.postgres.process.poll() is not None:
        stand.postgres.start()


FAULTS: tuple[Callable[[Stand], None], ...] = (
    worker_child_killed, all_workers_killed, web_killed, redis_restarted_empty, redis_away,
    redis_silent, postgres_restarted, postgres_crashed, deployed, media_full, database_full,
)  # fmt: skip


def under(stand: Stand, fault: Callable[[Stand], None], seconds: float = 1.5) -> None:
    with stand.uploads():
        time.sleep(seconds)
        fault(stand)
        time.sleep(seconds)


def soak(rounds: int, seed: int = 1) -> tuple[dict[str, int], bool]:
    """(what became of uploads under so many faults drawn at random, whether all of it is well)."""
    chance, done = random.Random(seed), Counter[str]()
    with stands() as stand:
        faults = [fault for fault in FAULTS if stand.disks or not fault.__name__.endswith("_full")]
        for number in range(1, rounds + 1):
            fault = chance.choice(faults)
            under(stand, fault)
            done[fault.__name__] += 1
            sys.stderr.write(f"{number} {fault.__name__} {dict(stand.tally)}\n")
        found = stand.settle()
    report = {"rounds": rounds, **done, **stand.tally, **found}
    return report, not any(found[name] for name in AMISS)
