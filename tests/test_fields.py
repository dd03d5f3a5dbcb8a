"""Cells found in fields: what the finder's parts do, and the shipped finder as a whole."""

import numpy as np
import pytest
from PIL import Image

from ml import fields
from ml.artifact import ArtifactError
from ml.detection import Truth, figures, match
from ml.drawing import draw_field
from ml.fields import (
    FINDER,
    MANIFEST,
    Finder,
    FinderManifest,
    FoundCell,
    overlaps,
    shade,
    shipped_finder,
    suppressed,
    usual_side,
)


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder.load(threads=1)


def side_of(cells: list[FoundCell]) -> float:
    return float(np.median([max(cell.box[2:]) for cell in cells]))


def test_every_cell_of_a_drawn_field_is_found(finder):
    found = [cell for cell in finder.find(draw_field(1, cells=60)) if not cell.edge]
    assert 58 <= len(found) <= 62


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_any_resolution_is_read(finder, scale):
    image = draw_field(2, cells=60)
    large = image.resize((round(image.width * scale), round(image.height * scale)))
    found, expected = finder.find(large), finder.find(image)
    assert abs(len(found) - len(expected)) <= 2
    assert side_of(found) == pytest.approx(scale * side_of(expected), rel=0.1)


@pytest.mark.parametrize("factor", [0.25, 4])
def test_a_wrong_guess_of_the_size_costs_no_cell(finder, factor, monkeypatch):
    image = draw_field(2, cells=60)
    expected = finder.find(image)
    guess = factor * side_of(expected)
    monkeypatch.setattr(fields, "usual_side", lambda *_: guess)
    assert abs(len(finder.find(image)) - len(expected)) <= 2


def test_one_large_thing_is_not_taken_for_the_size_of_the_cells(finder, monkeypatch):
    """Which is what the finder sees first: a cell three times as large lies among the others."""
    image = draw_field(2, cells=60)
    side = side_of(finder.find(image))
    large = draw_field(7, cells=1).resize((5120, 3840))
    x, y, width, height = finder.find(large)[0].box
    image.paste(
        large.crop((x, y, x + width, y + height)).resize((round(3 * side),) * 2), (500, 400)
    )
    monkeypatch.setattr(fields, "usual_side", lambda *_: 3 * side)
    assert len(finder.find(image)) > 35


def test_cells_cut_by_the_edge_are_marked(finder):
    image = draw_field(3, cells=12, parasitized=0)
    cut = image.crop((160, 0, image.width, image.height))  # through the first column's middle
    found = finder.find(cut)
    assert len(found) == 12
    assert [cell.edge for cell in found if cell.box[0] < 10] == [True] * 3
    inner = [c for c in found if c.box[0] > 50 and sum(c.box[::2]) < cut.width - 50]
    assert [cell.edge for cell in inner] == [False] * 6


@pytest.mark.parametrize("colour", [(226, 224, 214), (0, 0, 0), (190, 120, 160)])
def test_a_plain_field_holds_no_cell(finder, colour):
    assert finder.find(Image.new("RGB", (1280, 960), colour)) == []


def test_boxes_lie_in_the_image(finder):
    image = draw_field(4, cells=40).crop((60, 60, 900, 700))
    for cell in finder.find(image):
        x, y, width, height = cell.box
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= image.width
        assert y + height <= image.height


def test_the_usual_side_is_guessed_from_dark_objects():
    image = np.full((480, 640, 3), 220, np.uint8)
    y, x = np.ogrid[:480, :640]
    for column in range(80, 640, 120):
        image[(x - column) ** 2 + (y - 240) ** 2 < 40**2] = (180, 100, 140)
    assert usual_side(*shade(image)) == pytest.approx(92, rel=0.05)


def test_of_boxes_that_cover_each_other_the_surest_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], float)
    assert suppressed(boxes, np.array([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]
    assert overlaps(boxes, boxes)[0].tolist() == pytest.approx([1, 90 / 110, 0])


def test_matches_leave_out_the_edge_and_what_is_no_red_cell():
    boxes = np.array([[0, 10, 10, 20], [30, 30, 40, 40], [60, 60, 70, 70], [80, 80, 90, 90]], float)
    truth = Truth(boxes, np.array([True, True, True, False]), np.zeros(4, bool), (100, 100))
    found = [
        FoundCell((0, 10, 10, 10), 0.9, True),  # boxed, cut off: not asked for
        FoundCell((30, 30, 10, 10), 0.8, False),
        FoundCell((80, 80, 10, 10), 0.7, False),  # a white cell
        FoundCell((45, 45, 10, 10), 0.6, False),  # nothing
    ]
    result = match(found, truth)
    assert result.pairs == ((1, 1),)
    assert (result.missed, result.invented, result.boxed, result.counted) == (1, 1, 2, 3)
    numbers = figures([result])
    assert (numbers["precision"], numbers["recall"], numbers["f1"]) == (0.5, 0.5, 0.5)
    assert numbers["count_error_median"] == 0.5
    assert "parasitized_found" not in numbers


def test_of_parasitized_cells_the_share_found_is_told():
    boxes = np.array([[20, 20, 30, 30], [40, 40, 50, 50], [60, 60, 70, 70]], float)
    truth = Truth(boxes, np.ones(3, bool), np.array([True, True, False]), (100, 100))
    found = [FoundCell((40, 40, 10, 10), 0.9, False), FoundCell((60, 60, 10, 10), 0.8, False)]
    result = match(found, truth)
    assert (result.parasitized, result.parasitized_found) == (2, 1)
    assert figures([result, result])["parasitized_found"] == 0.5


def test_an_altered_finder_is_refused(tmp_path):
    for name in (FINDER, MANIFEST):
        (tmp_path / name).write_bytes((shipped_finder() / name).read_bytes())
    assert Finder.load(tmp_path, threads=1).name == FinderManifest.read(tmp_path).name
    with (tmp_path / FINDER).open("ab") as file:
        file.write(b"0")
    with pytest.raises(ArtifactError, match="not the file its manifest describes"):
        Finder.load(tmp_path)


def test_a_missing_finder_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        Finder.load(tmp_path)
