"""The first thing each private view asks."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import resolve_url
from django.utils.translation import gettext as _

View = Callable[..., HttpResponseBase]


class SignedInRequest(HttpRequest):
    """What a view behind `signed_in` is given."""

    user: User


class Asked(HttpRequest):
    """A request behind the guard: somebody asked it."""

    user: User


def wants_json(request: HttpRequest) -> bool:
    """Programs seldom say what they accept: in the API that is JSON, elsewhere a page."""
    kinds = ["text/html", "application/json"]
    if request.path.startswith("/api/"):
        kinds.reverse()
    return request.get_preferred_type(kinds) == "application/json"


def _is_still(request: HttpRequest) -> bool:
    """What a page kept for one person is not taken from another who signed in meanwhile."""
    return request.headers.get("X-Person", "") in ("", str(request.user.pk))


def signed_in(view: View) -> View:
    """Anonymous people go to the sign-in page; a script is told so in a way it can act on."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if request.user.is_authenticated and _is_still(request):
            return view(request, *args, **kwargs)
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        if wants_json(request):
            return JsonResponse({"error": _("You are signed out.")}, status=401)
        readable = request.method in ("GET", "HEAD")
        return redirect_to_login(request.get_full_path() if readable else resolve_url("home"))

    return guarded
