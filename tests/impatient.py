"""The site's own settings with short patience, and a network that some pictures kill or stall."""

import ctypes
import os
import signal
import time
from collections.abc import Sequence

from malariaweb.settings import *  # noqa: F403

SWEEP_SECONDS = 1
CELERY_TASK_SOFT_TIME_LIMIT = 5
CELERY_TASK_TIME_LIMIT = 7
LEASE_SECONDS = 9
CELERY_IMPORTS = ("tests.impatient",)

DEADLY, STALLING, STUCK = (31, 31), (33, 33), (35, 35)
"""Sizes of pictures that kill the process, outlast the soft limit, and ignore it."""
SECONDS_A_BATCH = 0.4


def install() -> None:
    from PIL import Image

    from ml.predictor import CellPrediction, Predictor

    predict = Predictor.predict

    def faulty(self: Predictor, images: Sequence[Image.Image]) -> list[CellPrediction]:
        sizes = {image.size for image in images}
        if DEADLY in sizes:
            os.kill(os.getpid(), signal.SIGKILL)
        if STUCK in sizes:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        if sizes & {STUCK, STALLING}:
            ctypes.CDLL(None).sleep(60)
            time.sleep(60)
        time.sleep(SECONDS_A_BATCH)  # so that a test can strike in the middle of a chunk
        return predict(self, images)

    Predictor.predict = faulty  # type: ignore[method-assign]


if os.environ.get("FAULTS"):
    install()
