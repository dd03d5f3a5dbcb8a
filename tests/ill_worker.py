"""The site's Celery app, with a model that falls ill at the sight of marked images.

The mark is the colour of the first pixel. Every image that is read leaves a line in the file
READINGS, so that a test can count them.
"""

import hashlib
import os
import signal
import time
from collections.abc import Sequence

import django
from celery.signals import worker_init
from PIL import Image

django.setup()

from diagnosis import tasks  # noqa: E402
from malariaweb.celery import app  # noqa: E402, F401
from ml.predictor import CellPrediction, Predictor  # noqa: E402

KILLS, HANGS, FAILS, SLOW = ((1, 2, number) for number in range(3, 7))


def suffer(mark: object) -> None:
    if mark == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    if mark == HANGS:  # as in a library, where no signal is heeded
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(60)
    if mark == FAILS:
        raise ZeroDivisionError
    if mark == SLOW:
        time.sleep(0.1)


def fingerprint(image: Image.Image) -> str:
    """As the site has it."""
    return hashlib.sha256(f"{image.width}x{image.height}".encode() + image.tobytes()).hexdigest()


class IllPredictor:
    def __init__(self, healthy: Predictor) -> None:
        self.healthy = healthy

    def predict(self, images: Sequence[Image.Image]) -> list[CellPrediction]:
        for image in images:
            suffer(image.getpixel((0, 0)))
        with open(os.environ["READINGS"], "a") as readings:
            readings.writelines(f"{fingerprint(image)}\n" for image in images)
        return self.healthy.predict(images)


@worker_init.connect
def fall_ill(**_: object) -> None:
    """In workers alone: tests import the marks from here."""
    healthy = tasks.predictor_of
    tasks.predictor_of = lambda version: IllPredictor(healthy(version))  # type: ignore
