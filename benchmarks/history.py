"""The history page over a full database: queries and milliseconds, on SQLite and on PostgreSQL.

    python -m benchmarks.history [--predictions N] [--images-per-slide N] [--requests N]

Fills a fresh database of each kind with one laboratory's slides and asks the real page, signed in,
through Django's test client: what is timed is everything between the request and the last byte of
the answer. The first answer of each kind is thrown away.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from benchmarks.conditions import conditions

LABORATORY_SHARE = 0.8
"""The rest of the predictions belongs to another laboratory, whose rows must not slow this one."""
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


def fill(predictions: int, images_per_slide: int) -> Any:
    """Returns the user whose history is asked for."""
    from django.contrib.auth.models import User
    from django.db import connection

    from diagnosis import roster
    from diagnosis.models import ModelVersion

    user, other = (User.objects.create_user(name) for name in ("ada", "eve"))
    model = ModelVersion.objects.create(name="m", fingerprint="f", path="", manifest={})
    ours = int(predictions * LABORATORY_SHARE)
    for person, number in ((user, ours), (other, predictions - ours)):
        _fill(roster.open_laboratory(person), person, model, number, images_per_slide)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return user


def _fill(laboratory: Any, user: Any, model: Any, predictions: int, images_per_slide: int) -> None:
    from django.utils import timezone

    from diagnosis.models import Prediction, Slide, SmearImage

    chance = random.Random(1)
    slides, images, rows = [], [], []
    for number in range(predictions // images_per_slide):
        taken = timezone.now() - timedelta(minutes=7 * number)
        slide = Slide(
            laboratory=laboratory,
            code=f"S-{number:06}",
            note=f"Ward {number % 9}",
            created_by=user,
            created_at=taken,
        )
        infected = chance.random() < 0.3
        for index in range(images_per_slide):
            image = SmearImage(
                slide=slide,
                name=f"IMG_2025_{chance.randrange(10**6):06}_cell_{index}.png",
                sha256=uuid.uuid4().hex * 2,
                width=130,
                height=130,
                file=f"{slide.pk}/{index}.png",
                uploaded_by=user,
                created_at=taken + timedelta(seconds=index),
            )
            outcome = _outcome(chance, infected)
            setattr(slide, outcome, getattr(slide, outcome) + 1)
            images.append(image)
            rows.append(Prediction(image=image, slide=slide, model=model, **_values(outcome)))
        slides.append(slide)
    Slide.objects.bulk_create(slides, batch_size=2000)
    SmearImage.objects.bulk_create(images, batch_size=2000)
    Prediction.objects.bulk_create(rows, batch_size=2000)


def _outcome(chance: random.Random, infected: bool) -> str:
    sick, odds = chance.random() < 0.15, chance.random()
    if infected and sick:
        return "parasitized"
    limits = {"failed": 0.0005, "pending": 0.001, "rejected": 0.01, "uncertain": 0.03}
    return next((name for name, limit in limits.items() if odds < limit), "uninfected")


def _values(outcome: str) -> dict[str, Any]:
    if outcome in ("failed", "pending"):
        return {"state": "failed" if outcome == "failed" else "queued"}
    return {
        "state": "rejected" if outcome == "rejected" else "done",
        "decision": outcome,
        "label": "parasitized" if outcome == "parasitized" else "uninfected",
        "probability": 0.9 if outcome == "parasitized" else 0.1,
        "activation": [[0.0] * 4] * 4,
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
        times = [_time(client, f"/slides/?{query}") for _ in range(requests)]
        wall, used = zip(*times, strict=True)
        yield {
            "page": name,
            "slides": history.search(access.slides_for(user), **chosen).count(),
            "queries": asked,
            "median": statistics.median(wall),
            "95th": statistics.quantiles(wall, n=20)[-1],
            "processor": statistics.median(used),
        }


def _time(client: Any, address: str) -> tuple[float, float]:
    """Milliseconds on the clock, and of the processor in this process (not a database server)."""
    clock, used = time.perf_counter(), time.process_time()
    response = client.get(address)
    assert response.status_code == 200
    return 1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - used)


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


@contextmanager
def databases() -> Iterator[list[str]]:
    """The values of DATABASE_URL to measure with: SQLite's is empty."""
    from tests.servers import Missing, postgres_server

    try:
        with postgres_server() as address:
            yield ["", f"{address}/postgres"]
    except Missing as reason:
        sys.stderr.write(f"Without PostgreSQL: {reason}\n")
        yield [""]


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
            with tempfile.TemporaryDirectory() as var:
                from tests.servers import clean_environment

                environment = clean_environment(VAR=var, **({"DATABASE_URL": url} if url else {}))
                command = [sys.executable, "-m", "benchmarks.history", *sys.argv[1:], "--here"]
                subprocess.run(command, env=os.environ | environment, check=True)


if __name__ == "__main__":
    main()
