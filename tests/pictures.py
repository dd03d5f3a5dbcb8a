"""Files of pictures, good and bad, as bytes."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms

SAVED = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "WEBP", "AVIF", "HEIF")
"""Every format that may be sent in, as Pillow names it."""


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """An MPO gets a companion, as a phone's has."""
    if form == "MPO":
        options |= {"save_all": True, "append_images": [image.rotate(180)]}
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def animated(frames: list[Image.Image], form: str) -> bytes:
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


def bombs() -> dict[str, bytes]:
    """Small files whose headers promise hundreds of megapixels."""
    small = Image.new("RGB", (640, 480), (200, 150, 160))
    files = {form: encoded(small, form) for form in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "HEIF")}
    side = struct.pack(">I", 20_000)
    png, jpeg, tiff = files["PNG"], files["JPEG"], files["TIFF"]
    head = b"IHDR" + side + side + png[24:29]
    webp, heif = files["WEBP"].index(b"\x9d\x01\x2a") + 3, files["HEIF"].index(b"ispe") + 8
    frame = jpeg.index(b"\xff\xc0") + 5
    for tag, length in ((256, 640), (257, 480)):
        tiff = tiff.replace(
            struct.pack("<HHII", tag, 4, 1, length), struct.pack("<HHII", tag, 4, 1, 20_000)
        )
    return {
        "PNG": png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:],
        "JPEG": jpeg[:frame] + 2 * struct.pack(">H", 20_000) + jpeg[frame + 4 :],
        "TIFF": tiff,
        "BMP": files["BMP"][:18] + 2 * struct.pack("<I", 20_000) + files["BMP"][26:],
        "WEBP": files["WEBP"][:webp] + 2 * struct.pack("<H", 9_000) + files["WEBP"][webp + 4 :],
        "HEIF": files["HEIF"][:heif] + side + side + files["HEIF"][heif + 8 :],
    }


DISPLAY_P3 = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
"""What phones photograph in: its primaries, adapted to D50 (SMPTE EG 432-1)."""


def wide_profile() -> bytes:
    """An ICC profile with the primaries of Display P3 and the curve of sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    for entry in range(132, 132 + 12 * count, 12):
        tag, offset, _ = struct.unpack_from(">4sII", profile, entry)
        if tag in DISPLAY_P3:
            fixed = [round(value * 65536) for value in DISPLAY_P3[tag]]
            struct.pack_into(">3i", profile, offset + 8, *fixed)
    return bytes(profile)
