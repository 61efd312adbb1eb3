"""Image files as 8-bit RGB pixels.

formats     the list FORMATS, recognised by content; EPS and other formats with programs inside are never decoded
animated    the first picture (GIF, WebP, APNG; pages of TIFF)
turned      by the EXIF orientation, as in a viewer
transparent laid over white
grey        three equal channels; 16 bits are scaled to 8 (65535 is white), not clipped
CMYK, YCbCr through Pillow's conversion, without colour profiles
else        rejected with `image_mode`: integers and floats of 32 bits have no fixed white, LAB has no conversion
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, MissingBackend, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # AVIF where Pillow was built so
MAX_PIXELS = 50_000_000  # 150 MB as RGB
_ORIENTATION = 0x0112
_DIRECT = ("1", "L", "CMYK", "YCbCr", "HSV")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_WHITE = (255, 255, 255, 255)

# Errors of Pillow's decoders on damaged data.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip

RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A decoded image. `pixels` (height, width, 3) uint8; `animated`: it had more pictures than this first one."""

    pixels: RGB
    format: str
    animated: bool

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return int(self.pixels.shape[1])


def require_pillow(what: str) -> Any:
    """The module PIL.

    Raises:
        MissingBackend: it is not installed.
    """
    try:
        import PIL.Image
    except ImportError:
        raise MissingBackend.package(what, "pillow", "hf") from None
    return PIL


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in the bytes of a file.

    Args:
        data: the whole file.
        max_pixels: largest width x height to decode.

    Raises:
        BadInput: `image_empty`, `image_unknown` (no supported image), `image_too_large`, `image_mode`,
            `image_damaged` (also a truncated one: no grey filling).
    """
    Image = require_pillow("reading images").Image  # noqa: N806 - the module's name
    if not data:
        raise BadInput("image_empty", "the file is empty")
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with _quiet(), Image.open(io.BytesIO(data), formats=formats) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise BadInput(
                    "image_too_large", f"{width} x {height} pixels; at most {max_pixels:,} are decoded (max_pixels)"
                )
            if not width or not height:
                raise BadInput("image_empty", f"the image has {width} x {height} pixels")
            animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # a camera's JPEG
            image.load()
            pixels = np.ascontiguousarray(_rgb(_upright(image)))
            return Picture(pixels, str(image.format), animated)
    except BadInput:
        raise
    except Image.UnidentifiedImageError:
        raise BadInput(
            "image_unknown", f"no image that is read here ({', '.join(formats)}); its first bytes are {data[:8]!r}"
        ) from None
    except Image.DecompressionBombError as error:
        raise BadInput(
            "image_too_large", f"{first_line(error)[:160]}; at most {max_pixels:,} pixels are decoded"
        ) from None
    except _DAMAGE as error:
        raise BadInput("image_damaged", f"the image cannot be decoded ({first_line(error)[:160]})") from None


_warnings = threading.Lock()  # Python's filters of warnings belong to the process, not to a thread


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings of damaged metadata and many pixels: errors and limits are checked here."""
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _upright(image: Image) -> Image:
    """Turned as its EXIF says; a damaged EXIF says nothing."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:
        return image
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image) -> RGB:
    """RGB pixels, by the rules of the module docstring."""
    from PIL import Image

    if image.mode in _ALPHA or "transparency" in image.info:
        seen = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", seen.size, _WHITE), seen).convert("RGB"))
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode == "P" or image.mode in _DIRECT:
        return np.asarray(image.convert("RGB"))
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257, to the nearest
        return np.repeat(grey[..., None], 3, axis=2)
    raise BadInput("image_mode", f"pixels of the mode {image.mode!r} cannot be shown as RGB; convert the image first")
