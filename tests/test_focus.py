"""Which fields are too blurred, or show something else than red cells, to count anything in."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ml.artifact import Manifest, shipped_model
from ml.drawing import draw_field
from ml.field_reading import BLURRED, NO_THIN_FILM, FieldReader, why_unreadable
from ml.fields import Finder, shade, usual_side
from ml.focus import LEAST, focus
from ml.predictor import CellPrediction, Predictor

SIDE = 70
"""Of a drawn cell, about."""


@pytest.fixture(scope="module")
def reader() -> FieldReader:
    return FieldReader(Predictor.load(shipped_model(), threads=2), Finder.load(threads=2))


def blurred(image: Image.Image, share_of_a_cell: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(share_of_a_cell * SIDE))


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_focus_does_not_depend_on_the_magnification(scale):
    image = draw_field(1, cells=40)
    size = (round(image.width * scale), round(image.height * scale))
    larger = np.asarray(image.resize(size))
    assert focus(larger, SIDE * scale) == pytest.approx(focus(np.asarray(image), SIDE), rel=0.25)


def test_blur_lowers_the_focus_step_by_step():
    image = draw_field(2, cells=40)
    found = [focus(np.asarray(blurred(image, share)), SIDE) for share in (0, 0.03, 0.06, 0.12)]
    assert found == sorted(found, reverse=True)
    assert found[0] > LEAST > found[-1]


def test_a_plain_ground_has_no_focus_and_no_error():
    plain = np.full((200, 300, 3), 220, np.uint8)
    assert focus(plain, usual_side(*shade(plain))) < LEAST


def test_a_blurred_field_is_rejected_and_keeps_its_cells(reader):
    sharp, soft = (reader.read(blurred(draw_field(3, cells=40), share)) for share in (0, 0.12))
    assert (sharp.decision, sharp.reasons) == (None, ())
    assert (soft.decision, soft.reasons) == ("rejected", (BLURRED,))
    assert soft.cells


def test_a_field_of_things_that_are_no_red_cells_is_rejected(reader):
    image = draw_field(4, cells=40)
    cells = reader.read(image).cells
    others = [replace(c, said=replace(c.said, decision="rejected")) for c in cells]
    half = len(cells) // 2
    assert why_unreadable(image, [*others[:half], *cells[half:]]) == ""
    assert why_unreadable(image, [*others[: half + 1], *cells[half + 1 :]]) == NO_THIN_FILM


@dataclass(frozen=True)
class Strange:
    """Rejects one cell of `every`, whose probability is given."""

    manifest: Manifest
    every: int
    probability: float = 0.99

    def predict(self, images):
        rejected = CellPrediction("", self.probability, "rejected", ("Why.",), "m", ())
        usual = CellPrediction("", 0.1, "uninfected", (), "m", ())
        return [usual if number % self.every else rejected for number in range(len(images))]


@pytest.mark.parametrize(
    ("probability", "decision"), [(0.99, "uncertain"), (0.4, "uncertain"), (0.01, "rejected")]
)
def test_a_cell_that_may_hold_a_parasite_is_not_set_aside(reader, probability, decision):
    strange = Strange(reader.predictor.manifest, 3, probability)
    reading = replace(reader, predictor=strange).read(draw_field(5, cells=40))
    assert reading.decision is None
    assert {cell.said.decision for cell in reading.cells} == {"uninfected", decision}
    assert reading.cells[0].said.reasons == ("Why.",)


def test_in_a_field_that_shows_no_thin_film_it_is(reader):
    strange = Strange(reader.predictor.manifest, every=1)
    reading = replace(reader, predictor=strange).read(draw_field(5, cells=40))
    assert (reading.decision, reading.reasons) == ("rejected", (NO_THIN_FILM,))
    assert {cell.said.decision for cell in reading.cells} == {"rejected"}
