"""A site on PostgreSQL and Redis, uploads without a pause, and what can go wrong meanwhile."""

import contextlib
import itertools
import json
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import psutil
import psycopg

from ml.artifact import MANIFEST, ONNX, shipped_model
from tests.ill_worker import FAILS, HANGS, KILLS
from tests.readings import png
from tests.servers import accepts, free_port, postgres_program, stop, wait_for
from tests.visitors import Visitor
from tests.workers import Workers

AWAY = 4.0
"""Seconds that a server is gone or silent."""
DISK = 400_000_000
A_MINUTE = 60.0
AMISS = ("lost", "doubled", "stuck", "failed", "without a reason", "poison let pass")
PROMISED = 20
"""Seconds after a fault in which something has to be read, and after that again and again: a lease
(6), two sweeps (1 each) or a worker's pause between two looks for its broker (5), and what a slow
machine takes for restarts."""
GIVEN_UP = 60
MEMORY = Path("/sys/fs/cgroup/memory")
"""Where the kernel (control groups, version 1) limits what processes may have together."""
FAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "")

ANSWERS = """
CREATE TABLE answers (prediction bigint);
CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO answers VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER answer AFTER UPDATE ON diagnosis_prediction FOR EACH ROW
    WHEN (NEW.state IN ('done', 'rejected')) EXECUTE FUNCTION answer();
"""
"""The database itself notes each time that an answer is written."""
ANSWERED = "SELECT count(*) FROM answers GROUP BY prediction"

Mark = tuple[int, int, int] | None
CHUNK_WITH_POISON: tuple[Mark, ...] = (None, KILLS, None, HANGS, None, FAILS, None)


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
    """All of it. `accepted` are the images whose upload was answered with a receipt.

    Those among them that make a worker ill are `poisoned`: they fail in the end, and they alone.
    `waits` are the seconds that it took, after each kind of fault, until nothing waited.
    """

    def __init__(self, folder: Path, pause: float) -> None:
        for name in ("redis", "postgres", "site"):
            (folder / name).mkdir()
        folder.chmod(0o755)
        self.folder, self.pause = folder, pause
        var = folder / "site" / "var"
        self.disks = small_disks(folder / "postgres", var / "media", var / "broker")
        self.model = shutil.copytree(shipped_model(), folder / "model")
        self.redis, self.postgres = redis_of(folder / "redis"), postgres_of(folder / "postgres")
        self.url = f"postgres://tester@127.0.0.1:{self.postgres.port}/site"
        wait_for(self._made, "the database")
        self.site = Workers(
            folder / "site",
            DATABASE_URL=self.url,
            REDIS_URL=f"redis://127.0.0.1:{self.redis.port}/0",
            SECRET_KEY=secrets.token_urlsafe(50),
            UPLOADS_PER_HOUR="1000000",
        )
        self.accepted: set[str] = set()
        self.poisoned: set[str] = set()
        self.tally: Counter[str] = Counter()
        self.waits: dict[str, float] = {}
        self.stuck = 0
        self.seeds, self.turn, self.over = itertools.count(1), Lock(), Event()

    def open(self) -> None:
        self.site.prepare()
        self.execute(f"UPDATE diagnosis_modelversion SET path = '{self.model}'")
        self.execute(ANSWERS)
        self.site.start_web()
        self.site.start_worker()
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
        while not self.over.wait(self.pause):
            self.upload()

    def upload(self) -> int:
        """The status of the answer, 0 where none came."""
        with self.turn:
            return self._send([None])[0]

    def poison(self) -> None:
        """Ill and healthy ones in one message."""
        with self.turn:
            _, images = self._send(CHUNK_WITH_POISON)
        marked = zip(images, CHUNK_WITH_POISON, strict=True)
        self.poisoned.update(image for image, mark in marked if mark)

    def _send(self, marks: Sequence[Mark]) -> tuple[int, list[str]]:
        """(the status of the answer, the images that were accepted)."""
        seeds = [next(self.seeds) for _ in marks]
        files = {f"{s}.png": png(s, mark=m) for s, m in zip(seeds, marks, strict=True)}
        self.tally["tried"] += len(files)
        try:
            answer = self.visitor.upload(self.path, files)
        except (HTTPException, urllib.error.URLError, OSError):
            self.tally["no answer"] += len(files)
            return 0, []
        if answer.status != 200:
            self.tally[str(answer.status)] += len(files)
            return answer.status, []
        images = [receipt["image"] for receipt in answer.json["receipts"] if receipt["image"]]
        self.tally["refused"] += len(files) - len(images)
        self.accepted.update(images)
        return answer.status, images

    def execute(self, text: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(text)

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

    def wait_until_read(self, over: float) -> float:
        """Seconds from then, the end of a fault, on. Stuck is what waits while nothing was read for
        PROMISED: many that came meanwhile wait for each other, on a slow machine longer."""
        waiting, moved = self.waiting(), over
        while waiting and time.monotonic() - moved < PROMISED:
            time.sleep(0.1)
            before, waiting = waiting, self.waiting()
            moved = time.monotonic() if waiting < before else moved
        if waiting:
            self.stuck += waiting
            self._wait(time.monotonic() + GIVEN_UP)
        return time.monotonic() - over

    def _wait(self, until: float) -> None:
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: self.waiting() == 0, "the reading", until - time.monotonic())

    def settle(self) -> dict[str, int]:
        """What became of all that was accepted, once nothing waits any more."""
        self._wait(time.monotonic() + GIVEN_UP)
        rows = self.query("SELECT image_id::text, state, error FROM diagnosis_prediction")
        answers = [count for (count,) in self.query(ANSWERED)]
        failed = {row[0] for row in rows if row[1] == "failed"}
        known = {row[0] for row in rows}
        files = {path.name for path in (self.site.var / "media").rglob("*") if path.is_file()}
        named = {
            Path(str(file)).name for (file,) in self.query("SELECT file FROM diagnosis_smearimage")
        }
        return {
            "accepted": len(self.accepted),
            "read": sum(row[1] in ("done", "rejected") for row in rows),
            "ill and failed": len(failed & self.poisoned),
            "lost": len(self.accepted - known) + len(named - files),
            "doubled": len(rows) - len(known) + sum(int(str(count)) > 1 for count in answers),
            "stuck": self.stuck + sum(row[1] in ("queued", "running") for row in rows),
            "without a reason": sum(row[1] == "failed" and not row[2] for row in rows),
            "failed": len(failed - self.poisoned),
            "poison let pass": len(self.poisoned - failed),
        }

    def reasons_of_healthy(self) -> dict[str, int]:
        """Why images failed that are not to blame."""
        rows = self.query(
            "SELECT image_id::text, error FROM diagnosis_prediction WHERE state = 'failed'"
        )
        return dict(Counter(str(error) for image, error in rows if image not in self.poisoned))


