"""Every request and every task has an id, and each line of the log says which one caused it.

Lines carry ids and routes only: no path (an invitation's token is in it), no query, and nothing of
what PostgreSQL quotes from a row.
"""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from celery import current_task
from celery.signals import before_task_publish
from django.http import HttpRequest

ROW = re.compile(r"DETAIL:.*?(?=\\n|\n|$)")
REFERENCE = 8
"""Characters of a request's id that the page of an error shows: few enough to be read out."""
OF_A_REQUEST = ("method", "route", "status", "milliseconds")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Stays until the thread's next request: Django logs an answer after all middleware."""


def route_of(request: HttpRequest) -> str:
    return f"/{request.resolver_match.route}" if request.resolver_match else "unknown"


@before_task_publish.connect
def name_the_cause(headers: dict[str, Any], **_: Any) -> None:
    """The task's lines name the request that sent it; a sweep has none."""
    if request_id.get():
        headers["request_id"] = request_id.get()


class Ids(logging.Filter):
    """Gives each record its ids, and the route in place of the path that Django would log."""

    def filter(self, record: logging.LogRecord) -> bool:
        task = current_task.request if current_task else None
        record.task_id = task.id if task else ""
        cause = task.get("request_id") or "" if task else request_id.get()
        record.request_id = cause
        record.reference = f" [{cause}]" if cause and record.levelno >= logging.WARNING else ""
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest) and isinstance(record.args, tuple):
            route, path = route_of(request), request.path
            # Django escapes what it logs.
            paths = (path, path.encode("unicode_escape").decode("ascii"))
            record.args = tuple(route if value in paths else value for value in record.args)
        return True


class Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_rows(super().format(record))


class Json(logging.Formatter):
    """One object a line, of named fields alone: what a library adds to its records stays out."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": without_rows(record.getMessage()),
        }
        for name in ("request_id", "task_id", *OF_A_REQUEST):
            if (value := getattr(record, name, "")) != "":
                line[name] = value
        if record.exc_info:
            line["trace"] = without_rows(self.formatException(record.exc_info))
        return json.dumps(line)


def without_rows(text: str) -> str:
    return ROW.sub("DETAIL left out.", text)
