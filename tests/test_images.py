import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from ml import images
from ml.configuration import TrainingConfig
from ml.drawing import draw_cell
from ml.images import CELL_COLOUR, levelled, normalised, prepared, read_image, resized, square
from ml.limits import MAX_BYTES, UnreadableImage
from tests.pictures import SAVED, animated, bombs, encoded, wide_profile
from tests.servers import ROOT

CELL = draw_cell(3, True, 64, (230, 220, 210))
ON_BLACK = draw_cell(4, False, 64)
TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the camera lay for each value of EXIF's orientation."""


def difference(image, wanted):
    """Mean over all values, 0 to 255."""
    assert image.size == wanted.size
    return np.abs(np.asarray(image, float) - np.asarray(wanted, float)).mean()


def code_of(data):
    with pytest.raises(UnreadableImage) as refusal:
        read_image(data)
    assert str(refusal.value).endswith(".")
    return refusal.value.code


@pytest.mark.parametrize("form", SAVED)
def test_every_format_is_read_under_any_name(form, tmp_path):
    path = tmp_path / "cell.jpeg.txt"
    path.write_bytes(encoded(CELL, form))
    image = read_image(path)
    assert image.mode == "RGB"
    assert difference(image, CELL) < 3
    assert difference(read_image(path.read_bytes()), image) == 0


def test_of_a_phone_s_pictures_the_first_is_read():
    assert difference(read_image(animated([CELL, ON_BLACK], "MPO")), CELL) < 3
    assert difference(read_image(animated([CELL, ON_BLACK], "HEIF")), CELL) < 3


def test_data_of_one_s_own_may_have_any_format_of_pillow():
    data = encoded(CELL, "PPM")
    assert code_of(data) == "not-an-image"
    assert difference(read_image(data, formats=None), CELL) == 0


