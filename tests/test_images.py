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


@pytest.mark.parametrize(("mode", "grey", "alpha"), [("RGB", False, False), ("L", True, False), ("LA", True, True), ("RGBA", False, True)])
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
