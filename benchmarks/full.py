"""Pages over a full database: queries and milliseconds, on SQLite and on PostgreSQL.

    python -m benchmarks.full [--predictions N] [--images-per-slide N] [--requests N]
                              [--only sqlite|postgresql] [--plans]

Fills a fresh database of each kind with the slides of two laboratories and asks the real pages,
signed in, through Django's test client: what is timed is everything between the request and the
last byte of the answer, once the first answer of each is thrown away. `--plans` tells which indexes
PostgreSQL uses for a page, and which large tables it reads from end to end.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.conditions import conditions
from benchmarks.figures import at_least
from benchmarks.filling import fill, run_on_each

HISTORY = {
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
LARGE = 10_000
"""Rows of a table that no page should read from end to end."""
NOT_NEW = 500
"""So many slides were signed after the one whose page is asked for."""
LEAST_SLIDES = 1000
"""Of both laboratories: enough of one's are signed."""

Ask = Callable[[], object]


def asked(user: Any) -> Iterator[tuple[str, Ask]]:
    from django.test import Client

    from diagnosis import summary
    from diagnosis.models import Slide

    client = Client(SERVER_NAME="localhost")
    client.force_login(user)

    def page(address: str) -> Ask:
        def get() -> None:
            assert client.get(address).status_code == 200

        return get

    yield "today", page("/today/")
    yield from parts_of_today(user)
    for name, query in HISTORY.items():
        yield f"history, {name}", page(f"/slides/?{query}")
    slides = Slide.objects.filter(created_by=user).order_by("-created_at")
    old = slides.exclude(signed_at=None)[NOT_NEW]
    old.reports.update(content=summary.of_slide(old))
    for name, slide in (("newest", slides[0]), ("old, signed", old)):
        yield f"slide, {name}", page(f"/slides/{slide.pk}/")
        yield f"results, {name}", page(f"/slides/{slide.pk}/results/")


def parts_of_today(user: Any) -> list[tuple[str, Ask]]:
    from diagnosis import access, dashboard

    slides = access.slides_for(user)
    laboratories = [laboratory.pk for laboratory in access.laboratories_for(user)]
    return [
        ("  what waits", lambda: dashboard.wait(user, None)),
        ("  charts", lambda: dashboard.charts(slides.all())),
        ("  agreement", lambda: dashboard.agreement(slides.all())),
        ("  machine", lambda: dashboard.machine(laboratories)),
    ]


def tell(name: str, ask: Ask, options: argparse.Namespace) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        ask()
        statements = [query["sql"] for query in queries]  # before another request forgets them
    clock, used = [], []
    for _ in range(options.requests):
        begun, before = time.perf_counter(), time.process_time()
        ask()
        clock.append(1000 * (time.perf_counter() - begun))
        used.append(1000 * (time.process_time() - before))
    high = statistics.quantiles(clock, n=20)[-1]
    sys.stdout.write(
        f"{name:30} {len(statements):7} {statistics.median(clock):9.1f} {high:8.1f}"
        f" {statistics.median(used):13.1f}\n"
    )
    if options.plans and connection.vendor == "postgresql":
        sys.stdout.writelines(f"{'':8}{scan}\n" for scan in sorted(set(scans(statements))))
    sys.stdout.flush()


def scans(statements: list[str]) -> Iterator[str]:
    """What is read through an index, and what from end to end, of tables that are large."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE reltuples >= %s", [LARGE])
        large = {row[0] for row in cursor}
        for statement in statements:
            if statement.startswith("SELECT"):
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
                yield from _scans(cursor.fetchone()[0][0]["Plan"], large)


def _scans(node: dict[str, Any], large: set[str]) -> Iterator[str]:
    if "Index Name" in node:
        yield f"{node['Node Type']} by {node['Index Name']}"
    elif node["Node Type"].endswith("Seq Scan") and node["Relation Name"] in large:
        yield f"FROM END TO END: {node['Relation Name']} {node.get('Filter', '')}"
    for below in node.get("Plans", ()):
        yield from _scans(below, large)


def run_here(options: argparse.Namespace) -> None:
    """In a process of its own: its settings name the database."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from diagnosis import name_index

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    name_index.make()
    user = fill(options.predictions, options.images_per_slide)
    database = {"database": connection.vendor, "version": connection.get_database_version()}
    facts = {**conditions(), **database, **vars(options)}
    sys.stdout.write(json.dumps({k: v for k, v in facts.items() if k != "here"}) + "\n")
    sys.stdout.write(f"{'':30} queries median ms  95th ms  processor ms\n")
    for name, ask in asked(user):
        tell(name, ask, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--images-per-slide", type=at_least(1), default=20)
    parser.add_argument("--requests", type=at_least(2), default=30)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--plans", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.predictions < LEAST_SLIDES * options.images_per_slide:
        parser.error(f"--predictions: at least {LEAST_SLIDES} slides of images are needed")
    if options.here:
        run_here(options)
        return
    run_on_each("benchmarks.full", options.only)


if __name__ == "__main__":
    main()
