import pytest
from django.http import QueryDict
from django.test import RequestFactory

from diagnosis.templatetags import pages
from diagnosis.verdict import Tally


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.0004, "< 1 %"),
        (0.123, "12 %"),
        (0.985, "98 %"),
        (0.9962, "99.6 %"),
        (0.99999, "99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_a_certainty(value, words):
    assert pages.percent(value) == words


def test_an_address_keeps_what_is_not_changed():
    context = {"request": RequestFactory().get("/", {"show": "failed", "page": "3", "seen": "x"})}
    assert QueryDict(pages.query(context, page="", order="upload")[1:]).dict() == {
        "show": "failed",
        "order": "upload",
    }
    assert pages.query(context, page="", show="") == "?"


def test_the_bar_of_a_slide_is_divided_as_its_images_are():
    bar = pages.tally_bar(Tally(total=4, parasitized=1, uninfected=2, pending=1))
    assert '<rect class="parasitized" x="0.00" width="25.00"' in bar
    assert '<rect class="uninfected" x="25.00" width="50.00"' in bar
    assert '<rect class="pending" x="75.00" width="25.00"' in bar


def test_the_bar_of_a_row_is_of_what_its_sentence_counts():
    of_images = Tally(total=2, parasitized=1, uninfected=1)
    assert pages.row_bar(of_images) == pages.tally_bar(of_images, "thin")
    of_cells = Tally(total=1, parasitized=1, fields=1, cells_counted=200, cells_parasitized=3)
    assert '<rect class="parasitized" x="0.00" width="1.50"' in pages.row_bar(of_cells)
    assert '<rect class="others" x="1.50" width="98.50"' in pages.row_bar(of_cells)


def test_an_empty_slide_has_an_empty_bar():
    assert 'width="0.00"' in pages.tally_bar(Tally())


def test_a_badge_has_a_shape_and_a_word():
    badge = pages.badge("failed")
    assert "#failed" in badge
    assert "Not read" in badge
