"""The languages of the site, for the foot and the head of every page."""

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from ..languages import version_of_words

register = template.Library()


@register.simple_tag
def offered() -> list[tuple[str, str]]:
    """Each by its own name."""
    return list(settings.LANGUAGES)


@register.simple_tag
def words() -> SafeString:
    """What scripts say in this language; in English they hold it themselves."""
    language = get_language() or settings.LANGUAGE_CODE
    version = version_of_words(language)
    if not version:
        return SafeString("")
    address = reverse("words", args=[language, version])
    return format_html('<script defer src="{}"></script>\n  ', address)
