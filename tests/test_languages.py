import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from django.conf import settings as site
from django.template.base import Lexer, TokenType
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.formats import get_format

from diagnosis import languages
from diagnosis.formats.en_GB import formats as english
from tests.people import laboratory_of, signed_in
from tests.readings import new_slide
from tests.test_api import program_of

CATALOGUES = sorted((site.BASE_DIR / "diagnosis/locale").rglob("*.po"))
LOOSE_SIGN = re.compile(r"(?<![\xa0\u202f])[:;?!%»](?=\s|$|<(?!/kbd>))")
PLACEHOLDER = re.compile(r"%%|%\(\w+\)[sd]|%[sd]|\{\w*\}")


@pytest.fixture
def both(settings):
    """English and French, whatever the site offers."""
    settings.LANGUAGES = [("en-gb", "English"), ("fr", "Français")]


@pytest.mark.django_db
class TestChoosing:
    def test_the_browser_asks_for_it(self, both):
        for asked, language in (
            ("fr-CM,fr;q=0.9", "fr"),
            ("en-US", "en"),
            ("sw", "en"),
            ("", "en"),
        ):
            page = Client(headers={"Accept-Language": asked}).get(reverse("account_login"))
            assert f'<html lang="{language}"' in page.content.decode(), asked

    def test_what_answers_a_form_may_not_be_an_address_to_return_to(self, both):
        page = Client().post(reverse("account_login"), {"login": "", "password": ""}).text
        assert 'name="next" value="/"' in page

    @pytest.mark.parametrize("who", ["signed out", "signed in"])
    def test_a_person_chooses_it_and_stays_on_the_page(self, who, both):
        user = laboratory_of("ada").members.get()
        client = signed_in(user) if who == "signed in" else Client()
        address = reverse("model") + "?one=1"
        form = client.get(address).content.decode()
        assert 'value="/model/?one=1"' in form
        assert re.search(r'value="en-gb" lang="en-gb" aria-current="true">English<', form)
        answer = client.post(reverse("set_language"), {"language": "fr", "next": address})
        assert (answer.status_code, answer["Location"]) == (302, address)
        cookie = answer.cookies["language"]
        assert (cookie.value, cookie["max-age"], cookie["httponly"]) == ("fr", 31_536_000, True)
        assert '<html lang="fr"' in client.get(address).content.decode()

    def test_its_form_needs_the_token_of_the_page(self, both):
        client = Client(enforce_csrf_checks=True)
        assert client.post(reverse("set_language"), {"language": "fr"}).status_code == 403

    @pytest.mark.parametrize("language", ["xx", "pt", "../../etc", ""])
    def test_what_is_not_offered_changes_nothing(self, language, both):
        client = Client()
        answer = client.post(reverse("set_language"), {"language": language, "next": "/"})
        assert answer.status_code == 302
        assert '<html lang="en"' in client.get(reverse("account_login")).content.decode()

    def test_nobody_is_led_elsewhere(self, both):
        data = {"language": "fr", "next": "https://evil.example/"}
        assert Client().post(reverse("set_language"), data)["Location"] == "/"

    def test_one_language_is_no_choice(self, settings):
        settings.LANGUAGES = [("en-gb", "English")]
        assert reverse("set_language") not in Client().get(reverse("model")).content.decode()


@pytest.mark.django_db
def test_programs_read_english_whoever_asks(both):
    laboratory = laboratory_of("ada")
    user = laboratory.members.get()
    slide = new_slide(laboratory)
    client, program = signed_in(user), program_of(user)
    client.cookies["language"] = "fr"
    asked = {"headers": {"Accept-Language": "fr"}}
    for one, address in (
        (client, reverse("history_csv")),
        (client, reverse("slide_csv", args=[slide.pk])),
        (client, reverse("slide_cells_csv", args=[slide.pk])),
        (client, reverse("report_fhir", args=[slide.pk])),
        (client, reverse("laboratory_audit_csv", args=[laboratory.pk])),
        (client, reverse("readyz")),
        (program, reverse("api_slides")),
        (program, reverse("api_slide_csv", args=[slide.pk])),
        (program, reverse("api_docs")),
    ):
        assert one.get(address, **asked)["Content-Language"] == "en-gb", address
    assert client.get(reverse("slide", args=[slide.pk]))["Content-Language"] == "fr"


