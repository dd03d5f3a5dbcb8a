"""What programs that watch over the site ask it."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import health


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Nothing else is looked at: a restart brings no database back."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    states = health.readiness()
    ready = all(state == health.OK for state in states.values())
    return JsonResponse(states, status=200 if ready else 503)


@require_safe
@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    given = request.headers.get("Authorization", "")
    if not (
        settings.METRICS_TOKEN and constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    ):
        raise Http404
    from .. import metrics  # loaded only where it is asked for

    return HttpResponse(metrics.exposition(), content_type="text/plain; version=0.0.4")
