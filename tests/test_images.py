"""Image files in and out in their own form."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from s2st_aug import images
from s2st_aug.errors import UnreadableImage


@pytest.fixture
def photo() -> np.ndarray:
    y, x = np.mgrid[0:37, 0:53]
    return np.stack([x * 4, y * 6, (x * y) % 256], -1).astype(np.uint8)


def _png(mode: str, array: np.ndarray, **extra) -> bytes:
    out = io.BytesIO()
    PIL.Image.fromarray(array).convert(mode).save(out, "PNG", **extra)
    return out.getvalue()


def test_plain_png_comes_back_bit_for_bit_marked_and_without_time(photo):
    data = images.encode_png(photo)
    assert (images.read_image(data) == photo).all()
    assert data == images.encode_png(photo.copy())
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.text["Synthetic"] == "true"
        assert "Creation Time" not in image.text
    assert b"tIME" not in data


@pytest.mark.parametrize(
    ("mode", "grey", "alpha"), [("RGB", False, False), ("L", True, False), ("LA", True, True), ("RGBA", False, True)]
)
def test_eight_bit_forms_come_back(photo, mode, grey, alpha):
    read = images.read_photo(_png(mode, photo))
    assert (read.form.bits, read.form.grey, read.form.alpha is not None) == (8, grey, alpha)
    again = images.read_photo(images.encode_png(read.rgb, read.form))
    assert (again.rgb == read.rgb).all()
    if alpha:
        assert (again.form.alpha == read.form.alpha).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_files_come_back_in_sixteen_bits(photo, channels):
    deep = np.dstack([photo, photo[..., :1]])[..., :channels].astype(np.uint16) * 257
    data = cv2.imencode(".png", deep)[1].tobytes()
    read = images.read_photo(data)
    assert read.form.bits == 16
    assert read.form.grey == (channels == 1)
    out = cv2.imdecode(np.frombuffer(images.encode_png(read.rgb, read.form), np.uint8), cv2.IMREAD_UNCHANGED)
    assert out.dtype == np.uint16
    assert (out == deep.squeeze()).all()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _deep_png(pixels: np.ndarray, colour_type: int, clear: bytes = b"") -> bytes:
    """By hand: OpenCV writes no 16-bit grey with alpha, and no tRNS."""
    size = pixels.shape[1].to_bytes(4, "big") + pixels.shape[0].to_bytes(4, "big")
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    transparent = _chunk(b"tRNS", clear) if clear else b""
    header = _chunk(b"IHDR", size + bytes([16, colour_type, 0, 0, 0]))
    return images.SIGNATURE + header + transparent + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _deep_pnm(pixels: np.ndarray, white: int) -> bytes:
    kind = "P5" if pixels.ndim == 2 else "P6"
    return (
        f"{kind}\n# a comment\n{pixels.shape[1]} {pixels.shape[0]}\n{white}\n".encode() + pixels.astype(">u2").tobytes()
    )


def _forms() -> dict[str, tuple[bytes, int, int]]:
    """Files of every form, each with the bits and the PNG colour type that its variant should have."""
    y, x = np.mgrid[0:37, 0:53]
    rgb = np.stack([x * 4, y * 6, (x * y) % 256], -1).astype(np.uint8)
    grey, deep = rgb[..., 2], rgb.astype(np.uint16) * 257
    bgr = np.ascontiguousarray(deep[..., ::-1])
    pictures = {"grey": deep[..., 2], "rgb": bgr, "rgba": np.dstack([bgr, deep[..., :1]])}
    tiff = {name: cv2.imencode(".tif", pixels)[1].tobytes() for name, pixels in pictures.items()}
    return {
        "L": (_png("L", rgb), 8, 0),
        "LA": (_png("LA", np.dstack([rgb, grey])), 8, 4),
        "L tRNS": (_png("L", rgb, transparency=5), 8, 4),
        "RGB": (_png("RGB", rgb), 8, 2),
        "RGB tRNS": (_png("RGB", rgb, transparency=(1, 2, 3)), 8, 6),
        "RGBA": (_png("RGBA", np.dstack([rgb, grey])), 8, 6),
        "16-bit L": (cv2.imencode(".png", deep[..., 2])[1].tobytes(), 16, 0),
        "16-bit L tRNS": (_deep_png(deep[..., 2], 0, b"\0\0"), 16, 4),
        "16-bit LA": (_deep_png(np.dstack([deep[..., 2], deep[..., 0]]), 4), 16, 4),
        "16-bit RGB tRNS": (_deep_png(deep, 2, b"\0" * 6), 16, 6),
        "16-bit TIFF L": (tiff["grey"], 16, 0),
        "16-bit TIFF RGB": (tiff["rgb"], 16, 2),
        "16-bit TIFF RGBA": (tiff["rgba"], 16, 6),
        "16-bit PGM": (_deep_pnm(deep[..., 2], 65535), 16, 0),
        "16-bit PPM": (_deep_pnm(deep, 65535), 16, 2),
        "10-bit PGM": (_deep_pnm(deep[..., 2] // 64, 1023), 16, 0),
        "10-bit PPM": (_deep_pnm(deep // 64, 1023), 16, 2),
        "8-bit PPM": (b"P6 53 37 255\n" + rgb.tobytes(), 8, 2),
    }


@pytest.mark.parametrize("name", _forms())
def test_every_form_comes_back_in_its_size_depth_and_colour_type(photo, name):
    data, bits, colour_type = _forms()[name]
    read = images.read_photo(data)
    shown = np.repeat(photo[..., 2:], 3, axis=2) if read.form.grey else photo
    if "L" not in name or bits == 16:  # Pillow's L is the luma of the photo, not its third channel
        assert np.abs(read.rgb.astype(int) - shown).max() <= 1
    written = images.encode_png(read.rgb, read.form)
    assert written == images.encode_png(read.rgb, read.form)
    assert (int.from_bytes(written[16:20], "big"), int.from_bytes(written[20:24], "big")) == (53, 37)
    assert (written[24], written[25]) == (bits, colour_type)
    with PIL.Image.open(io.BytesIO(written)) as image:
        image.load()
        assert image.text["Synthetic"] == "true"
    again = images.read_photo(written)
    assert (again.rgb == read.rgb).all()
    assert (again.form.bits, again.form.grey) == (bits, colour_type in (0, 4)) == (read.form.bits, read.form.grey)
    assert np.array_equal(again.form.alpha, read.form.alpha) if colour_type > 2 else again.form.alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_or_left_alone(photo, orientation):
    exif = PIL.Image.Exif()
    exif[images.ORIENTATION] = orientation
    data = _png("RGB", photo, exif=exif)
    upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))))
    assert (images.read_image(data) == upright).all()
    assert (images.read_photo(data, orientation="ignore").rgb == photo).all()


def test_palette_with_transparency_keeps_it(photo):
    image = PIL.Image.fromarray(photo).quantize(16)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=3)
    assert images.read_photo(out.getvalue()).form.alpha is not None


@pytest.mark.parametrize("cut", [0, 8, 20, 60, 400])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_cut_short_is_unreadable_in_one_line(photo, cut, kind):
    out = io.BytesIO()
    PIL.Image.fromarray(photo).save(out, kind)
    with pytest.raises(UnreadableImage) as error:
        images.read_image(out.getvalue()[:cut])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"%PDF-1.4 hello"])
def test_what_is_no_image_is_unreadable(data):
    with pytest.raises(UnreadableImage, match="not a readable image"):
        images.read_image(data)


def test_missing_file_names_its_path(tmp_path):
    with pytest.raises(UnreadableImage, match=r"gone\.png: cannot be read"):
        images.read_photo(tmp_path / "gone.png")


def test_a_bomb_is_refused_by_its_header():
    bomb = images.encode_png(np.zeros((4, 4, 3), np.uint8))
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + bomb[24:29]
    bomb = bomb[:12] + header + zlib.crc32(header).to_bytes(4, "big") + bomb[33:]
    with pytest.raises(UnreadableImage):
        images.read_image(bomb)
    with pytest.raises(UnreadableImage, match="more than 10 pixels"):
        images.read_photo(images.encode_png(np.zeros((4, 4, 3), np.uint8)), max_pixels=10)


def test_jpeg_is_deterministic_and_marked(photo):
    data = images.encode_jpeg(photo, 90)
    assert data == images.encode_jpeg(photo, 90)
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert b"synthetic" in image.info["comment"]


def test_lab_and_back(photo):
    assert np.abs(images.from_lab(images.to_lab(photo)).astype(int) - photo).max() <= 1
    white = images.to_lab(np.full((1, 1, 3), 255, np.uint8))
    assert white[0, 0] == pytest.approx([100, 0, 0], abs=0.1)


def test_resize_keeps_the_mean_and_gives_the_size(photo):
    small = images.resize(photo.astype(np.float32), (13, 9))
    assert small.shape == (9, 13, 3)
    assert small.mean() == pytest.approx(photo.mean(), rel=0.01)
    assert images.resize(photo, (53, 37)) is photo
