"""Words and numbers in the language of whoever reads, and in English for what is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils import translation
from django.utils.formats import number_format
from django.utils.translation import gettext as _


@contextmanager
def english() -> Iterator[None]:
    """Around what is stored, signed or read by programs, whoever asks for it.

    Also as a decorator, which Django's own `override` must not be where threads share it.
    """
    with translation.override(settings.LANGUAGE_CODE):
        yield


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Around what is said in the language of a report, whoever asks for it."""
    with translation.override(code(language)):
        yield


def code(language: str) -> str:
    """As the site calls the language of a report: its English has British dates."""
    default: str = settings.LANGUAGE_CODE
    return default if default.partition("-")[0] == language else language


def number(value: float, form: str = "") -> str:
    """As Python's `form` writes it, with the language's decimal mark and groups of thousands."""
    text = f"{value:{form}}"
    return text if "e" in text else number_format(text, force_grouping=True)


def percent(share: float, digits: int = 1) -> str:
    return in_percent(number(100 * share, f".{digits}f"))


def probability(share: float) -> str:
    """In whole percents; never a rounded 0 % or 100 % that was not exactly so."""
    if 0.99 < share < 1:
        return percent(min(share, 0.999))
    return in_percent("< 1") if 0 < share < 0.01 else percent(share, 0)


def in_percent(figure: str) -> str:
    return _("%(figure)s %%") % {"figure": figure}


def between(low: str, high: str) -> str:
    return _("%(low)s to %(high)s") % {"low": low, "high": high}
