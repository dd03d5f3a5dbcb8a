"""Numbers in the language of whoever reads; English for what is kept."""

import threading

import pytest
from django.utils import translation

from diagnosis import finding, words
from diagnosis.models import Opinion


@pytest.mark.parametrize(
    ("language", "whole", "share", "small"),
    [
        ("en-gb", "1,234,567", "12.5 %", "0.034"),
        ("fr", "1\xa0234\xa0567", "12,5\xa0%", "0,034"),
        ("pt", "1.234.567", "12,5\xa0%", "0,034"),
    ],
)
def test_numbers_have_the_marks_of_the_language(
    language: str, whole: str, share: str, small: str
) -> None:
    with translation.override(language):
        assert words.number(1_234_567) == whole
        assert words.percent(0.125) == share
        assert finding.short(0.0341) == small


def test_a_number_with_an_exponent_is_left_alone() -> None:
    assert finding.short(0.000012) == "1e-05"
    assert words.number(-1234.5, "+.1f") == "-1,234.5"
    assert words.number(1234.5, "+.1f") == "+1,234.5"


def test_what_is_kept_is_in_english_whoever_asks() -> None:
    @words.english()
    def kept() -> str:
        return words.number(1234.5)

    with translation.override("fr"):
        assert kept() == "1,234.5"
        assert translation.get_language() == "fr"


def test_threads_that_share_a_function_keep_their_own_language() -> None:
    together = threading.Barrier(2)
    found: dict[str, str | None] = {}

    @words.english()
    def meet() -> None:
        together.wait(5)

    def ask(language: str) -> None:
        with translation.override(language):
            meet()
            found[language] = translation.get_language()

    threads = [threading.Thread(target=ask, args=[language]) for language in ("fr", "pt")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"fr": "fr", "pt": "pt"}


def test_words_of_a_choice_are_looked_up_when_they_are_shown() -> None:
    assert str(Opinion.CANNOT_TELL.label) == "Cannot tell"
