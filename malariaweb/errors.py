"""What is said of a request that no view came to see, or that failed in one."""

from contextlib import suppress

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views import defaults

from diagnosis.views.guard import wants_json

from .logs import REFERENCE, request_id
from .middleware import Unclean, refused


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    _drain(request)
    return refused(request, _sentence(exception), 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A script is told so in words: an opinion that is refused for good is not sent again."""
    if not wants_json(request) and not request.headers.get("HX-Request"):
        return defaults.permission_denied(request, exception)
    sentence = _(
        "Your role in this laboratory does not allow this, so nothing was changed. "
        "Its administrator can change your role."
    )
    return JsonResponse({"error": sentence}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """By a page that needs nothing which may have failed: no database, no session."""
    reference = request_id.get()[:REFERENCE]
    if wants_json(request):
        sentence = _("It is our fault, not yours. Try again; the reference is %(reference)s.")
        sentence %= {"reference": reference}
        return JsonResponse({"error": sentence, "reference": reference}, status=500)
    return HttpResponse(render_to_string("500.html", {"reference": reference}), status=500)


def _drain(request: HttpRequest) -> None:
    """Whoever is still sending when the connection ends never sees the answer."""
    with suppress(UnreadablePostError):
        while request.read(65_536):
            pass


def _sentence(exception: Exception) -> str:
    if isinstance(exception, TooManyFilesSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        return _("Send at most %(most)d files at a time.") % {"most": most}
    if isinstance(exception, MultiPartParserError):
        return _(
            "The upload could not be taken apart, so nothing of it was stored. "
            "Shorten the names of its files and send it again."
        )
    if isinstance(exception, Unclean):
        return _("It holds a character that cannot be kept: go back and write it anew.")
    return _("Go back and try again. If it happens again, tell whoever runs this site.")
