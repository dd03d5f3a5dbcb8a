import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from .logs import OF_A_REQUEST, request_id, route_of

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

logger = logging.getLogger("malariaweb.requests")


class Requests:
    """Middleware, the outermost: names the request, measures and logs it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.observe = _observer()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id.set(_id_of(request))
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        self._note(request, response, seconds)
        response["X-Request-ID"] = request_id.get()
        return response

    def _note(self, request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        method = request.method if request.method in METHODS else "other"
        route, status = route_of(request), response.status_code
        values = (method, route, status, round(1000 * seconds))
        logger.info("Answered", extra=dict(zip(OF_A_REQUEST, values, strict=True)))
        if self.observe:
            self.observe(method, route, status, seconds)


def _id_of(request: HttpRequest) -> str:
    """A proxy of our own may have named it already; strangers do not write into the log."""
    given = request.headers.get("X-Request-ID", "") if settings.TRUSTED_PROXY_COUNT else ""
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _observer() -> Callable[[str, str, int, float], None] | None:
    """Without metrics, nothing of them is loaded."""
    if not settings.METRICS_TOKEN:
        return None
    from diagnosis import metrics

    return metrics.observe
