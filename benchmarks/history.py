"""The history page over a full database: queries and milliseconds, on SQLite and on PostgreSQL.

    python -m benchmarks.history [--predictions N] [--images-per-slide N] [--requests N]

Fills a fresh database of each kind with one laboratory's slides and asks the real page, signed in,
through Django's test client: what is timed is everything between the request and the last byte of
the answer. The first answer of each kind is thrown away.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.conditions import conditions
from benchmarks.filling import databases, fill, run_with, time_of

PAGES = {
    "newest": "",
    "page 40": "page=40",
    "parasitized": "result=parasitized",
    "uncertain": "result=uncertain",
    "only uninfected": "result=uninfected",
    "rejected": "result=rejected",
    "being read": "status=reading",
    "some not read": "status=failed",
    "all read": "status=done",
    "by code": "q=S-0012",
    "by file name": "q=2025_77",
    "words found nowhere": "q=zebra",
    "all at once": "q=img&result=parasitized&status=done&since=2020-01-01",
}


def ask(user: Any, requests: int) -> Iterator[dict[str, Any]]:
    from django.db import connection
    from django.http import QueryDict
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from diagnosis import access, forms, history

    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    for name, query in PAGES.items():
        chosen = forms.HistoryForm(QueryDict(query)).narrowed()
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/slides/?{query}")
        asked = len(queries)
        times = [time_of(client, f"/slides/?{query}") for _ in range(requests)]
        wall, used = zip(*times, strict=True)
        yield {
            "page": name,
            "slides": history.search(access.slides_for(user), **chosen).count(),
            "queries": asked,
            "median": statistics.median(wall),
            "95th": statistics.quantiles(wall, n=20)[-1],
            "processor": statistics.median(used),
        }


def run_here(options: argparse.Namespace) -> None:
    """In a process of its own: its settings name the database."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    user = fill(options.predictions, options.images_per_slide)
    database = {"database": connection.vendor, "version": connection.get_database_version()}
    facts = {**conditions(), **database, **vars(options)}
    sys.stdout.write(json.dumps({k: v for k, v in facts.items() if k != "here"}) + "\n")
    sys.stdout.write(f"{'':20} slides queries median ms  95th ms  processor ms\n")
    for row in ask(user, options.requests):
        sys.stdout.write(
            f"{row['page']:20} {row['slides']:6} {row['queries']:7} {row['median']:9.1f}"
            f" {row['95th']:8.1f} {row['processor']:13.1f}\n"
        )
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--images-per-slide", type=int, default=20)
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        run_here(options)
        return
    with databases() as urls:
        for url in urls:
            run_with(url, "benchmarks.history")


if __name__ == "__main__":
    main()
