"""Images: 8-bit RGB of whatever can be shown, one clear reason for whatever cannot."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="Pillow comes with the extra hf")

from PIL import Image

from speechprep.artifacts.media.image import decode
from speechprep.errors import BadInput

WIDTH, HEIGHT = 13, 7
RAMP = (np.arange(HEIGHT * WIDTH * 3) % 256).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


def stored(image: Image.Image, format: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


def code_of(data: bytes, **how: Any) -> str:
    with pytest.raises(BadInput) as told:
        decode(data, **how)
    assert "\n" not in str(told.value)
    return told.value.code


@pytest.mark.parametrize(
    ("format", "how"),
    [("PNG", {}), ("BMP", {}), ("PPM", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG2000", {})],
)
def test_lossless_formats_give_the_pixels_that_were_stored(format: str, how: dict[str, Any]) -> None:
    found = decode(stored(Image.fromarray(RAMP), format, **how))
    assert np.array_equal(found.pixels, RAMP)
    assert (found.width, found.height, found.format, found.animated) == (WIDTH, HEIGHT, format, False)


def test_jpeg_is_what_pillow_decodes() -> None:
    data = stored(Image.fromarray(RAMP), "JPEG", quality=90)
    assert np.array_equal(decode(data).pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_grey_and_black_and_white_have_three_equal_channels() -> None:
    grey = RAMP[..., 0]
    assert np.array_equal(decode(stored(Image.fromarray(grey))).pixels, np.repeat(grey[..., None], 3, axis=2))
    bits = Image.fromarray(grey > 20)
    assert set(np.unique(decode(stored(bits)).pixels)) == {0, 255}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    deep = np.array([[0, 128, 129, 257, 32767, 32896, 65535]], np.uint16)
    found = decode(stored(Image.fromarray(deep), format)).pixels
    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 127, 128, 255]
    assert (found[..., 0] == found[..., 2]).all()


def test_what_is_transparent_lies_over_white() -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = [200, 100, 50, 255]
    clear[0, 1] = [0, 0, 0, 0]
    clear[1, 0] = [0, 0, 0, 128]
    found = decode(stored(Image.fromarray(clear))).pixels
    assert found[0, 0].tolist() == [200, 100, 50]
    assert found[0, 1].tolist() == [255, 255, 255]
    assert found[1, 0].tolist() == [127, 127, 127]


def test_a_transparent_colour_of_a_palette_lies_over_white_too() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60] + [0] * 762)
    found = decode(stored(image, "PNG", transparency=0)).pixels
    assert found[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk_goes_through_pillows_conversion() -> None:
    data = stored(Image.fromarray(RAMP).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(decode(data).pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_an_animation_is_its_first_picture() -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), shade, np.uint8)) for shade in (10, 120, 240)]
    for format in ("GIF", "WEBP", "PNG"):
        how = {"lossless": True} if format == "WEBP" else {}
        found = decode(stored(frames[0], format, save_all=True, append_images=frames[1:], **how))
        assert found.animated
        assert (found.pixels == 10).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_exif_says(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = stored(Image.fromarray(RAMP), "PNG", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    found = decode(data)
    assert np.array_equal(found.pixels, wanted)
    assert (found.width, found.height) == (wanted.shape[1], wanted.shape[0])


def test_a_damaged_exif_turns_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = stored(Image.fromarray(RAMP), "JPEG", exif=exif.tobytes()[:14])
    assert decode(data).pixels.shape == RAMP.shape


def test_32_bit_pixels_have_no_known_white() -> None:
    for wide in (np.ones((2, 2), np.float32), np.ones((2, 2), np.int32)):
        assert code_of(stored(Image.fromarray(wide), "TIFF")) == "image_mode"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"hello", "image_unknown"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "image_unknown"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_unknown"),
        (b"\x89PNG\r\n\x1a\n", "image_unknown"),
        (b"\xff\xd8\xff\xe0", "image_unknown"),
    ],
)
def test_what_is_no_image_says_so(data: bytes, code: str) -> None:
    assert code_of(data) == code


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [7_072, 10_000, 60_000, 2**31 - 1])
def test_a_bomb_is_not_decoded(side: int) -> None:
    assert code_of(png(side, side)) == "image_too_large"


def test_the_limit_of_pixels_is_the_callers() -> None:
    data = stored(Image.fromarray(RAMP))
    assert code_of(data, max_pixels=WIDTH * HEIGHT - 1) == "image_too_large"
    assert decode(data, max_pixels=WIDTH * HEIGHT).width == WIDTH


def test_an_image_without_pixels_is_no_image() -> None:
    assert code_of(png(0, 5)) in ("image_empty", "image_unknown", "image_damaged")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_an_image_that_breaks_off_is_never_filled_up(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = stored(Image.fromarray(noise), format)
    for length in range(1, len(whole) - 64, max(len(whole) // 40, 1)):
        assert code_of(whole[:length]) in ("image_unknown", "image_damaged", "image_empty")


@settings(max_examples=400)
@given(st.data())
def test_damage_anywhere_is_a_reason_or_another_picture(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"]))
    whole = bytearray(stored(Image.fromarray(RAMP), format))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(whole), max_pixels=1_000_000)
    except BadInput:
        return
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == (found.height, found.width, 3)


def test_a_real_file_of_every_kind_is_read_from_disk(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "c.webp", "d.gif", "e.bmp", "f.tif"):
        Image.fromarray(RAMP).save(tmp_path / name)
        assert decode((tmp_path / name).read_bytes()).pixels.shape == RAMP.shape
