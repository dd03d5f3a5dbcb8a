"""Figures for Prometheus, where METRICS_TOKEN asks for them.

By prometheus_client alone: django-prometheus would wrap the database and the cache too, and could
not add the queue to the figures of several web processes.
"""

import os
from collections.abc import Iterator
from functools import lru_cache

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from .models import PENDING_STATES, Prediction, State

SECONDS = (0.01, 0.05, 0.1, 0.2, 0.4, 1, 2, 5, 10, 30)


@lru_cache(maxsize=1)
def _requests() -> Histogram:
    return Histogram(
        "malariaweb_request_seconds",
        "Time to answer a request.",
        ["method", "route", "status"],
        buckets=SECONDS,
    )


def observe(method: str, route: str, status: int, seconds: float) -> None:
    _requests().labels(method, route, str(status)).observe(seconds)


class Queue(Collector):
    """Read from the database, which is the truth, when somebody asks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        by_state = Prediction.objects.order_by().values_list("state").annotate(Count("pk"))
        counts = dict.fromkeys(State.values, 0) | dict(by_state)
        rows = GaugeMetricFamily(
            "malariaweb_predictions", "Predictions by state.", labels=["state"]
        )
        for state, number in counts.items():
            rows.add_metric([state], number)
        yield rows
        yield GaugeMetricFamily(
            "malariaweb_oldest_pending_seconds",
            "How long the oldest image that is not read yet has waited.",
            value=self._longest_wait(),
        )

    def _longest_wait(self) -> float:
        pending = Prediction.objects.filter(state__in=PENDING_STATES)
        oldest = pending.aggregate(oldest=Min("queued_at"))["oldest"]
        return max(0, (timezone.now() - oldest).total_seconds()) if oldest else 0


def exposition() -> bytes:
    """What all web processes of this host counted (see gunicorn.conf.py), and the queue."""
    queue, web = CollectorRegistry(), CollectorRegistry()
    queue.register(Queue())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(web)
    else:
        web.register(_requests())
    return generate_latest(web) + generate_latest(queue)
