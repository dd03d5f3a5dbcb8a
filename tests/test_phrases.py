"""What `ml` says and the database keeps is listed for translation, and found again in the list."""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest
from django.test import Client
from django.urls import reverse

from diagnosis import models, phrases, registry, tasks, trail
from ml import card, field_reading, images, rejection, sandbox, sandbox_child
from tests.people import laboratory_of, signed_in
from tests.readings import failed, new_slide, read


def refusals(module: ModuleType) -> Iterator[str]:
    """The second argument of each UnreadableImage, with its own constants, and 7 for the rest."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "UnreadableImage":
            sentence = node.args[1]
            if isinstance(sentence, ast.Constant | ast.JoinedStr):  # others hand one on
                yield _filled(sentence, vars(module))


def _filled(sentence: ast.Constant | ast.JoinedStr, names: dict[str, object]) -> str:
    if isinstance(sentence, ast.Constant):
        return str(sentence.value)
    return "".join(_part(part, names) for part in sentence.values)


def _part(part: ast.expr, names: dict[str, object]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    known = names.get(part.value.id) if isinstance(part.value, ast.Name) else None
    return str(known or 7)


SAID = [
    *(said for module in (images, sandbox) for said in refusals(module)),
    *rejection.REASONS.values(),
    rejection.UNKNOWN,
    field_reading.NO_CELLS,
    field_reading.BLURRED,
    field_reading.NO_THIN_FILM,
    *card.FIGURES.values(),
    tasks.NOTHING_COUNTS,
    tasks.UNREADABLE,
    tasks.TOO_SLOW,
    tasks.BROKE_OFF,
    tasks.ERROR.format(name="ValueError"),
    registry.FIRST,
    registry.SHIPPED,
    models.COMMAND_LINE,
    *trail.KINDS.values(),
    *models.Role.values,
    *models.Label.values,
    *models.CellOpinion.values,
    *models.Conclusion.values,
    *models.Kind.values,
]


@pytest.mark.parametrize("said", SAID)
def test_what_can_be_said_is_listed(said: str) -> None:
    assert phrases.is_listed(said)


def test_the_refusals_of_the_decoder_are_found_in_its_source() -> None:
    found = list(refusals(images))
    side = images.MIN_SIDE
    assert f"The image is 7 x 7 pixels; each side needs at least {side}." in found
    assert len(found) == len(set(found)) >= 10


def test_every_refusal_of_the_child_process_comes_from_the_list() -> None:
    source = ast.parse(inspect.getsource(sandbox_child))
    texts = [node.value for node in ast.walk(source) if isinstance(node, ast.Constant)]
    sentences = [text for text in texts if isinstance(text, str) and text.endswith(".")]
    said = [text for text in sentences if text.startswith("Decoding")]
    assert said
    assert all(phrases.is_listed(text) for text in said)


def test_what_is_not_listed_stays_as_it_is() -> None:
    assert phrases.shown("A note of a person's own.") == "A note of a person's own."
    assert not phrases.is_listed("A note of a person's own.")


def test_numbers_and_names_in_a_kept_sentence_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = "An error stopped the reading (ValueError)."
    assert phrases.shown(kept) == kept
    french = {phrases.ERRORS[-1]: "Une erreur a interrompu la lecture (%(name)s)."}
    monkeypatch.setattr(phrases, "gettext", french.get)
    assert phrases.shown(kept) == "Une erreur a interrompu la lecture (ValueError)."


@pytest.fixture
def client_of_a_slide(db: None) -> tuple[Client, str]:
    """A person, and the page of their slide with an image that was rejected and one not read."""
    laboratory = laboratory_of("ada")
    slide = new_slide(laboratory)
    read(slide, "rejected", reasons=[rejection.REASONS["part"]])
    failed(slide, error=tasks.ERROR.format(name="ValueError"))
    return signed_in(laboratory.members.get()), reverse("slide", args=[slide.pk])


def test_a_page_says_what_was_kept_in_the_language_of_whoever_reads(
    client_of_a_slide: tuple[Client, str],
) -> None:
    client, page = client_of_a_slide
    said = {
        "pt": ("Não mostra nenhum glóbulo vermelho inteiro.", "interrompeu a leitura (ValueError)"),
        "en": (rejection.REASONS["part"], "An error stopped the reading (ValueError)."),
    }
    for language, sentences in said.items():
        text = client.get(page, headers={"Accept-Language": language}).text
        assert all(words in text for words in sentences), language
