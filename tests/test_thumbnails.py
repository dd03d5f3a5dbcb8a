import io

import pytest
from PIL import Image

from diagnosis import thumbnails


@pytest.mark.parametrize(("side", "needed"), [(480, False), (481, True)])
def test_only_large_photographs_are_made_small(side, needed):
    assert thumbnails.is_needed(100, side) is needed


def test_a_thumbnail_keeps_the_shape():
    file = io.BytesIO()
    Image.new("RGB", (1600, 800), "pink").save(file, "PNG")
    file.seek(0)
    small = Image.open(io.BytesIO(thumbnails.thumbnail(file)))
    assert small.size == (320, 160)
    assert small.getpixel((5, 5))[0] > 240
