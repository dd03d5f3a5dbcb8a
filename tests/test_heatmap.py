import io
import subprocess
import sys

import pytest
from PIL import Image

from diagnosis import heatmap

HOT_CORNER = [[12.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -9.0]]


def drawn(grid, width=128, height=128):
    return Image.open(io.BytesIO(heatmap.draw(grid, width, height)))


def luminance(colour):
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def test_what_is_strong_is_bright_and_what_is_weak_is_clear():
    image = drawn(HOT_CORNER)
    assert image.mode == "RGBA"
    *colour, alpha = image.getpixel((8, 8))
    assert luminance(colour) > 150
    assert alpha == round(255 * heatmap.OPACITY)
    assert image.getpixel((250, 250))[3] == 0


def test_a_map_without_signs_is_clear_everywhere():
    assert drawn([[0.5] * 4] * 4).getextrema()[3] == (0, 0)


def test_only_the_strongest_places_are_covered():
    """A sure answer lifts the whole map; what matters is where it is highest."""
    image = drawn([[5.0] * 4, [5.0, 5.0, 14.0, 5.0], [5.0] * 4, [5.0] * 4])
    assert image.getpixel((160, 96))[3] > 140
    assert image.getpixel((8, 250))[3] == 0


def test_the_colours_rise_in_lightness():
    ramp = [luminance(colour) for colour in heatmap.RAMP]
    assert ramp == sorted(ramp)


def test_one_scale_for_all_images():
    weak, strong = drawn([[3.0] * 4] * 4), drawn([[9.0] * 4] * 4)
    assert luminance(weak.getpixel((9, 9))) < luminance(strong.getpixel((9, 9)))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(40, 20, (256, 128)), (900, 3000, (77, 256))]
)
def test_has_the_shape_of_the_photograph(width, height, size):
    assert drawn(HOT_CORNER, width, height).size == size


def test_covers_the_square_that_the_network_saw():
    """A wide photograph was padded above and below, so the map's corner lies outside it."""
    assert drawn(HOT_CORNER, 128, 32).getextrema()[3] == (0, 0)


def test_needs_no_numpy():
    code = (
        "import sys, diagnosis.heatmap as h; h.draw([[9.0]], 9, 9); print('numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
