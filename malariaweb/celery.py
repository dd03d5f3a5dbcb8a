"""The Celery app: `celery -A malariaweb worker`."""

import logging
import os
import signal
import time
import warnings
from typing import Any

from celery import Celery, bootsteps, platforms
from celery.app.amqp import AMQP
from celery.signals import worker_process_init
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
TRANSPORT_ALIASES["files"] = "malariaweb.filebroker:Transport"

# It fears messages that run as code; these are JSON.
warnings.filterwarnings("ignore", category=platforms.SecurityWarning)  # type: ignore[attr-defined]

logger = logging.getLogger(__name__)

LOOKED_FOR_EVERY = 5
"""Seconds; a worker without its broker would soon do so every half minute only."""


class ConnectionSoonBack(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": LOOKED_FOR_EVERY, **options})


class Messages(AMQP):
    Connection = ConnectionSoonBack


app = Celery("malariaweb", amqp=Messages)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def send_sweep() -> None:
    """Sent, not run here: it waits its turn, so what was sent before it and still waits is lost."""
    try:
        app.send_task("diagnosis.tasks.sweep", [time.time()])
    except (OperationalError, OSError) as error:
        logger.warning("The broker took no sweep, the next one follows: %s", error)


class Sweeping(bootsteps.StartStopStep):
    """Sends a sweep when a worker starts or meets its broker again, and at intervals from then on.

    Every worker carries this clock, since sweeps may overlap. Celery's beat would be a process
    more for each, which outlives a killed worker.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        send_sweep()
        self.clock = consumer.timer.call_repeatedly(settings.SWEEP_SECONDS, send_sweep)

    def stop(self, consumer: Any) -> None:
        self.clock.cancel()


app.steps["consumer"].add(Sweeping)


@worker_process_init.connect
def end_with_the_task(**_: Any) -> None:
    """Hosts may ask each process of a service to stop: only the main one, which waits, heeds it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@worker_process_init.connect
def load_model(**_: Any) -> None:
    """In each process of its own: an engine's threads (or CUDA) do not survive a fork."""
    from diagnosis.tasks import load_active_model

    load_active_model()
