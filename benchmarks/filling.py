"""Full databases of both kinds for the benchmarks of pages."""

import os
import random
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

LABORATORY_SHARE = 0.8
"""The rest of the predictions belongs to another laboratory, whose rows must not slow this one."""
MINUTES = 7
"""Between two slides: 1,000,000 predictions of 20 a slide are 28 weeks of the larger laboratory."""
SLIDES_AT_ONCE = 500
SIGNED_SHARE = 0.95
"""Of what is older than a day."""


def fill(predictions: int, images_per_slide: int) -> Any:
    """Returns the user whose pages are asked for."""
    from django.contrib.auth.models import User
    from django.db import connection

    from diagnosis import roster
    from diagnosis.models import ModelVersion

    user, other = (User.objects.create_user(name) for name in ("ada", "eve"))
    model = ModelVersion.objects.create(
        name="m", fingerprint="f", path="", manifest={}, is_active=True
    )
    ours = int(predictions * LABORATORY_SHARE)
    for person, number in ((user, ours), (other, predictions - ours)):
        _fill(roster.open_laboratory(person), person, model, number // images_per_slide,
              images_per_slide)  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return user


def _fill(laboratory: Any, user: Any, model: Any, slides: int, images_per_slide: int) -> None:
    from django.utils import timezone

    chance, now = random.Random(1), timezone.now()
    for first in range(0, slides, SLIDES_AT_ONCE):
        part = [
            _slide(laboratory, user, number, now - timedelta(minutes=MINUTES * number))
            for number in range(first, min(first + SLIDES_AT_ONCE, slides))
        ]
        _write(part, user, model, images_per_slide, chance, now)


def _slide(laboratory: Any, user: Any, number: int, taken: datetime) -> Any:
    from diagnosis.models import Slide

    return Slide(
        laboratory=laboratory,
        code=f"S-{number:06}",
        note=f"Ward {number % 9}",
        created_by=user,
        created_at=taken,
    )


def _write(
    slides: list[Any], user: Any, model: Any, each: int, chance: random.Random, now: datetime
) -> None:
    from diagnosis.models import Prediction, Report, Review, Slide, SmearImage

    images, rows, reviews, reports = [], [], [], []
    for slide in slides:
        infected = chance.random() < 0.3
        is_signed = slide.created_at < now - timedelta(days=1) and chance.random() < SIGNED_SHARE
        for index in range(each):
            outcome = _outcome(chance, infected)
            image = _image(slide, user, index, chance)
            if is_signed and outcome in ("parasitized", "uncertain"):
                heard = "uninfected" if chance.random() < 0.2 else "parasitized"
                image.reviewed = heard
                reviews.append(Review(image=image, reviewer=user, label=heard))
            _count(slide, outcome, image.reviewed)
            images.append(image)
            rows.append(
                Prediction(image=image, slide=slide, model=model, **_values(outcome, slide))
            )
        if is_signed:
            reports.append(_report(slide, user))
            slide.signed_at = reports[-1].signed_at
    Slide.objects.bulk_create(slides)
    SmearImage.objects.bulk_create(images, batch_size=2000)
    Prediction.objects.bulk_create(rows, batch_size=2000)
    Review.objects.bulk_create(reviews)
    Report.objects.bulk_create(reports)


def _image(slide: Any, user: Any, index: int, chance: random.Random) -> Any:
    from diagnosis.models import SmearImage

    return SmearImage(
        slide=slide,
        name=f"IMG_2025_{chance.randrange(10**6):06}_cell_{index}.png",
        sha256=uuid.uuid4().hex * 2,
        width=130,
        height=130,
        file=f"{slide.pk}/{index}.png",
        uploaded_by=user,
        created_at=slide.created_at + timedelta(seconds=index),
    )


def _report(slide: Any, user: Any) -> Any:
    from diagnosis.models import Report

    signed = slide.created_at + timedelta(hours=3)
    return Report(slide=slide, number=1, content={}, signed_by=user, who="ada", signed_at=signed)


def _count(slide: Any, outcome: str, reviewed: str) -> None:
    """As verdict.recount."""
    name = reviewed or outcome
    setattr(slide, name, getattr(slide, name) + 1)
    slide.is_critical = slide.is_critical or name == "parasitized"
    slide.has_open = slide.has_open or not reviewed and outcome in ("parasitized", "uncertain")
    slide.answered += outcome not in ("failed", "pending")
    slide.called_uncertain += outcome == "uncertain"
    slide.called_rejected += outcome == "rejected"
    if reviewed:
        said = outcome != "uninfected"
        pair = "both_parasitized" if reviewed == "parasitized" else "machine_only"
        setattr(slide, pair, getattr(slide, pair) + said)


def _outcome(chance: random.Random, infected: bool) -> str:
    sick, odds = chance.random() < 0.15, chance.random()
    if infected and sick:
        return "parasitized"
    limits = {"failed": 0.0005, "pending": 0.001, "rejected": 0.01, "uncertain": 0.03}
    return next((name for name, limit in limits.items() if odds < limit), "uninfected")


def _values(outcome: str, slide: Any) -> dict[str, Any]:
    if outcome in ("failed", "pending"):
        return {"state": "failed" if outcome == "failed" else "queued"}
    return {
        "state": "rejected" if outcome == "rejected" else "done",
        "decision": outcome,
        "label": "parasitized" if outcome == "parasitized" else "uninfected",
        "probability": 0.9 if outcome == "parasitized" else 0.1,
        "activation": [[0.0] * 4] * 4,
        "finished_at": slide.created_at + timedelta(minutes=1),
    }


def run_on_each(module: str, only: str | None) -> None:
    """The same command on SQLite and on PostgreSQL, or `only` on one of them."""
    with _databases() as urls:
        for url in urls:
            if only in (None, "postgresql" if url else "sqlite"):
                _run_with(url, module)


@contextmanager
def _databases() -> Iterator[list[str]]:
    """The values of DATABASE_URL to measure with: SQLite's is empty."""
    from tests.servers import Missing, postgres_server

    try:
        with postgres_server() as address:
            yield ["", f"{address}/postgres"]
    except Missing as reason:
        sys.stderr.write(f"Without PostgreSQL: {reason}\n")
        yield [""]


def _run_with(url: str, module: str) -> None:
    """The same command in a process of its own, whose settings name a fresh database."""
    from tests.servers import clean_environment

    with tempfile.TemporaryDirectory() as var:
        environment = clean_environment(VAR=var, **({"DATABASE_URL": url} if url else {}))
        command = [sys.executable, "-m", module, *sys.argv[1:], "--here"]
        subprocess.run(command, env=os.environ | environment, check=True)
