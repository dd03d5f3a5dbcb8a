"""A worker from stored files to saved rows, on PostgreSQL and Redis, and how that grows.

    python -m benchmarks.worker [CELL_OR_FOLDER...] [--files N] [--processes N...] [--passes N]

The files are uploaded once. Each pass then queues their readings anew and times them from the first
claim to the last answer saved. `--processes` are the analysing processes of one worker, which share
the cores; with more than one core the worker is also measured on a single one.
"""

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cells import cells
from benchmarks.figures import Figure, asked, at_least, in_turn, parser, ratios, show
from ml.engines import cores
from tests.servers import Site, postgres_server, redis_server

SEED_FILES = 150
POLL = 0.05


@contextmanager
def site_of(folder: Path) -> Iterator[Site]:
    """A site without processes, whose database this process uses, too."""
    with ExitStack() as stack:
        site = Site(
            folder,
            DATABASE_URL=stack.enter_context(postgres_server()) + "/postgres",
            REDIS_URL=stack.enter_context(redis_server()),
            SECRET_KEY=secrets.token_urlsafe(50),
        )
        os.environ.update(site.env)
        site.manage("prepare", "--no-static")
        import django

        django.setup()
        stack.callback(site.stop)
        yield site


def upload(files: list[Path]) -> float:
    """Files a second: decoded in the children, stored, their rows written."""
    from django.contrib.auth.models import User
    from django.core.files.uploadedfile import SimpleUploadedFile

    from diagnosis import intake, roster
    from diagnosis.models import Slide

    user = User.objects.create_user("ada")
    slide = Slide.objects.create(
        laboratory=roster.open_laboratory(user), code="S-1", created_by=user
    )
    sent = [SimpleUploadedFile(file.name, file.read_bytes()) for file in files]
    start = time.perf_counter()
    intake.receive(slide, sent, user)
    return len(files) / (time.perf_counter() - start)


def queue() -> None:
    """As if they had just been uploaded."""
    from django.utils import timezone

    from diagnosis import tasks
    from diagnosis.models import Prediction, State

    ids = list(Prediction.objects.order_by("pk").values_list("pk", flat=True))
    Prediction.objects.update(
        state=State.QUEUED, attempts=0, started_at=None, finished_at=None, sent_at=timezone.now()
    )
    tasks.send(ids)


def read() -> float:
    """Cells a second, once all are read."""
    from django.db.models import Count, Max, Min, Q

    from diagnosis.models import Prediction, State

    while True:
        found: dict[str, Any] = Prediction.objects.aggregate(
            all=Count("pk"),
            answered=Count("pk", filter=Q(state__in=[State.DONE, State.REJECTED])),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            first=Min("started_at"),
            last=Max("finished_at"),
        )
        assert not found["failed"]
        if found["answered"] == found["all"]:
            return float(found["all"] / (found["last"] - found["first"]).total_seconds())
        time.sleep(POLL)


@contextmanager
def worker_on(site: Site, processes: int, only: set[int] | None = None) -> Iterator[None]:
    """A warm worker of as many processes, on all cores or only on some."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, only or mine)
    try:
        site.start_worker(WORKER_PROCESSES=str(processes))
    finally:
        os.sched_setaffinity(0, mine)
    rate()
    try:
        yield
    finally:
        site.stop()


def rate() -> float:
    queue()
    return read()


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, site_of(Path(name) / "site") as site:
        files = cells(options.paths, options.files, Path(name))
        yield Figure("intake in one process", (upload(files),), "files/s")
        best: dict[str, tuple[tuple[float, ...], ...]] = {}
        for processes in options.processes:
            with worker_on(site, processes):
                sides = in_turn(
                    options.passes,
                    lambda: asked("seed", *files[:SEED_FILES], "--repeat", 1)["images_per_second"],
                    lambda: asked("engine")["images_per_second"],
                    rate,
                )
                best[f"{processes} processes"] = tuple(zip(*sides, strict=True))
        for words, (seed, bare, worker) in best.items():
            yield Figure(f"worker, {words}", worker, "cells/s")
            yield ratios(f"worker, {words}, by the plain way", worker, seed, least=10)
            yield ratios(f"worker, {words}, by the bare engine", worker, bare, least=0.6)
        if cores() > 1:
            with worker_on(site, 1, {min(os.sched_getaffinity(0))}):
                alone = tuple(rate() for _ in range(options.passes))
            yield Figure("worker on one core", alone, "cells/s")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--files", type=at_least(1), default=2000)
    made.add_argument("--processes", type=at_least(1), nargs="+", default=[1, 2, 4])
    options = made.parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
