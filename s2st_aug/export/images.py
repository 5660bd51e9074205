"""The image files of an export: a variant in its source's file type and quality class, which give nothing away."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from s2st_aug.arrays import Box
from s2st_aug.errors import CheckFailed, LabelError
from s2st_aug.formats.label_images import stored_orientation
from s2st_aug.formats.pixels import Orientation
from s2st_aug.formats.small_files import read_from
from s2st_aug.images import ORIENTATION, SYNTHETIC, encode_png, read_photo

ImageFormat = Literal["png", "jpeg"]
_JPEG = frozenset({".jpg", ".jpeg"})
_GREY = np.uint8(114)  # what YOLO trainers pad with
PNG_HEADER = 8 + 25  # bytes of the signature and IHDR
_HEAD = 1 << 12  # bytes of an image file, in which most say all that they say before their pixels


def variant_suffix(source: str, image_format: ImageFormat | None) -> str:
    """The suffix of a variant's file: the source's own, or that of the format asked for."""
    own = _suffix(source)
    if image_format is None:
        return own if own.lower() in _JPEG | {".png"} else ".png"
    same = own.lower() in _JPEG if image_format == "jpeg" else own.lower() == ".png"
    return own if same else {"png": ".png", "jpeg": ".jpg"}[image_format]


def is_as_stored(image: str, suffix: str) -> bool:
    """Whether a file has the type that goes out already."""
    return _type(_suffix(image)) == _type(suffix)


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return dot + suffix if stem else ""


def _type(suffix: str) -> str:
    return ".jpg" if suffix.lower() in _JPEG else suffix.lower()


def painted(pixels: np.ndarray, hidden: tuple[Box, ...], kept: tuple[Box, ...]) -> np.ndarray:
    """The image (uint8, `h w 3`) with the hidden boxes filled grey, but for what lies in a box that is kept."""
    cover = np.zeros(pixels.shape[:2], dtype=bool)
    for boxes, value in ((hidden, True), (kept, False)):
        for x1, y1, x2, y2 in boxes:
            cover[max(math.floor(y1), 0) : max(math.ceil(y2), 0), max(math.floor(x1), 0) : max(math.ceil(x2), 0)] = (
                value
            )
    return np.where(cover[..., None], _GREY, pixels)


def transcoded(
    image: Path,
    sha256: str | None,
    source: Path,
    suffix: str,
    marks: Mapping[str, str] = SYNTHETIC,
    paint: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    orientation: Orientation = "ignore",
    tag: int = 1,
) -> bytes:
    """An image in another file type; a JPEG takes the source's own quantisation tables and chroma subsampling.

    `marks` are its PNG's text chunks or JPEG's comment; a real image has none. `orientation` is how the image is read,
    and `tag` the EXIF orientation that the written one says to have. Raises CheckFailed where the file is not
    the one that its manifest names, UnreadableImage where it is no image.
    """
    from PIL import Image

    pixels, exif = _pixels(image, sha256, orientation), Image.Exif()
    pixels = paint(pixels) if paint else pixels
    if tag != 1:
        exif[ORIENTATION] = tag
    if suffix.lower() not in _JPEG:
        return with_exif(encode_png(pixels, text=marks), exif.tobytes() if tag != 1 else b"")
    out, said = io.BytesIO(), {"exif": exif} if tag != 1 else {}
    Image.fromarray(pixels).save(out, "JPEG", comment=marks.get("Comment", ""), **said, **jpeg_class(source))
    return out.getvalue()


def _pixels(image: Path, sha256: str | None, orientation: Orientation) -> np.ndarray:
    try:
        data = image.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{image}: cannot be read ({error.strerror or error})") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise CheckFailed(f"{image}: not the file that the manifest names; run `s2st-aug verify`")
    return read_photo(data, orientation=orientation).rgb


def with_exif(png: bytes, exif: bytes) -> bytes:
    """PNG bytes with an eXIf chunk behind the header; as they are without `exif`."""
    if not exif:
        return png
    body = b"eXIf" + exif.removeprefix(b"Exif\x00\x00")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:PNG_HEADER] + chunk + png[PNG_HEADER:]


def orientation_tag(source: str | Path) -> int:
    """The EXIF orientation 1..8 of an image file; 1 where it says none, or is no image."""
    try:
        if _is_untagged(read_from(source, 0, _HEAD)):
            return 1
        tag = stored_orientation(Path(source))
    except (OSError, LabelError):
        return 1
    return tag if 1 <= tag <= 8 else 1


def _is_untagged(head: bytes) -> bool:
    """Whether all that a PNG or JPEG says before its pixels is in these first bytes, and has no orientation.

    So it is with most images; Pillow's parsing takes several times as long.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        words, at = (b"eXIf", b"exif"), 8
        while (kind := head[at + 4 : at + 8]) not in (b"IDAT", b""):
            at += 12 + int.from_bytes(head[at : at + 4], "big")
        return kind == b"IDAT" and not any(word in head[:at] for word in words)
    if head.startswith(b"\xff\xd8"):
        words, at = (b"Exif", b"Orientation"), 2
        while head[at : at + 1] == b"\xff" and head[at + 1 : at + 2] != b"\xda":
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
        return head[at : at + 2] == b"\xff\xda" and not any(word in head[:at] for word in words)
    return False


def jpeg_class(source: Path) -> dict[str, Any]:
    """Pillow's settings that give a JPEG the source's quality; quality 90, 4:2:0 where the source is none."""
    from PIL import Image, JpegImagePlugin

    plain = {"quality": 90, "subsampling": 2}
    try:
        with Image.open(source) as opened:
            if not isinstance(opened, JpegImagePlugin.JpegImageFile) or opened.mode != "RGB":
                return plain
            if sorted(opened.quantization) not in (
                [0],
                [0, 1],
                [0, 1, 2],
                [0, 1, 2, 3],
            ):  # a damaged file; the encoder would raise
                return plain
            sampling = JpegImagePlugin.get_sampling(opened)
            progressive = bool(opened.info.get("progressive"))
            return {"qtables": opened.quantization, "subsampling": max(sampling, 0), "progressive": progressive}
    except (OSError, SyntaxError):
        return plain