@pytest.fixture
def words(both, settings, tmp_path):
    """What scripts say in French, in a folder of its own."""
    folder = tmp_path / "locale/fr/LC_MESSAGES"
    folder.mkdir(parents=True)
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Language": "fr"}
    catalogue.append(polib.POEntry(msgid="Copied", msgstr="Copié"))
    catalogue.save_as_mofile(str(folder / "djangojs.mo"))
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    languages.version_of_words.cache_clear()
    yield
    languages.version_of_words.cache_clear()


@pytest.mark.django_db
def test_scripts_are_handed_their_sentences_once(words):
    page = Client(headers={"Accept-Language": "fr"}).get(reverse("account_login"))
    address = re.search(r'<script defer src="(/words/fr\.\w+\.js)">', page.content.decode())[1]
    answer = Client().get(address)
    assert answer["Content-Type"].startswith("text/javascript")
    assert answer["Cache-Control"] == "public, max-age=31536000"
    assert Client().get(reverse("words", args=["fr", "old"]))["Cache-Control"].endswith("max-age=0")
    assert Client().get(reverse("words", args=["sw", "0"])).status_code == 404


@pytest.mark.django_db
def test_in_english_scripts_hold_theirs():
    assert "/words/" not in Client().get(reverse("account_login")).content.decode()


def test_dates_have_their_look_in_every_language():
    named = {name for name in vars(english) if name.isupper()}
    for language in ("fr", "pt"):
        own = site.BASE_DIR / f"diagnosis/formats/{language}/formats.py"
        assert set(re.findall(r"^(\w+) =", own.read_text(), re.M)) == named
        with translation.override(language):
            assert all(get_format(name) != name for name in named)
    used = {name for text in templates() for name in re.findall(r'\|date:"([A-Z_]{2,})"', text)}
    assert used <= named


def templates() -> Iterator[str]:
    yield from (path.read_text() for path in (site.BASE_DIR / "templates").rglob("*.*"))


WORDS = re.compile(r'content:\s*"[^"]*[A-Za-z]{2}')


def test_styles_hold_no_words():
    """They are the same in every language: what they say comes from the page."""
    styles = sorted((site.BASE_DIR / "diagnosis/static/diagnosis").glob("*.css"))
    assert styles
    assert [path.name for path in styles if WORDS.search(path.read_text())] == []


# The catalogues


def test_what_is_compiled_says_what_is_written():
    """Hosts have no gettext: what pages show is the compiled file."""
    for path in CATALOGUES:
        written = {key(entry): said(entry) for entry in polib.pofile(str(path)) if said(entry)}
        compiled = polib.mofile(str(path.with_suffix(".mo")))
        assert {key(entry): said(entry) for entry in compiled} == written, path


@pytest.fixture(scope="module")
def gathered(tmp_path_factory) -> Path:
    """A copy of the site in which `make messages` was run anew."""
    if not shutil.which("msgfmt"):
        pytest.skip("gettext is not installed")
    copy = tmp_path_factory.mktemp("gathered")
    for folder in ("diagnosis", "malariaweb", "ml", "templates"):
        skipped = shutil.ignore_patterns("models", "finders", "__pycache__", "vendor", "fonts")
        shutil.copytree(site.BASE_DIR / folder, copy / folder, ignore=skipped)
    for name in ("Makefile", "manage.py"):
        shutil.copy(site.BASE_DIR / name, copy)
    make = ["make", "messages", f"BIN={Path(sys.executable).parent}"]
    subprocess.run(make, cwd=copy, check=True, capture_output=True, timeout=120)
    return copy


def test_no_sentence_is_missing(gathered):
    """And none is there that nothing says any more."""
    for path in CATALOGUES:
        fresh = polib.pofile(str(gathered / path.relative_to(site.BASE_DIR)))
        assert set(map(key, fresh)) == set(map(key, polib.pofile(str(path)))), path


def catalogues_of(language: str) -> list[Path]:
    return [path for path in CATALOGUES if path.parts[-3] == translation.to_locale(language)]


