"""Files that nobody should upload, and some that one may: a corpus without end from one seed.

    for name, content in corpus(seed=1): ...

Three kinds take turns: pictures of every format that Pillow writes, the same with damaged bytes,
and monsters made by hand.
"""

import io
import itertools
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image, PngImagePlugin

from ml.drawing import draw_cell, draw_field

File = tuple[str, bytes]
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "I", "I;16", "F")
NAMES = (
    "cell.png", "..", "../../etc/passwd", "C:\\windows\\cell.png", "nul\x00byte.png", "a" * 250,
    "\u202egnp.exe", "\U0001f9a0\U0001f9ab.jpg", '"; rm -rf /', "=HYPERLINK(1).png",
    "a\r\nX: y.png", "<script>alert(1)</script>.png", "", " ", ".png", "con.png", "%00.png",
    "ё" * 300 + ".tif", "\ufeff\u200b", "cell.png/", "{{7*7}}.png", "${x}.gif", "\x1b[31mred.bmp",
)  # fmt: skip


def corpus(seed: int) -> Iterator[File]:
    chance = random.Random(seed)
    for kind in itertools.cycle((damaged, damaged, monster, sound)):
        yield kind(chance)


def formats() -> list[str]:
    Image.init()
    return sorted(set(Image.SAVE) - {"PDF", "HDF5", "BUFR", "GRIB", "WMF", "STUB"})


@cache
def encoded(format: str, mode: str, seed: int, size: int = 60) -> bytes | None:
    """Nothing where the format has no such mode."""
    file = io.BytesIO()
    try:
        draw_cell(seed, bool(seed % 2), size).convert(mode).save(file, format)
    except (OSError, ValueError, KeyError, SystemError, AttributeError, TypeError):
        return None
    return file.getvalue()


@cache
def choices() -> list[tuple[str, str]]:
    return [(f, m) for f in formats() for m in MODES if encoded(f, m, 0)]


def sound(chance: random.Random) -> File:
    format, mode = chance.choice(choices())
    content = encoded(format, mode, chance.randrange(40))
    assert content
    return chance.choice(NAMES) or "none", content


def damaged(chance: random.Random) -> File:
    name, content = sound(chance)
    for _ in range(chance.choice((1, 1, 2, 5))):
        content = chance.choice(DAMAGES)(bytearray(content), chance)
    return name, content


def flipped(content: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 3, 30)) if content else 0):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def header_set(content: bytearray, chance: random.Random) -> bytes:
    """Sizes, counts and offsets stand in the first bytes."""
    value = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
    at = chance.randrange(max(1, min(100, len(content))))
    content[at : at + 4] = value
    return bytes(content)


def cut(content: bytearray, chance: random.Random) -> bytes:
    return bytes(content[: chance.randrange(len(content) + 1)])


