import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import pytest
from kombu import Connection

from tests.servers import ROOT, clean_environment, wait_for

BROKEN = {
    "empty": b"",
    "torn": b'{"body": "W1tdLCB7fSwgeyJj',
    "not JSON": b"\xff\xfe\x00",
    "not a message": b"[1, 2]",
    "without properties": b'{"body": ""}',
    "without delivery information": b'{"body": "", "properties": {"delivery_tag": "1"}}',
    "undecodable body": json.dumps(
        {
            "body": "A",
            "properties": {
                "delivery_tag": "1",
                "delivery_info": {"exchange": ""},
                "body_encoding": "base64",
            },
        }
    ).encode(),
}


def connect(folder):
    options = {"folder": str(folder), "polling_interval": 0.01}
    return Connection(transport="malariaweb.filebroker:Transport", transport_options=options)


def put(folder, names):
    with connect(folder) as connection, connection.SimpleQueue("work") as queue:
        for name in names:
            queue.put(name)


def take(folder, collected):
    """Every message until none has come for a second."""
    with connect(folder) as connection, connection.SimpleQueue("work") as queue:
        while True:
            try:
                message = queue.get(timeout=1)
            except queue.Empty:
                return
            collected.put(message.payload)
            message.ack()


def in_processes(jobs):
    context = get_context("spawn")
    processes = [context.Process(target=job, args=arguments) for job, arguments in jobs]
    for process in processes:
        process.start()
    return processes


def test_many_writers_and_readers_lose_and_double_nothing(tmp_path):
    names = [[f"{writer}-{number}" for number in range(150)] for writer in range(3)]
    collected = get_context("spawn").Queue()
    writers = in_processes([(put, (tmp_path, some)) for some in names])
    readers = in_processes([(take, (tmp_path, collected))] * 3)
    received = Counter(collected.get(timeout=60) for some in names for _ in some)
    for process in writers + readers:
        process.join(timeout=30)
    assert [process.exitcode for process in writers + readers] == [0] * 6
    assert received == Counter(name for some in names for name in some)
    assert collected.empty()
    assert not list((tmp_path / "unreadable").glob("*"))


def test_oldest_first(tmp_path):
    put(tmp_path, ["first", "second", "third"])
    with connect(tmp_path) as connection, connection.SimpleQueue("work") as queue:
        assert [queue.get(timeout=1).payload for _ in range(3)] == ["first", "second", "third"]


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_an_unreadable_message_is_set_aside(tmp_path, content):
    put(tmp_path, ["good"])
    broken = tmp_path / "queue-work" / "0-broken.json"
    broken.write_bytes(content)
    with connect(tmp_path) as connection, connection.SimpleQueue("work") as queue:
        assert queue.get(timeout=1).payload == "good"
    assert (tmp_path / "unreadable" / broken.name).read_bytes() == content


def test_a_message_that_was_never_acknowledged_goes_back_at_closing_time(tmp_path):
    put(tmp_path, ["unfinished"])
    with connect(tmp_path) as connection, connection.SimpleQueue("work") as queue:
        queue.get(timeout=1)
        assert len(list((tmp_path / "queue-work").iterdir())) == 0
    assert len(list((tmp_path / "queue-work").iterdir())) == 1


def test_a_message_without_room_leaves_nothing(tmp_path, monkeypatch):
    def write(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path, ["large"])
    assert list((tmp_path / "writing").iterdir()) == []


def test_size_and_purge(tmp_path):
    put(tmp_path, ["one", "two"])
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("work")
        assert len(queue) == 2
        assert queue.clear() == 2
        assert len(queue) == 0


class Worker:
    """A real Celery worker on tests.broker_app."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = clean_environment(BROKER_FOLDER=str(folder), VAR=str(folder / "var"))
        command = [sys.executable, "-m", "celery", "-A", "tests.broker_app", "worker"]
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--concurrency", "2", "--loglevel", "INFO"],
            cwd=ROOT,
            env=self.env,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def send(self, *arguments: object) -> None:
        program = f"from tests.broker_app import note; note.delay(*{arguments!r})"
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=self.env, check=True)

    def notes(self) -> dict[str, int]:
        """Names of the tasks that ran, and in which process."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return {name: int(pid) for name, pid in map(str.split, lines)}

    def wait_for(self, name: str) -> int:
        wait_for(lambda: name in self.notes(), f"task {name}", log=self.folder / "log")
        return self.notes()[name]

    def children(self) -> list[int]:
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path)
    yield worker
    worker.stop()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_worker_outlives_killed_processes_and_broken_messages(worker):
    worker.send("before")
    worker.wait_for("before")
    for child in worker.children():  # idle ones: they must not take a lock with them
        os.kill(child, signal.SIGKILL)
    worker.send("long", 60)
    os.kill(worker.wait_for("long"), signal.SIGKILL)
    for number, content in enumerate(BROKEN.values()):
        folder = worker.folder / "broker" / "queue-celery"
        (folder / f"0-{number}.json").write_bytes(content)
    worker.send("after")
    worker.wait_for("after")
    assert worker.process.poll() is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_nothing_outlives_a_killed_worker(worker):
    worker.send("before")
    worker.wait_for("before")
    children = worker.children()
    assert children
    worker.process.kill()
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "their end")
