import io

import numpy as np
import pytest
from django.core.files.base import ContentFile
from PIL import Image

from diagnosis import thumbnails
from ml.drawing import draw_field
from tests.people import laboratory_of
from tests.pictures import encoded
from tests.readings import new_image, new_slide


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


@pytest.mark.parametrize(("side", "has_view"), [(480, False), (481, True), (16_384, False)])
def test_what_is_small_or_too_long_is_looked_at_as_it_is_stored(side, has_view):
    assert thumbnails.has_view(100, side) is has_view


@pytest.mark.django_db
class TestView:
    @pytest.fixture
    def photo(self):
        return draw_field(5, cells=48, parasitized=4)

    @pytest.fixture
    def image(self, photo):
        image = new_image(new_slide(laboratory_of("ada")))
        image.file.save("", ContentFile(encoded(photo, "PNG")))
        return image

    def test_it_is_the_photograph_in_fewer_bytes(self, image, photo):
        view = thumbnails.view(image)
        seen = Image.open(io.BytesIO(view)).convert("RGB")
        error = np.asarray(seen, float) - np.asarray(photo, float)
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
        assert len(view) < image.file.size / 2

    def test_it_is_made_once(self, image):
        assert thumbnails.view(image) is thumbnails.view(image)
