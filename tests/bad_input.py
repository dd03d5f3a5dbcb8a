"""The corpus through a running site: what became of the files, and the highest memory of each kind
of process."""

import itertools
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from django.test.client import BOUNDARY

from tests.corpus import File, corpus
from tests.servers import Site, wait_for
from tests.visitors import Answer, Visitor

AT_ONCE = 20
OF_A_SLIDE = 500
SAMPLED_EVERY = 0.2


MOST_MEMORY = 1_000_000_000
"""Resident bytes of any process."""


class Watch:
    """The highest resident memory of a site's processes, and which of them came and went."""

    def __init__(self, site: Site) -> None:
        self.site, self.over = site, Event()
        self.highest: Counter[str] = Counter()
        self.pids: dict[str, set[int]] = {"web": set(), "worker": set(), "decoder": set()}
        self.thread = Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(SAMPLED_EVERY):
            for kind, process in self._processes():
                try:
                    size = process.memory_info().rss
                except psutil.Error:
                    continue
                self.pids[kind].add(process.pid)
                self.highest[kind] = max(self.highest[kind], size)

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        mains = [("web", self.site.web), *(("worker", worker) for worker in self.site.workers)]
        for kind, main in mains:
            if not main:
                continue
            try:
                top = psutil.Process(main.pid)
                family = [top, *top.children(recursive=True)]
                for process in family:
                    yield self._kind(process, kind), process
            except psutil.Error:
                continue

    def _kind(self, process: psutil.Process, kind: str) -> str:
        return "decoder" if "ml.sandbox_child" in process.cmdline() else kind

    def stop(self) -> None:
        self.over.set()
        self.thread.join()


def form_of(files: list[File]) -> bytes:
    """By hand: a client that is honest about names cannot send these."""
    parts = []
    for name, content in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{name}"'
        parts += [head.encode(), b"\r\nContent-Type: image/png\r\n\r\n", content, b"\r\n"]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


class Trial:
    """What a site makes of files; `tally` counts them by what became of each."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.visitor = Visitor(site)
        self.tally: Counter[str] = Counter()
        self.wordless: list[str] = []
        self.path, self.sent = "", 0

    def run(self, files: Iterator[File]) -> None:
        while part := list(itertools.islice(files, AT_ONCE)):
            if self.sent % OF_A_SLIDE == 0:
                self.path = self.visitor.new_slide(f"T-{self.sent}")
            self._send(part)
            self.sent += len(part)

    def _send(self, files: list[File]) -> None:
        answer = self.visitor.send(self.path, form_of(files))
        self.tally["tried"] += len(files)
        if answer.status != 200:
            self._note_refused_request(answer, files)
            return
        receipts = answer.json["receipts"]
        for receipt in receipts:
            self.tally["refused" if receipt["refusal"] else "stored"] += 1
            if receipt["refusal"]:
                self._note_words(receipt["refusal"])
        # What has no name is no file to a form: neither browsers nor Django tell of it.
        self.tally["without a name"] += len(files) - len(receipts)

    def _note_refused_request(self, answer: Answer, files: list[File]) -> None:
        self.tally["5xx" if answer.status >= 500 else "refused"] += len(files)
        if answer.status < 500:
            self._note_words(answer.json["error"])

    def _note_words(self, words: str) -> None:
        self.tally[f"  {words}"] += 1
        if not (words.endswith(".") and len(words.split()) > 3):
            self.wordless.append(words)

    def wait_until_read(self, seconds: float = 600) -> dict[str, int]:
        """How many predictions ended in which state."""
        wait_for(lambda: not self._states(("queued", "running")), "the reading", seconds)
        return self._states(("done", "rejected", "failed"))

    def _states(self, states: tuple[str, ...]) -> dict[str, int]:
        marks = ",".join("?" * len(states))
        query = (
            f"SELECT state, count(*) FROM diagnosis_prediction WHERE state IN ({marks}) GROUP BY 1"
        )
        with closing(sqlite3.connect(self.site.var / "db.sqlite3", timeout=30)) as connection:
            return dict(connection.execute(query, states))


def try_files(site: Site, number: int, seed: int) -> tuple[Trial, Watch, dict[str, int]]:
    watch = Watch(site)
    try:
        trial = Trial(site)
        trial.run(itertools.islice(corpus(seed), number))
        return trial, watch, trial.wait_until_read()
    finally:
        watch.stop()


def soak(files: int, seed: int = 1) -> tuple[dict[str, Any], bool]:
    """(what a site made of so many files, whether it stood all of them)."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), UPLOADS_PER_HOUR="1000000").start()
        try:
            trial, watch, states = try_files(site, files, seed)
            deaths = site.said("exited prematurely") + site.said("WorkerLostError")
            deaths += sum(
                process.poll() is not None for process in (site.web, *site.workers) if process
            )
        finally:
            site.stop()
    report = {
        "seconds": round(time.monotonic() - started),
        **trial.tally,
        "read": states,
        "worker deaths": deaths,
        "processes": {kind: len(pids) for kind, pids in watch.pids.items()},
        "highest memory, MB": {kind: size // 1_000_000 for kind, size in watch.highest.items()},
    }
    amiss = trial.tally["5xx"], deaths, trial.wordless, states.get("failed")
    return report, not any(amiss) and max(watch.highest.values()) <= MOST_MEMORY