def offered() -> list[str]:
    return [code for code, _ in site.LANGUAGES if code != site.LANGUAGE_CODE]


def test_what_is_offered_is_complete():
    for language in offered():
        assert {path.stem for path in catalogues_of(language)} == {"django", "djangojs"}
        for path in catalogues_of(language):
            catalogue = polib.pofile(str(path))
            assert [key(entry) for entry in catalogue if lacks(entry, catalogue)] == [], path


def lacks(entry: polib.POEntry, catalogue: polib.POFile) -> bool:
    plurals = int(re.search(r"nplurals=(\d)", catalogue.metadata["Plural-Forms"])[1])
    texts = said(entry)
    few = len(texts) != (plurals if entry.msgid_plural else 1)
    return few or entry.fuzzy or not all(texts)


def test_what_is_filled_in_is_the_same():
    for path in CATALOGUES:
        for entry in polib.pofile(str(path)):
            asked = set(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
            for index, text in enumerate(said(entry)):
                own = set(PLACEHOLDER.findall(text))
                # "One cell" may do without the number.
                assert own == asked or (entry.msgid_plural and not index and own < asked), text


def test_french_signs_stand_after_a_space_that_does_not_break():
    for path in catalogues_of("fr"):
        for entry in polib.pofile(str(path)):
            for text in said(entry):
                assert LOOSE_SIGN.search(PLACEHOLDER.sub(_filled, text)) is None, text


def _filled(placeholder: re.Match[str]) -> str:
    return "%" if placeholder[0] == "%%" else "x"


def key(entry: polib.POEntry) -> tuple[str, str]:
    return entry.msgctxt or "", entry.msgid


def said(entry: polib.POEntry) -> list[str]:
    texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
    return texts if any(texts) else []


# The templates

ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}
SAME_EVERYWHERE = {
    "Malariaweb",  # the product's name
    "P. falciparum",  # the parasite's
    "AUC",
    "κ =",
    "CSV",
    "FHIR",
    "PDF",
    "px",
    "× px",
    "Esc",  # keys, as they are printed on them
    "H",
    "C",
    "N",
    "python manage.py reset_password USERNAME",  # what is typed
    "python manage.py reset_password",
}
IN_ENGLISH = {
    "api.html",  # as the API is, whose own description it shows
}
OWN_WORDS = re.compile(
    r'(?:default:|\bwith \w+=|firstof [\w.]+ )"(?!submit|small)[^"]*[a-z]|\|pluralize', re.I
)


class Words(HTMLParser):
    """What a reader meets of a page's source, where its tags have been taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ATTRIBUTES]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def untranslated(source: str) -> list[str]:
    words, inside = Words(), False
    text = []
    for token in Lexer(source).tokenize():
        name = token.contents.split(" ")[0] if token.token_type == TokenType.BLOCK else ""
        if name in ("blocktranslate", "comment") or token.contents == "block width":
            inside = True
        elif name in ("endblocktranslate", "endcomment", "endblock"):
            inside = False
        elif token.token_type == TokenType.TEXT and not inside:
            text.append(token.contents)
    words.feed("".join(text))
    found = [" ".join(part.split()) for part in words.found]
    tags = [tag for tag in re.findall(r"{[{%].*?[%}]}", source) if OWN_WORDS.search(tag)]
    return [part for part in found if re.search(r"[^\W\d_]", part)] + tags


def test_all_that_a_page_says_can_be_translated():
    left = {
        (path.name, part)
        for path in (site.BASE_DIR / "templates").rglob("*.*")
        if path.name not in IN_ENGLISH
        for part in untranslated(path.read_text())
        if part.strip(" .·,") not in SAME_EVERYWHERE
    }
    assert left == set()


@pytest.mark.parametrize(
    "source",
    [
        "<p>Word</p>",
        '<img alt="Word">',
        '<a aria-label="Word {{ name }}">',
        '{{ name|default:"Word" }}',
        '{% include "x.html" with button="Word" %}',
        "{{ number }}{{ number|pluralize }}",
    ],
)
def test_that_test_finds(source):
    assert untranslated(source)
    body = "{% blocktranslate %}Word{% endblocktranslate %}"
    assert untranslated('<p title="{% translate "Word" %}">' + body) == []
