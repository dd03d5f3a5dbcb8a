"""Many people at once on PostgreSQL and Redis: pages, the queue, memory; a burst of images.

    python -m benchmarks.load [CELL_OR_FOLDER...] [--people N] [--seconds N] [--burst N] [--web N]
        [--pause SECONDS]

First the workers alone read a burst that was uploaded while none ran. Then as many images wait
again, people come (benchmarks.people, run by locust: they browse, upload, poll and review), and the
workers begin. Workers share one core in both, so that the difference is what people cost them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cells import cells, unlike_all_others
from benchmarks.figures import Figure, at_least, parser, show
from benchmarks.footprint import megabytes
from benchmarks.worker import site_of
from tests.servers import Site, wait_for

AT_ONCE, SENDERS = 20, 4
DIFFERENT_CELLS = 300
WARM_UP = 20
"""Seconds until all people have come."""


def sessions(people: int) -> list[str]:
    """Of as many new people, each with a laboratory of their own."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from diagnosis import roster

    keys = []
    for number in range(people):
        user = User.objects.create_user(f"person{number}")
        roster.open_laboratory(user)
        client = Client()
        client.force_login(user)
        keys.append(client.cookies[settings.SESSION_COOKIE_NAME].value)
    return keys


def upload(site: Site, username: str, count: int, files: list[Path]) -> float:
    """Images a second; each is accepted or this fails."""
    from tests.visitors import Visitor

    visitor = Visitor(site, username)
    path = visitor.new_slide("BURST")

    def send(start: int) -> None:
        number = min(AT_ONCE, count - start)
        sent = {f"{start + place}.png": unlike_all_others(files) for place in range(number)}
        answer = visitor.upload(path, sent)
        assert answer.status == 200, answer.text
        assert all(receipt["image"] for receipt in answer.json["receipts"]), answer.text

    start = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, range(0, count, AT_ONCE)))
    return count / (time.perf_counter() - start)


def start_workers(site: Site, number: int) -> None:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(mine)})
    try:
        for _ in range(number):
            site.start_worker()
    finally:
        os.sched_setaffinity(0, mine)


def drained(username: str) -> float:
    """Images a second, anybody's, while those of one person still waited."""
    from django.db.models import Max, Min, Q

    from diagnosis.models import Prediction, State

    theirs = Prediction.objects.filter(image__uploaded_by__username=username)
    while theirs.filter(state__in=(State.QUEUED, State.RUNNING)).exists():
        time.sleep(0.5)
    ends = theirs.aggregate(first=Min("finished_at"), last=Max("finished_at"))
    between = Q(finished_at__gt=ends["first"], finished_at__lte=ends["last"])
    seconds = (ends["last"] - ends["first"]).total_seconds()
    return float(Prediction.objects.filter(between).count() / seconds)


def left() -> int:
    """Readings that did not end with an answer."""
    from diagnosis.models import READ_STATES, Prediction

    return Prediction.objects.exclude(state__in=READ_STATES).count()


@contextmanager
def people(site: Site, options: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """They come one after the other; when they have gone, the file says how they fared."""
    (folder / "sessions.json").write_text(json.dumps(sessions(options.people)))
    found = folder / "found.json"
    command = ["-m", "locust", "-f", "benchmarks/people.py", "--headless", "--host", site.url]
    command += ["--users", str(options.people), "--spawn-rate", str(options.people / WARM_UP)]
    command += ["--run-time", f"{options.seconds}s", "--stop-timeout", "30", "--only-summary"]
    given = {"LOAD_SESSIONS": folder / "sessions.json", "LOAD_CELLS": folder / "cells"}
    environment = os.environ | {name: str(path) for name, path in given.items()}
    environment |= {"LOAD_FOUND": str(found), "LOAD_PAUSE": str(options.pause)}
    locust = subprocess.Popen([sys.executable, *command], stdout=sys.stderr, env=environment)
    time.sleep(WARM_UP)
    yield found
    locust.wait()


def memory(site: Site) -> dict[str, float]:
    assert site.web
    return {
        "web": megabytes(psutil.Process(site.web.pid)),
        "workers": sum(megabytes(psutil.Process(worker.pid)) for worker in site.workers),
    }


def pages(found: dict[str, Any]) -> Iterator[Figure]:
    sys.stderr.write("".join(f"{line}\n" for line in found["said"]))
    yield Figure("requests of people", (found["requests"],), "")
    yield Figure("errors among them", (found["errors"],), "", most=0)
    for page, milliseconds in sorted(found["pages"].items()):
        yield Figure(f"{page}, 95 %", (milliseconds,), "ms", most=400)


def alone(site: Site, options: argparse.Namespace, files: list[Path]) -> float:
    upload(site, "alone", options.burst, files)
    start_workers(site, options.workers)
    rate = drained("alone")
    while site.workers:
        site.kill_worker()
    return rate


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, site_of(Path(name) / "site") as site:
        folder = Path(name)
        files = cells(options.paths, DIFFERENT_CELLS, folder)
        files[0].parent.rename(folder / "cells")
        files = sorted((folder / "cells").iterdir())
        site.env["WEB_CONCURRENCY"] = str(options.web)
        site.start_web()
        lone = alone(site, options, files)
        burst = upload(site, "burst", options.burst, files)
        yield Figure("upload of a burst", (burst,), "images/s")
        with people(site, options, folder) as found:
            start_workers(site, options.workers)
            beside = drained("burst")
            half = memory(site)
        end = memory(site)
        wait_for(lambda: not left(), "the last answers")
        yield from pages(json.loads(found.read_text()))
        yield Figure("workers alone on one core", (lone,), "images/s")
        yield Figure("workers beside people", (beside,), "images/s")
        yield Figure("the latter by the former", (beside / lone,), "x", least=0.8)
        for part, weight in end.items():
            yield Figure(f"memory of {part}", (weight,), "MB")
            yield Figure("  by that when the burst was read", (weight / half[part],), "x", most=1.1)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--people", type=at_least(1), default=50)
    made.add_argument("--seconds", type=at_least(WARM_UP), default=300)
    made.add_argument("--burst", type=at_least(100), default=5000)
    made.add_argument("--workers", type=at_least(1), default=2)
    made.add_argument("--web", type=at_least(1), default=2, help="web processes")
    made.add_argument(
        "--pause", type=float, default=3, help="seconds between what a person does, on average"
    )
    options = made.parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
