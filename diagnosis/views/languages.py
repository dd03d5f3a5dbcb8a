from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_cache_control
from django.views.i18n import JavaScriptCatalog, set_language

from .. import post
from ..languages import version_of_words

YEAR = 365 * 24 * 3600


def choose(request: HttpRequest) -> HttpResponse:
    """For this browser; for the mails of whoever is signed in, too."""
    answer = set_language(request)
    chosen = answer.cookies.get(settings.LANGUAGE_COOKIE_NAME)
    if chosen and request.user.is_authenticated:
        post.write_in(chosen.value, request.user)
    return answer


class Words(JavaScriptCatalog):
    """The scripts' sentences in one language, fetched once: the address names their version."""

    packages = ["diagnosis"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        language, version = kwargs["language"], kwargs["version"]
        if language not in dict(settings.LANGUAGES):
            raise Http404
        with translation.override(language):
            answer = super().get(request)
        answer.headers["Content-Language"] = language
        is_known = version == version_of_words(language)
        patch_cache_control(answer, public=True, max_age=YEAR if is_known else 0)
        return answer


words = Words.as_view()
