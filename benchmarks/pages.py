"""What each request of people costs: the web process's processor time, and where it goes.

    python -m benchmarks.pages [--images N] [--requests N] [--profile REQUEST]

Fills a fresh database of each kind with slides of so many images, read by the shipped model, and
asks as the people of benchmarks.load do, signed in, through Django's test client. What a decoder's
child and a database server use is not in it.
"""

import argparse
import cProfile
import itertools
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.cells import cells, unlike_all_others
from benchmarks.conditions import conditions
from benchmarks.figures import at_least
from benchmarks.filling import fill, run_on_each

PREDICTIONS = 4000
CELLS_OF_A_FIELD = 150
SENT = 10
PASSWORD = "a-long-password"  # nosec B105


class Clock:
    """The processor's time in templates and in statements of the database, for one request."""

    def __init__(self) -> None:
        self.templates = self.statements = 0.0
        self.queries = 0

    def statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time()
        try:
            return execute(*arguments)
        finally:
            self.statements += time.process_time() - start
            self.queries += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        from django.db import connection
        from django.template.backends.django import Template

        plain = Template.render

        def render(*arguments: Any, **options: Any) -> Any:
            start, before = time.process_time(), self.statements
            try:
                return plain(*arguments, **options)
            finally:
                self.templates += time.process_time() - start - (self.statements - before)

        timed = mock.patch.object(Template, "render", render)
        with timed, connection.execute_wrapper(self.statement):
            yield


def read_by_the_shipped_model(user: Any) -> None:
    """Rows carry what the real one's do, its manifest and metrics included."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from diagnosis import registry, storage
    from diagnosis.models import ModelVersion, Prediction

    version = registry.register(Path("ml/models/resnet34-falciparum-3"))
    Prediction.objects.update(model=version)
    ModelVersion.objects.exclude(pk=version.pk).delete()
    registry.activate(version)
    default_storage.save(storage.MARK, ContentFile(storage.WORDS))
    user.set_password(PASSWORD)
    user.save()


def field_of(slide: Any) -> Any:
    """A whole field, with what was found in it."""
    from diagnosis.models import Cell, Prediction, SmearImage

    image = SmearImage.objects.create(
        slide=slide, name="field.png", kind="field", sha256="f" * 64, width=1600, height=1200,
        file="none.png",
    )  # fmt: skip
    model = Prediction.objects.earliest("pk").model
    reading = Prediction.objects.create(
        image=image, model=model, kind="field", state="done", decision="uninfected",
        finished_at=slide.created_at,
    )  # fmt: skip
    Cell.objects.bulk_create(
        Cell(
            image=image, prediction=reading, number=number, x=10 * number, y=5, width=80,
            height=80, label="uninfected", probability=0.1, decision="uninfected",
            activation=[[0.0] * 4] * 4,
        )
        for number in range(1, CELLS_OF_A_FIELD + 1)
    )  # fmt: skip
    return image


def asked(client: Any, user: Any, files: list[Path]) -> dict[str, Callable[[], Any]]:
    """Each request by its name; each call asks once."""
    from django.core.cache import cache
    from django.core.files.uploadedfile import SimpleUploadedFile

    from diagnosis import gallery
    from diagnosis.models import Slide

    of_user = Slide.objects.filter(laboratory__members=user)
    slide, other, sent_to = of_user.order_by("-created_at")[:3]
    field = field_of(of_user.order_by("created_at").first())
    images, numbers = itertools.cycle(slide.images.all()), itertools.count()
    labels = itertools.cycle(["uninfected", "parasitized", "cannot-tell"])
    seen = gallery.summary(other)["seen"]
    page, partial = {"HTTP_HX_REQUEST": "true"}, {"HTTP_ACCEPT": "application/json"}

    def sign_in() -> Any:
        cache.clear()  # or so many tries are too many
        given = {"login": user.username, "password": PASSWORD}
        return type(client)(SERVER_NAME="localhost").post("/accounts/login/", given)

    def upload() -> Any:
        sent = [
            SimpleUploadedFile(f"{n}.png", unlike_all_others(files), "image/png")
            for n in range(SENT)
        ]
        start = time.process_time()
        answer = client.post(f"/slides/{sent_to.pk}/images/", {"images": sent}, **partial)
        answer.took = time.process_time() - start
        return answer

    return {
        "sign in": sign_in,
        "today": lambda: client.get("/today/"),
        "history": lambda: client.get("/slides/"),
        "history, filtered": lambda: client.get("/slides/?q=S-00&result=parasitized"),
        "new slide": lambda: client.get("/slides/new/"),
        "a slide is made": lambda: client.post(
            "/slides/new/", {"code": f"L-{next(numbers)}", "note": ""}, **partial
        ),
        f"upload of {SENT} images": upload,
        "slide": lambda: client.get(f"/slides/{slide.pk}/"),
        "results": lambda: client.get(f"/slides/{slide.pk}/results/", **page),
        "results, unchanged": lambda: client.get(
            f"/slides/{other.pk}/results/?seen={seen}", **page
        ),
        "review": lambda: client.post(
            f"/images/{next(images).pk}/review/", {"label": next(labels)}, **page
        ),
        "field": lambda: client.get(f"/images/{field.pk}/field/"),
        "cells of a field": lambda: client.get(f"/images/{field.pk}/cells/"),
    }


def row(name: str, ask: Callable[[], Any], requests: int) -> dict[str, Any]:
    ask()
    found = []
    for _ in range(requests):
        clock = Clock()
        with clock.running():
            start = time.process_time()
            answer = ask()
            assert answer.status_code < 400, name
            took = getattr(answer, "took", time.process_time() - start)
        found.append((1000 * took, 1000 * clock.templates, 1000 * clock.statements))
    all_of_it, templates, statements = (
        statistics.median(part) for part in zip(*found, strict=True)
    )
    rest = all_of_it - templates - statements
    return {
        "request": name, "queries": clock.queries, "ms": all_of_it, "templates": templates,
        "statements": statements, "rest": rest,
    }  # fmt: skip


def profile(ask: Callable[[], Any], requests: int) -> None:
    with cProfile.Profile() as found:
        for _ in range(requests):
            ask()
    pstats.Stats(found, stream=sys.stdout).sort_stats("tottime").print_stats(45)
    pstats.Stats(found, stream=sys.stdout).sort_stats("cumtime").print_stats(110)


def run_here(options: argparse.Namespace) -> None:
    """In a process of its own: its settings name the database."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from diagnosis import tasks

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    user = fill(PREDICTIONS, options.images)
    read_by_the_shipped_model(user)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    facts = {**conditions(), "database": connection.vendor, "images": options.images}
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.write(f"{'':22} queries      ms  templates  statements    rest\n")
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(tasks, "send"):
        files = cells([], 50, Path(folder))
        for name, ask in asked(client, user, files).items():
            if options.profile and options.profile != name:
                continue
            found = row(name, ask, options.requests)
            sys.stdout.write(
                f"{name:22} {found['queries']:7} {found['ms']:7.1f} {found['templates']:10.1f}"
                f" {found['statements']:11.1f} {found['rest']:7.1f}\n"
            )
            sys.stdout.flush()
            if options.profile:
                profile(ask, options.requests)


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--images", type=at_least(1), default=40, help="of each slide")
    made.add_argument("--requests", type=at_least(1), default=50)
    made.add_argument("--profile", help="this request alone, with what it calls")
    made.add_argument("--only", choices=("sqlite", "postgresql"))
    made.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.here:
        run_here(options)
        return
    run_on_each("benchmarks.pages", options.only)


if __name__ == "__main__":
    main()
