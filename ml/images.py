"""Any photograph → one upright 8-bit RGB image → the network's input.

Training, evaluation, the command line and the workers all come through here, so that the network
meets the same pixels everywhere.
"""

import io
import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from ml.limits import MAX_BYTES, MAX_PIXELS, MIN_SIDE, UnreadableImage

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "AVIF", "HEIF")
"""What strangers may send; the rest of Pillow is for data of one's own."""
FORMAT_NAMES = "PNG, JPEG, TIFF, BMP, WebP, AVIF or HEIC"
SIGNATURES = rb"\x89PNG|\xff\xd8\xff|II\*\0|MM\0\*|GIF8|RIFF....WEBP|....ftyp(avi|hei|hev|mif)"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CELL_COLOUR = (190, 152, 154)
"""What the body of a red cell is brought to: its usual colour in the NIH slides."""
CELL_RADIUS = 0.35
CELL_QUANTILE = 0.65
PAINTED_BLACK = (25, 25, 25)
MAX_GAIN = 1.8

pillow_heif.register_heif_opener()
# Our own limit is lower and is read from the header; Pillow's would only print a warning.
Image.MAX_IMAGE_PIXELS = None
# What is wrong with a file is said once, in a sentence; damaged metadata are no concern.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(source: bytes | Path, formats: tuple[str, ...] | None = FORMATS) -> Image.Image:
    """Decode a file into an upright RGB image with 8 bits a channel and no metadata.

    Transparent parts come out white. `formats` None takes every format that Pillow knows.
    Raises UnreadableImage with the reason in words.
    """
    data = source if isinstance(source, bytes) else _read_file(source)
    _check_bytes(data)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            _check_header(image)
            deep = _is_deep_colour(image)
            image.load()
            if deep and _is_dim(image):
                return _deep_colour(data)
            return _plain(_to_rgb(_upright(image)))
    except UnreadableImage:
        raise
    except Exception as error:
        raise _in_words(error, data) from None


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableImage("unreadable", f"The file cannot be read: {error.strerror}.") from None


def _check_bytes(data: bytes) -> None:
    if not data:
        raise UnreadableImage("empty", "The file is empty.")
    if len(data) > MAX_BYTES:
        raise UnreadableImage("too-large", f"The file is larger than {MAX_BYTES // 10**6} MB.")
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<") and re.search(rb"<(\w+:)?svg\b", head):
        raise UnreadableImage("svg", "This is an SVG drawing, not a photograph.")
    if data.startswith(b"\x89PNG") and b"IEND" not in data:
        raise _cut_off()


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(
            "too-many-pixels",
            f"The image has {image.width * image.height / 1e6:.1f} megapixels; "
            f"{MAX_PIXELS // 10**6} are the most we read.",
        )
    if min(image.size) < MIN_SIDE:
        raise UnreadableImage(
            "too-small",
            f"The image is {image.width} x {image.height} pixels; "
            f"each side needs at least {MIN_SIDE}.",
        )
    # A phone's MPO or HEIC holds a picture and its companions: the first one is the photograph.
    if image.format not in ("MPO", "HEIF") and _has_second_frame(image):
        raise UnreadableImage(
            "animated", "The file holds several frames or pages; send one still image."
        )


def _has_second_frame(image: Image.Image) -> bool:
    if not getattr(image, "is_animated", False):
        return False
    return getattr(image, "n_frames", 1) > 1


def _in_words(error: Exception, data: bytes) -> UnreadableImage:
    if isinstance(error, MemoryError):
        return UnreadableImage("too-heavy", "Decoding this image takes too much memory.")
    if isinstance(error, Image.UnidentifiedImageError) and not re.match(SIGNATURES, data, re.S):
        return UnreadableImage(
            "not-an-image", f"This is not an image we can read ({FORMAT_NAMES})."
        )
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return _cut_off()
    return UnreadableImage("broken", "The file is damaged or cut off: it cannot be decoded.")


def _cut_off() -> UnreadableImage:
    return UnreadableImage(
        "truncated", "The file is cut off: it did not arrive whole. Send it again."
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(np.asarray(image)).convert("RGB")
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    elif image.mode == "P":
        image = image.convert("RGB")
    return _to_srgb(image, profile) if profile else image.convert("RGB")


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether each colour has 16 bits in the file; once loaded, Pillow keeps the upper 8."""
    return image.mode == "RGB" and ";16" in str(getattr(image, "tile", ""))


def _is_dim(image: Image.Image) -> bool:
    return bool(np.asarray(image).max() < 16)


def _deep_colour(data: bytes) -> Image.Image:
    """Cameras of microscopes write 12 bits in 16: all of the picture is in what Pillow drops."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode what Pillow did")
    return _eight_bits(pixels[..., ::-1])