def blanked(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    size = min(chance.choice((1, 16, 500)), len(content) - at)
    content[at : at + size] = bytes(size)
    return bytes(content)


def repeated(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    part = bytes(content[at : at + 200])
    return bytes(content[:at] + part * chance.choice((2, 50)) + content[at:])


def stuffed(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return bytes(content[:at]) + chance.randbytes(chance.choice((1, 4, 300))) + bytes(content[at:])


DAMAGES = (flipped, header_set, cut, blanked, repeated, stuffed)


def monster(chance: random.Random) -> File:
    made = chance.choice(MONSTERS)
    return f"{made.__name__}.png", made()


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def png_of(width: int, height: int, data: bytes = b"", *more: bytes, depth: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = b"".join(more) + chunk(b"IDAT", data or zlib.compress(b"\0" * 10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def cell() -> Image.Image:
    return draw_cell(3, True, 60)


def nothing() -> bytes:
    return b""


def noise() -> bytes:
    return random.Random(5).randbytes(50_000)


def text() -> bytes:
    return b"Patient list\n" * 500


def vector() -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def postscript() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(x) (r) file quit\n"


def bomb_of_zeros() -> bytes:
    """49 megapixels in 143 kB: just below the limit."""
    return png_of(7_000, 7_000, zlib.compress(bytes(7_000 * 21_001), 9))


def flood_of_pixels() -> bytes:
    return png_of(40_000, 40_000)


def enormous() -> bytes:
    return png_of(2**31 - 1, 2**31 - 1)


def no_width() -> bytes:
    return png_of(0, 60)


def lying_height() -> bytes:
    """Promises far more lines than it has."""
    return png_of(60, 60_000)


def sliver() -> bytes:
    return png_of(1, 49_000_000)


def inflating_text() -> bytes:
    """Comments of 64 MB in a few kB."""
    note = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(64_000_000), 9))
    return png_of(60, 60, zlib.compress(bytes(181 * 60)), *[note] * 8)


def inflating_profile() -> bytes:
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64_000_000), 9))
    return png_of(60, 60, zlib.compress(bytes(181 * 60)), profile)


def many_notes() -> bytes:
    notes = PngImagePlugin.PngInfo()
    for number in range(3_000):
        notes.add_text(f"note{number}", "x" * 200)
    return saved(cell(), "PNG", pnginfo=notes)


def huge_exif() -> bytes:
    return saved(cell(), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 8_000_000)


def endless_exif() -> bytes:
    """Its directory points to itself."""
    loop = struct.pack(">HHHII", 1, 0x8769, 4, 1, 8) + struct.pack(">I", 8)
    return saved(cell(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + loop)


def wrong_turn() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 77
    return saved(cell(), "JPEG", exif=exif.tobytes())


def many_frames() -> bytes:
    tiny = [Image.new("RGB", (30, 30), (number % 255, number // 255, 9)) for number in range(2_000)]
    return saved(tiny[0], "GIF", save_all=True, append_images=tiny[1:])


def moving_png() -> bytes:
    tiny = [Image.new("RGB", (30, 30), (number % 255, 0, 0)) for number in range(300)]
    return saved(tiny[0], "PNG", save_all=True, append_images=tiny[1:])


def many_pages() -> bytes:
    pages = [Image.new("L", (30, 30), number % 255) for number in range(1_000)]
    return saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def page_of_itself() -> bytes:
    """The directory of a TIFF's second page is its first."""
    content = bytearray(saved(Image.new("L", (30, 30)), "TIFF"))
    at = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[at : at + 2])[0]
    end = at + 2 + 12 * entries
    content[end : end + 4] = struct.pack("<I", at)
    return bytes(content)


def not_numbers() -> bytes:
    values = np.full((60, 60), np.nan, np.float32)
    values[::2] = np.inf
    values[::3] = -1e38
    return saved(Image.fromarray(values), "TIFF")


def packed_tiff() -> bytes:
    return saved(Image.new("RGB", (7_000, 7_000)), "TIFF", compression="tiff_lzw")


def upside_down() -> bytes:
    content = bytearray(saved(cell(), "BMP"))
    content[22:26] = struct.pack("<i", -(2**31))
    return bytes(content)


def with_archive() -> bytes:
    return saved(cell(), "PNG") + b"PK\x03\x04" + b"x" * 1_000


def with_page() -> bytes:
    return saved(cell(), "JPEG", comment=b"<script>alert(1)</script>") + b"<html><script>"


def script_first() -> bytes:
    return b"GIF89a/*" + saved(cell().convert("P"), "GIF")[8:] + b"*/=1;alert(1)"


def program() -> bytes:
    return b"\x7fELF" + saved(cell(), "PNG")


def a_field() -> bytes:
    return saved(draw_field(5), "JPEG")


def all_black() -> bytes:
    return saved(Image.new("RGB", (60, 60)), "PNG")


def speck() -> bytes:
    return saved(Image.new("RGB", (1, 1)), "PNG")


MONSTERS: tuple[Callable[[], bytes], ...] = tuple(
    cache(made)
    for made in (
        nothing, noise, text, vector, postscript, bomb_of_zeros, flood_of_pixels, enormous,
        no_width, lying_height, sliver, inflating_text, inflating_profile, many_notes, huge_exif,
        endless_exif, wrong_turn, many_frames, moving_png, many_pages, page_of_itself,
        not_numbers, packed_tiff, upside_down, with_archive, with_page, script_first, program,
        a_field, all_black, speck,
    )
)  # fmt: skip