@pytest.mark.parametrize(
    ("mode", "form", "off"),
    [
        ("1", "PNG", 0),
        ("1", "TIFF", 0),
        ("L", "PNG", 0),
        ("L", "JPEG", 3),
        ("P", "PNG", 0),
        ("P", "BMP", 0),
        ("P", "GIF", 0),
        ("LA", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("RGBA", "WEBP", 3),
        ("CMYK", "JPEG", 3),
        ("CMYK", "TIFF", 0),
        ("YCbCr", "JPEG", 3),
        ("YCbCr", "TIFF", 3),
    ],
)
def test_every_kind_of_pixels_comes_out_as_it_looks(mode, form, off):
    picture = CELL.convert(mode)
    assert difference(read_image(encoded(picture, form)), picture.convert("RGB")) <= off


def half_transparent(mode):
    """The left half of the cell is see-through, its colour there arbitrary."""
    clear = CELL.convert("RGBA")
    clear.paste((10, 200, 30, 0), (0, 0, 32, 64))
    return clear.convert(mode)


@pytest.mark.parametrize(("mode", "form"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP")])
def test_what_is_transparent_comes_out_white(mode, form):
    image = read_image(encoded(half_transparent(mode), form))
    left, right = image.crop((0, 0, 30, 64)), image.crop((34, 0, 64, 64))
    assert np.asarray(left).min() > 250
    assert difference(right, CELL.convert(mode).convert("RGB").crop((34, 0, 64, 64))) < 3


def test_a_transparent_colour_of_a_palette_comes_out_white():
    picture = Image.new("P", (32, 32), 1)
    picture.putpalette([0, 0, 0, 200, 100, 120, 9, 9, 9])
    picture.paste(2, (0, 0, 16, 32))
    image = read_image(encoded(picture, "PNG", transparency=2))
    assert [image.getpixel((x, 9)) for x in (4, 28)] == [(255, 255, 255), (200, 100, 120)]


GREEN = np.asarray(CELL)[..., 1]
DEEP = GREEN.astype(np.uint16) * 257


@pytest.mark.parametrize(
    ("pixels", "form"),
    [
        (DEEP, "PNG"),
        (DEEP, "TIFF"),
        (DEEP >> 4, "PNG"),
        (DEEP >> 4, "TIFF"),
        (GREEN.astype(np.uint16), "PNG"),
        (DEEP.astype(np.int32), "TIFF"),
    ],
    ids=["16", "16 TIFF", "12 in 16", "12 in 16 TIFF", "8 in 16", "16 in 32 TIFF"],
)
def test_deep_grey_becomes_the_grey_it_shows(pixels, form):
    image = read_image(encoded(Image.fromarray(pixels), form))
    assert (np.asarray(image) == GREEN[..., None]).all()


@pytest.mark.parametrize("scale", [1, 255], ids=["0 to 1", "0 to 255"])
def test_floating_point_tiff_becomes_the_grey_it_shows(scale):
    image = read_image(encoded(Image.fromarray(GREEN.astype(np.float32) / 255 * scale), "TIFF"))
    assert difference(image, Image.fromarray(GREEN).convert("RGB")) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 1e6])
def test_pixels_that_no_camera_made_are_refused(value):
    pixels = GREEN.astype(np.float32)
    pixels[3, 4] = value
    assert code_of(encoded(Image.fromarray(pixels), "TIFF")) == "not-a-photograph"


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("shift", [0, 4], ids=["16 bits", "12 bits in 16"])
def test_deep_colour_becomes_the_colour_it_shows(extension, shift):
    deep = (np.asarray(CELL).astype(np.uint16) * 257 >> shift)[..., ::-1]
    image = read_image(cv2.imencode(extension, deep)[1].tobytes())
    assert difference(image, CELL) == 0


def test_a_dark_photograph_of_eight_bits_stays_dark():
    dark = CELL.point([value // 20 for value in range(256)] * 3)
    assert difference(read_image(encoded(dark, "PNG")), dark) == 0


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "MPO"])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_photograph_stands_upright_however_the_camera_lay(orientation, form):
    upright = Image.new("RGB", (48, 32), "red")
    upright.paste("lime", (24, 0, 48, 16))
    upright.paste("blue", (0, 16, 24, 32))
    turn = TURNED[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"tiffinfo": {274: orientation}} if form == "TIFF" else {"exif": exif.tobytes()}
    assert difference(read_image(encoded(stored, form, **options)), upright) < 12


def test_nothing_but_pixels_is_kept():
    exif = Image.Exif()
    exif[271] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(CELL, "JPEG", exif=exif.tobytes(), comment=b"Jane Doe", icc_profile=profile)
    image = read_image(data)
    assert image.info == {}
    assert not image.getexif()
    again = Image.open(io.BytesIO(encoded(image, "PNG")))
    assert again.info == {}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_a_wider_space_are_converted(mode):
    # sRGB's red is (234, 51, 35) in Display P3.
    picture = Image.new("RGB", (32, 32), (234, 51, 35))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    image = read_image(encoded(picture, "PNG", icc_profile=wide_profile()))
    assert difference(image, Image.new("RGB", (32, 32), "red")) < 3


@pytest.mark.parametrize("profile", [b"no profile", wide_profile()[:300]])
def test_a_profile_that_cannot_be_used_leaves_the_colours(profile):
    for mode in ("RGB", "L"):
        data = encoded(CELL.convert(mode), "PNG", icc_profile=profile)
        assert difference(read_image(data), CELL.convert(mode).convert("RGB")) == 0


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 20, b"Exif\0\0"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_no_harm(exif):
    for form in ("JPEG", "PNG", "WEBP"):
        assert difference(read_image(encoded(CELL, form, exif=exif)), CELL) < 3


def test_an_empty_file_is_refused():
    assert code_of(b"") == "empty"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(UnreadableImage, match="cannot be read") as refusal:
            read_image(path)
        assert refusal.value.code == "unreadable"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        *((form, {}) for form in (*SAVED, "GIF")),
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_a_truncated_file_is_said_to_be_cut_off(form, options, share):
    data = encoded(draw_cell(1, True), form, **options)
    if form == "MPO":  # of which the first picture is whole in the first half
        share = min(share, 0.45)
    with pytest.raises(UnreadableImage, match="cut off") as refusal:
        read_image(data[: int(len(data) * share)])
    assert refusal.value.code in ("truncated", "broken")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF", "HEIF"])
def test_even_the_last_bytes_are_missed(form):
    assert code_of(encoded(CELL, form)[:-8]) in ("truncated", "broken")


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"%PDF-1.7 ...",
        b"PK\x03\x04" + bytes(100),
        b"GIF",
        b"RIFF....WAVEfmt ",
        bytes(5000),
        b"<!---->" * 600,
        "<svg/>".encode("utf-16"),
    ],
)
def test_what_is_no_image_is_refused(data):
    assert code_of(data) == "not-an-image"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xef\xbb\xbf\n<svg>",
        b'<?xml version="1.0"?>\n<!-- a > b -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        b'"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n<svg width="9">',
        b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg:svg xmlns:svg='x'>",
        b"<!-- <p> --><SVG>",
    ],
)
def test_a_drawing_is_refused(data):
    assert code_of(data) == "svg"


