"""The page *Today* over a full database: queries and milliseconds, on SQLite and on PostgreSQL.

    python -m benchmarks.dashboard [--predictions N] [--images-per-slide N] [--requests N]
                                   [--only sqlite|postgresql]

Filled and asked as benchmarks.history is. After the page, its parts one by one.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.conditions import conditions
from benchmarks.filling import databases, fill, run_with, time_of

PAGE = "/today/"


def run_here(options: argparse.Namespace) -> None:
    """In a process of its own: its settings name the database."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    user = fill(options.predictions, options.images_per_slide)
    database = {"database": connection.vendor, "version": connection.get_database_version()}
    facts = {**conditions(), **database, **vars(options)}
    sys.stdout.write(json.dumps({k: v for k, v in facts.items() if k != "here"}) + "\n")
    sys.stdout.write(f"{'':20} queries median ms  95th ms\n")
    for name, act in (("page", _page(user)), *_parts(user)):
        _tell(name, act, options.requests)


def _page(user: Any) -> Callable[[], object]:
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return lambda: time_of(client, PAGE)


def _parts(user: Any) -> list[tuple[str, Callable[[], object]]]:
    from diagnosis import access, dashboard

    slides = access.slides_for(user)
    laboratories = [laboratory.pk for laboratory in access.laboratories_for(user)]
    return [
        ("what waits", lambda: dashboard.wait(user, None)),
        ("charts", lambda: dashboard.charts(slides.all())),
        ("agreement", lambda: dashboard.agreement(slides.all())),
        ("machine", lambda: dashboard.machine(laboratories)),
    ]


def _tell(name: str, act: Callable[[], object], requests: int) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        act()
        asked = len(queries)  # before another request begins a new count
    times = []
    for _ in range(requests):
        start = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - start))
    high = statistics.quantiles(times, n=20)[-1]
    median = statistics.median(times)
    sys.stdout.write(f"{name:20} {asked:7} {median:9.1f} {high:8.1f}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--images-per-slide", type=int, default=20)
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        run_here(options)
        return
    with databases() as urls:
        for url in urls:
            if options.only != ("sqlite" if url else "postgresql"):
                run_with(url, "benchmarks.dashboard")


if __name__ == "__main__":
    main()
