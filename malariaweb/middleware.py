import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    UnreadablePostError,
)
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from diagnosis.texts import is_clean
from diagnosis.views.guard import signed_in, wants_json

from .logs import OF_A_REQUEST, request_id, route_of
from .serving import PacedSocket

MAX_BODY = 1_000_000_000
"""Bytes of one request: fifty photographs of the largest size, hundreds of the usual one."""
MAX_ANONYMOUS_BODY = 65_536
"""Of those who have not signed in: a sign-in or sign-up is a hundredth of it."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

logger = logging.getLogger("malariaweb.requests")


class Unclean(BadRequest):
    """It holds text that cannot be kept."""


class Requests:
    """Middleware, the outermost: names the request, measures and logs it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.observe = _observer()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id.set(_id_of(request))
        # Those that say what no site ever set: a session's key is looked for in the database.
        request.COOKIES = {k: v for k, v in request.COOKIES.items() if is_clean(v)}
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        self._note(request, response, seconds)
        response["X-Request-ID"] = request_id.get()
        return response

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: object,
        kwargs: object,
    ) -> HttpResponseBase | None:
        """Before others take what came of a form that stopped on its way for all of it.

        And before more is read than the disk holds.
        """
        if "Transfer-Encoding" in request.headers:  # Django would take the body for an empty one
            sentence = _("Send the length of the request (Content-Length).")
            return refused(request, sentence, 411)
        if _length(request) > MAX_BODY:
            return _too_large(request)
        _name_owner(request)
        if getattr(view, "csrf_exempt", False):
            return None  # the API, which reads for itself, and only what a token came with
        if not request.user.is_authenticated and _length(request) > MAX_ANONYMOUS_BODY:
            return signed_in(view)(request)  # which asks them to
        try:
            given = [*request.GET.lists(), *_fields(request), kwargs]
        except UnreadablePostError:
            sentence = _("The upload stopped on its way, nothing was stored: send it again.")
            return refused(request, sentence, 408)
        if not is_clean(given):
            raise Unclean
        return None

    def _note(self, request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        method = request.method if request.method in METHODS else "other"
        route, status = route_of(request), response.status_code
        values = (method, route, status, round(1000 * seconds))
        logger.info("Answered", extra=dict(zip(OF_A_REQUEST, values, strict=True)))
        if self.observe:
            self.observe(method, route, status, seconds)


def _fields(request: HttpRequest) -> list[tuple[str, list[str]]]:
    """Without files that came as text for their name's sake: the good ones beside them go on."""
    return [(name, values) for name, values in request.POST.lists() if name not in request.FILES]


def refused(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    """A program reads JSON, a person a page."""
    if wants_json(request):
        return JsonResponse({"error": sentence}, status=status)
    return HttpResponse(render_to_string("400.html", {"sentence": sentence}), status=status)


def _too_large(request: HttpRequest) -> HttpResponse:
    sentence = _("Nothing was stored. Send at most %(most)d MB at a time: choose fewer files.")
    return refused(request, sentence % {"most": MAX_BODY // 1_000_000}, 413)


def _length(request: HttpRequest) -> int:
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _name_owner(request: HttpRequest) -> None:
    """For `serving`: whose body it is that a thread waits for, wherever it comes from."""
    sock = request.META.get("gunicorn.socket")
    if isinstance(sock, PacedSocket):
        person = request.user.pk if request.user.is_authenticated else None
        sock.owner = person or request.headers.get("Authorization") or sock.owner


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