def _eight_bits(values: np.ndarray) -> Image.Image:
    """Deep pixels to 8 bits: the full scale is the smallest of 8, 12, 16 bits that holds them.

    Floating-point pixels count as 0 to 1 where none is above 1.
    """
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise UnreadableImage("not-a-photograph", "Its pixel values are not those of a photograph.")
    if values.dtype.kind == "f":
        values = np.rint(values * 255 if values.max() <= 1 else values)
    step = next(
        step for limit, step in ((255, 1), (4095, 16), (65535, 256)) if values.max() <= limit
    )
    return Image.fromarray((values // step).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours as the camera meant them: phones photograph in a wider space than sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
        return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _plain(image: Image.Image) -> Image.Image:
    plain = image.copy()
    plain.info = {}
    return plain


def square(image: Image.Image) -> Image.Image:
    """Pad the shorter side with the median colour of the border, so that nothing is cut or bent."""
    side = max(image.size)
    if image.width == image.height:
        return image
    canvas = Image.new("RGB", (side, side), _border_colour(image))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def _border_colour(image: Image.Image) -> tuple[int, ...]:
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return tuple(int(value) for value in np.median(border, axis=0))


def resized(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image as a square: uint8, (size, size, 3)."""
    if max(image.size) > 4 * size:
        image = image.copy()
        image.thumbnail((2 * size, 2 * size), Image.Resampling.BOX)
    return np.asarray(square(image).resize((size, size), Image.Resampling.BILINEAR))


def levelled(pixels: np.ndarray, cell_colour: Sequence[int]) -> np.ndarray:
    """uint8 (h, w, 3) → the same, with the body of the cell in the middle in `cell_colour`.

    Each channel is scaled by one factor, as another lamp, camera or depth of stain would do. The
    body is taken from the middle of the crop: of every channel the 65th percentile, which lies
    above the parasite and below the pale centre. Painted black does not count. The factor is
    bounded: a parasite that fills its cell must not be made as light as a cell.
    """
    import cv2

    black = cv2.inRange(pixels, (0, 0, 0), PAINTED_BLACK)
    seen = cv2.bitwise_and(_disc(*pixels.shape[:2]), cv2.bitwise_not(black))
    shares = [cv2.calcHist([pixels], [c], seen, [256], [0, 256]).cumsum() for c in range(3)]
    if not shares[0][-1]:
        return pixels
    body = [np.searchsorted(share, CELL_QUANTILE * share[-1]) for share in shares]
    gain = np.clip(np.asarray(cell_colour) / np.maximum(body, 1), 1 / MAX_GAIN, MAX_GAIN)
    return np.asarray(cv2.multiply(pixels, np.append(gain, 0.0)), np.uint8)


@lru_cache(maxsize=8)
def _disc(height: int, width: int) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    away = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
    return np.where(away < (CELL_RADIUS * min(height, width)) ** 2, np.uint8(255), np.uint8(0))


class InputForm(Protocol):
    """The part of a training's settings, or of a manifest, that says what a network takes."""

    @property
    def image_size(self) -> int: ...

    @property
    def cell_colour(self) -> Sequence[int] | None: ...


def prepared(image: Image.Image, form: InputForm) -> np.ndarray:
    """An RGB image as the network sees it before normalisation: uint8, (size, size, 3)."""
    pixels = resized(image, form.image_size)
    return pixels if form.cell_colour is None else levelled(pixels, form.cell_colour)


def normalised(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 (n, size, size, 3) → float32 (n, 3, size, size), `(pixel / 255 - mean) / std`."""
    scale = (1 / (255 * np.asarray(std))).astype(np.float32)
    shift = (np.asarray(mean) / np.asarray(std)).astype(np.float32)
    planes = np.empty((len(pixels), 3, *pixels.shape[1:3]), np.float32)
    for channel in range(3):  # in a quarter of the time that all at once and turned takes
        np.multiply(pixels[..., channel], scale[channel], out=planes[:, channel])
        planes[:, channel] -= shift[channel]
    return planes