def test_a_file_of_more_than_20_mb_is_refused_without_reading_it_all(tmp_path):
    assert code_of(encoded(CELL, "PNG") + bytes(MAX_BYTES)) == "too-large"
    huge = tmp_path / "huge.png"
    huge.touch()
    os.truncate(huge, 10**12)
    assert code_of(huge) == "too-large"


def test_the_limit_of_pixels_is_inclusive(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 64)
    read_image(encoded(CELL, "PNG"))
    assert code_of(encoded(CELL.resize((64, 65)), "PNG")) == "too-many-pixels"


def test_more_than_50_megapixels_are_refused_before_they_take_memory():
    """In a process of its own, whose memory is known; the last file is a true one."""
    program = """
import json, resource, sys
from ml.images import UnreadableImage, read_image
from tests.pictures import bombs, encoded
from PIL import Image
files = bombs() | {"true": encoded(Image.new("1", (7200, 7000)), "PNG")}
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, codes = memory(), {}
for name, data in files.items():
    try:
        codes[name] = str(read_image(data).size)
    except UnreadableImage as refusal:
        codes[name] = refusal.code
print(json.dumps([codes, (memory() - before) / 1024]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    codes, megabytes = json.loads(done.stdout)
    assert set(codes) == {*bombs(), "true"}
    assert set(codes.values()) == {"too-many-pixels"}
    assert megabytes < 20


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_several_frames_or_pages_are_refused(form):
    assert code_of(animated([CELL, ON_BLACK], form)) == "animated"


def test_the_smallest_side_is_24_pixels():
    assert read_image(encoded(CELL.resize((24, 24)), "PNG")).size == (24, 24)
    assert code_of(encoded(CELL.resize((23, 40)), "PNG")) == "too-small"
    assert code_of(encoded(CELL.resize((40, 23)), "PNG")) == "too-small"


FILES = [encoded(CELL, form) for form in (*SAVED, "GIF")]


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4))))
@settings(max_examples=150, deadline=None)
def test_whatever_is_wrong_with_a_file_it_is_an_image_or_a_refusal(data, changes):
    data = bytearray(data)
    for place, piece in changes:
        start = place % len(data)
        data[start : start + len(piece)] = piece
    with contextlib.suppress(UnreadableImage):
        assert read_image(bytes(data)).mode == "RGB"


def test_square_adds_the_colour_of_the_border_and_cuts_nothing():
    wide = Image.new("RGB", (60, 30), (230, 220, 210))
    wide.paste((90, 30, 120), (20, 5, 40, 25))
    whole = np.asarray(square(wide))
    assert whole.shape == (60, 60, 3)
    assert (whole[15:45] == np.asarray(wide)).all()
    assert (whole[:15] == (230, 220, 210)).all()
    assert (whole[45:] == (230, 220, 210)).all()


@pytest.mark.parametrize("size", [(24, 200_000), (200_000, 24), (25, 24), (3000, 2000)])
def test_any_shape_is_resized_in_little_time(size):
    start = time.process_time()
    assert resized(Image.new("RGB", size, "pink"), 64).shape == (64, 64, 3)
    assert time.process_time() - start < 5


def test_a_parasite_survives_the_reduction_of_a_large_crop():
    large = draw_cell(5, True, 1200, (230, 220, 210))
    small = draw_cell(5, True, 128, (230, 220, 210))
    assert difference(Image.fromarray(resized(large, 64)), Image.fromarray(resized(small, 64))) < 4


def body_of(pixels):
    """The median colour of the middle, where there is no parasite."""
    return np.median(pixels[24:40, 24:40].reshape(-1, 3), axis=0)


@pytest.mark.parametrize("gain", [(1, 1, 1), (0.75, 1, 1.2), (1.15, 0.8, 0.9), (0.7, 0.7, 0.7)])
@pytest.mark.parametrize("background", [(0, 0, 0), (230, 220, 210)])
def test_lamp_and_camera_do_not_change_the_colour_of_a_levelled_cell(gain, background):
    cell = np.asarray(draw_cell(2, False, 64, background))
    lit = np.clip(cell * gain, 0, 255).astype(np.uint8)
    levels = [levelled(pixels, CELL_COLOUR).astype(int) for pixels in (cell, lit)]
    assert np.abs(body_of(levels[0]) - CELL_COLOUR).max() <= 16  # the centre is paler
    assert np.abs(levels[0] - levels[1])[16:48, 16:48].max() <= 4


def test_levelling_keeps_black_black_and_the_parasite_darker_than_its_cell():
    cell, healthy = (np.asarray(draw_cell(3, parasitized, 64)) for parasitized in (True, False))
    level = levelled(cell, CELL_COLOUR)
    assert (level[(cell == 0).all(axis=2)] == 0).all()
    assert level[16:48, 16:48].min() < levelled(healthy, CELL_COLOUR)[16:48, 16:48].min() - 40


def test_a_parasite_that_fills_its_cell_is_not_made_as_light_as_a_cell():
    dark = np.full((64, 64, 3), (90, 40, 100), np.uint8)
    assert (levelled(dark, CELL_COLOUR)[..., 1] < 0.5 * CELL_COLOUR[1]).all()


def test_nothing_but_painted_black_is_left_alone():
    black = np.full((64, 64, 3), 10, np.uint8)
    assert (levelled(black, CELL_COLOUR) == black).all()


def test_a_model_that_wants_colours_as_they_are_gets_them():
    cell = draw_cell(1, True, 64)
    as_it_is = TrainingConfig(image_size=64, cell_colour=None)
    assert (prepared(cell, as_it_is) == resized(cell, 64)).all()
    levelled_cell = levelled(resized(cell, 64), CELL_COLOUR)
    assert (prepared(cell, TrainingConfig(image_size=64)) == levelled_cell).all()


def test_normalised_is_what_it_says():
    pixels = np.stack([resized(draw_cell(seed, True), 32) for seed in range(3)])
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    batch = normalised(pixels, mean, std)
    assert batch.shape == (3, 3, 32, 32)
    assert batch.dtype == np.float32
    assert batch.flags["C_CONTIGUOUS"]
    wanted = (pixels / 255 - mean) / std
    np.testing.assert_allclose(batch, wanted.transpose(0, 3, 1, 2), atol=1e-5)


def test_threads_do_not_disturb_each_other():
    files = [encoded(draw_cell(seed, True), form) for seed, form in enumerate(SAVED * 3)]
    alone = [np.asarray(read_image(data)) for data in files]
    together: list[np.ndarray | None] = [None] * len(files)

    def read(index):
        together[index] = np.asarray(read_image(files[index]))

    threads = [threading.Thread(target=read, args=[index]) for index in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
