from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from ml.drawing import draw_cell, draw_field
from ml.images import read_image
from ml.kinds import kind_of
from tests.realdata import real_images

BACKGROUNDS = [(0, 0, 0), (226, 224, 214)]


def kinds(paths, side=None):
    """What each file is taken for, enlarged so that its longer side is `side`."""

    def kind(path):
        image = read_image(path)
        if side:
            scale = side / max(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)))
        return kind_of(image)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip([path.name for path in paths], pool.map(kind, paths), strict=True))


def others(found, kind):
    return [name for name, other in found.items() if other != kind]


@pytest.mark.parametrize("cells", [20, 60, 200])
@pytest.mark.parametrize("size", [(640, 480), (1280, 960), (960, 1280)])
def test_a_drawn_field_is_a_field(cells, size):
    assert kind_of(draw_field(cells, cells=cells, size=size)) == "field"


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("side", [40, 132, 399, 800])
def test_a_drawn_cell_is_a_cell_at_any_size(side, background):
    for seed in range(4):
        assert kind_of(draw_cell(seed, bool(seed % 2), side, background)) == "cell"


def test_the_picture_is_left_as_it_was():
    field = draw_field(1)
    before = field.tobytes()
    kind_of(field)
    assert field.tobytes() == before


@pytest.mark.parametrize("size", [(400, 20_000), (20_000, 400), (24, 24)])
def test_no_shape_is_too_odd(size):
    assert kind_of(Image.new("RGB", size, "pink")) in ("cell", "field")


def test_every_real_field_of_normal_blood_is_a_field():
    assert not others(kinds(real_images("bccd_fields/images")), "field")


def test_real_fields_of_another_microscope_are_fields():
    assert not others(kinds(real_images("iml_fields/images")[::12]), "field")


@pytest.mark.parametrize("side", [None, 800])
def test_real_crops_are_cells_also_enlarged(side):
    assert not others(kinds(real_images("nih_cells")[::300], side), "cell")