@contextlib.contextmanager
def stands(pause: float = 0.02) -> Iterator[Stand]:
    """In a folder that PostgreSQL's own user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(Path(folder), pause)
        try:
            stand.open()
            yield stand
        finally:
            stand.close()


def worker_child(stand: Stand) -> psutil.Process:
    return psutil.Process(stand.site.workers[0].pid).children()[-1]


def worker_child_killed(stand: Stand) -> None:
    worker_child(stand).kill()


@contextlib.contextmanager
def memory_of(process: psutil.Process, limit: int) -> Iterator[None]:
    """For what it and its children take from now on, in bytes."""
    group = MEMORY / f"stand-{process.pid}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(limit))
    for each in (process, *process.children(recursive=True)):
        (group / "cgroup.procs").write_text(str(each.pid))
    try:
        yield
    finally:
        wait_for(lambda: left(group), "the group of processes to be left")


def left(group: Path) -> bool:
    """Whether it is gone. A process may still be starting or ending in it, which keeps it busy."""
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            (MEMORY / "cgroup.procs").write_text(pid)
        group.rmdir()
    return not group.exists()


def worker_out_of_memory(stand: Stand) -> None:
    """The kernel kills whatever takes the place of the process that read, and on a busy machine
    the main process too, which whoever runs it starts again."""
    main = stand.site.workers[0]
    with memory_of(psutil.Process(main.pid), 60_000_000):
        worker_child(stand).kill()
        before = kernel_kills()
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: kernel_kills() > before, "the kernel", GIVEN_UP)
    if main.poll() is not None:
        stand.site.workers.remove(main)
        stand.site.start_worker()


def kernel_kills() -> int:
    """Processes killed for want of memory since this machine started."""
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(counters["oom_kill"])


def all_workers_killed(stand: Stand) -> None:
    stand.site.start_worker()
    restart_worker(stand)


def restart_worker(stand: Stand, **settings: str) -> None:
    while stand.site.workers:
        stand.site.kill_worker()
    time.sleep(1)
    stand.site.start_worker(**settings)


def two_workers_and_their_sweeps(stand: Stand) -> None:
    """Each sweep takes all that is queued for lost, and sends it again."""
    second = stand.site.start_worker(WORKER_PROCESSES="2")
    over = time.monotonic() + AWAY
    with stand.site.sender() as sender:
        while time.monotonic() < over:
            sender.send_task("diagnosis.tasks.sweep", [time.time() + AWAY])
            time.sleep(0.05)
    stand.site.workers.remove(second)
    stop(second)


def poisoned_images(stand: Stand) -> None:
    """It is over when all attempts at them are spent."""
    stand.poison()
    ids = ",".join(f"'{image}'" for image in stand.poisoned)
    failed = (
        f"SELECT count(*) FROM diagnosis_prediction WHERE state = 'failed' AND image_id IN ({ids})"
    )
    with contextlib.suppress(TimeoutError):
        wait_for(
            lambda: stand.query(failed)[0][0] == len(stand.poisoned), "the last attempt", GIVEN_UP
        )


def clock_jumped(stand: Stand) -> None:
    """An hour ahead, two hours back, and to the right time again, under a running worker."""
    clock = stand.folder / "clock"
    clock.write_text("+0h")
    restart_worker(
        stand,
        LD_PRELOAD=FAKETIME,
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    for shift in ("+1h", "-1h", "+0h"):
        clock.write_text(shift)
        time.sleep(AWAY)
    restart_worker(stand)


@contextlib.contextmanager
def replaced(file: Path, content: bytes | None) -> Iterator[None]:
    kept = file.rename(file.with_suffix(".kept"))
    if content is not None:
        file.write_bytes(content)
    yield
    kept.replace(file)


def start_without_model(stand: Stand, file: str, content: bytes | None) -> None:
    """The worker that started so needs no other start when the model is back."""
    with replaced(stand.model / file, content):
        restart_worker(stand)
        time.sleep(AWAY)


def model_missing(stand: Stand) -> None:
    start_without_model(stand, ONNX, None)


def model_truncated(stand: Stand) -> None:
    start_without_model(stand, ONNX, (stand.model / ONNX).read_bytes()[:1_000_000])


def model_of_another_format(stand: Stand) -> None:
    manifest = json.loads((stand.model / MANIFEST).read_bytes())
    start_without_model(stand, MANIFEST, json.dumps(manifest | {"format": 99}).encode())


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


def redis_away_for_a_minute(stand: Stand) -> None:
    stand.redis.end()
    time.sleep(A_MINUTE)
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
def full(disk: Path) -> Iterator[Callable[[], None]]:
    """What is yielded fills it again, where something was taken off meanwhile."""
    filler = disk / "filler"

    def fill() -> None:
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1_000_000)):  # the last time in part
                pass

    fill()
    yield fill
    filler.unlink()


def media_full(stand: Stand) -> None:
    with full(stand.disks[1]):
        time.sleep(AWAY)


def use_up_the_log(stand: Stand) -> None:
    """PostgreSQL keeps segments in reserve that may outlast a short fault."""
    with contextlib.suppress(psycopg.Error):
        stand.execute("SELECT pg_switch_wal()")


def database_full(stand: Stand) -> None:
    """PostgreSQL ends where it cannot write its log; whoever operates it makes room and starts."""
    over = time.monotonic() + AWAY
    with full(stand.disks[0]):
        while time.monotonic() < over:
            use_up_the_log(stand)
            time.sleep(0.2)
    if stand.postgres.process.poll() is not None:
        stand.postgres.start()


@contextlib.contextmanager
def file_broker(stand: Stand) -> Iterator[None]:
    """Deployed without Redis, and with it again."""
    redis = stand.site.env.pop("REDIS_URL")
    deployed(stand)
    yield
    stand.site.env["REDIS_URL"] = redis
    deployed(stand)


def broker_full(stand: Stand) -> None:
    with file_broker(stand):
        over = time.monotonic() + AWAY
        with full(stand.disks[2]) as fill:
            while time.monotonic() < over:
                fill()
                time.sleep(0.05)
        time.sleep(1)


Fault = Callable[[Stand], None]
FAULTS: tuple[Fault, ...] = (
    worker_child_killed, worker_out_of_memory, all_workers_killed, two_workers_and_their_sweeps,
    poisoned_images, clock_jumped, model_missing, model_truncated, model_of_another_format,
    web_killed, redis_restarted_empty, redis_away, redis_away_for_a_minute, redis_silent,
    postgres_restarted, postgres_crashed, deployed, media_full, database_full, broker_full,
)  # fmt: skip


def lacking(stand: Stand, fault: Fault) -> str:
    """Why this machine cannot have that fault; empty where it can."""
    if fault in (media_full, database_full, broker_full) and not stand.disks:
        return "no right to mount a small disk"
    if fault is worker_out_of_memory and not os.access(MEMORY, os.W_OK):
        return "no right to limit memory with control groups"
    if fault is clock_jumped and not FAKETIME:
        return "libfaketime is not installed"
    return ""


def under(stand: Stand, fault: Fault, seconds: float = 1.5) -> float:
    """Seconds that something waited when the fault was over."""
    with stand.uploads():
        time.sleep(seconds)
        fault(stand)
        over = time.monotonic()
        time.sleep(seconds)
    waited = stand.wait_until_read(over)
    stand.waits[fault.__name__] = max(waited, stand.waits.get(fault.__name__, 0))
    return waited


def soak(rounds: int, seed: int = 1) -> tuple[dict[str, Any], bool]:
    """(what became of uploads under so many faults drawn at random, whether all of it is well)."""
    chance, done = random.Random(seed), Counter[str]()
    with stands() as stand:
        faults = [fault for fault in FAULTS if not lacking(stand, fault)]
        for number in range(1, rounds + 1):
            fault = chance.choice(faults)
            waited = under(stand, fault)
            done[fault.__name__] += 1
            sys.stderr.write(f"{number} {fault.__name__} {waited:.1f} s {dict(stand.tally)}\n")
        found, reasons = stand.settle(), stand.reasons_of_healthy()
    report = {
        "rounds": rounds,
        **done,
        **stand.tally,
        "longest wait (s)": {name: round(wait, 1) for name, wait in stand.waits.items()},
        **found,
        "why": reasons,
    }
    return report, not any(found[name] for name in AMISS)
