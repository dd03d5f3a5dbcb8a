"""Who is answered in which language: people in theirs, programs in English."""

import hashlib
import re
from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

FOR_PROGRAMS = re.compile(r"/api/|/(metrics|healthz|readyz)$|.*\.(csv|json)$")


class Languages(LocaleMiddleware):
    """Middleware: what a person chose, else what the browser asks for."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        if FOR_PROGRAMS.match(request.path_info):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE


@cache
def version_of_words(language: str) -> str:
    """Of the scripts' sentences: it changes where they do. Empty where there are none."""
    folder = Path(settings.LOCALE_PATHS[0]) / translation.to_locale(language)
    compiled = folder / "LC_MESSAGES/djangojs.mo"
    return hashlib.sha256(compiled.read_bytes()).hexdigest()[:12] if compiled.exists() else ""
