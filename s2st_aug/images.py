"""Image files in and out: what a photo shows (8-bit RGB), and the form (depth, grey, alpha) that it comes back in."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import stat
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import PIL.Image
import PIL.TiffImagePlugin

from s2st_aug.arrays import Grey, Image
from s2st_aug.errors import UnreadableImage

MAX_BYTES = 512 << 20  # of an image file
MAX_PIXELS = 80_000_000  # four times a 20-megapixel photo; above it a file counts as a decompression bomb
ORIENTATION = 0x0112  # EXIF tag
BITS_PER_SAMPLE, PLANAR_CONFIGURATION = 258, 284  # TIFF tags
SIGNATURE, GREY_ALPHA = b"\x89PNG\r\n\x1a\n", 4  # of PNG, and its colour type
SYNTHETIC = {
    "Software": "s2st_aug",
    "Synthetic": "true",
    "Comment": "synthetic image: translated by a generative model",
}
LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")

_OPEN_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    PIL.Image.DecompressionBombError,
    PIL.Image.DecompressionBombWarning,
    struct.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """How a photo was stored: what its variant gets back.

    `alpha` is `h w` in the file's own depth (uint8 or uint16), or None.
    """

    bits: Literal[8, 16] = 8
    grey: bool = False
    alpha: np.ndarray | None = None


PLAIN = Form()


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """What a file shows, upright, as 8-bit RGB, and the form it was stored in."""

    rgb: Image
    form: Form


def read_photo(
    source: str | Path | bytes,
    *,
    name: str = "",
    max_pixels: int = MAX_PIXELS,
    orientation: Literal["apply", "ignore"] = "apply",
) -> Photo:
    """A photo from a path or its bytes; `ignore` leaves the pixels as stored, for labels drawn on the stored pixels.

    `name` is what errors call it (default: the path). Raises UnreadableImage, one line, for what is missing, truncated,
    no image, or larger than `max_pixels`.
    """
    name = name or ("image bytes" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{source!s}: cannot be read ({error.strerror or type(error).__name__})") from None
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImage(f"{name}: {image.width}x{image.height} is more than {max_pixels} pixels")
            image.load()
            turn = image.getexif().get(ORIENTATION, 1) if orientation == "apply" else 1
            array = _decode_deep(data, image) if _is_deep(data, image) else _decode_plain(image)
    except PIL.UnidentifiedImageError:
        raise UnreadableImage(f"{name}: not a readable image (no known image format)") from None
    except _OPEN_ERRORS as error:
        why = str(error).split("\n")[0] or type(error).__name__
        raise UnreadableImage(f"{name}: not a readable image ({why})") from None
    return _photo(_upright(array, turn))


def read_image(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """The photo's upright 8-bit RGB pixels alone; raises UnreadableImage."""
    return read_photo(source, max_pixels=max_pixels).rgb


def encode_png(image: Image, form: Form = PLAIN, text: Mapping[str, str] = SYNTHETIC, *, compression: int = 1) -> bytes:
    """PNG bytes in the source's form, with `text` as tEXt chunks; the same bytes for the same pixels, no time stamp."""
    colour = to_uint8(luma(image)) if form.grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    deep = colour.astype(np.uint16) * np.uint16(257) if form.bits == 16 else colour
    stored = deep if form.alpha is None else np.dstack([deep, form.alpha])
    if form.grey and form.alpha is not None:
        return _with_text(_grey_alpha_png(stored, compression), text)
    done, buffer = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape} as PNG")
    return _with_text(buffer.tobytes(), text)


def encode_jpeg(image: Image, quality: int = 95, exif: bytes | None = None) -> bytes:
    """JPEG bytes (4:4:4), marked synthetic in the comment; deterministic. `exif` is carried where given."""
    out = io.BytesIO()
    extra = {"exif": exif} if exif else {}
    PIL.Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=0, comment=SYNTHETIC["Comment"], **extra)
    return out.getvalue()


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To (width, height): area filter where it shrinks, cubic where it grows; uint8 or float32, any channels."""
    width, height = size
    if image.shape[1] == width and image.shape[0] == height:
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def luma(image: Image, out: Grey | None = None) -> Grey:
    """Y of BT.601, 0..255, float32, not rounded; written into `out` where given."""
    return cv2.transform(image.astype(np.float32), LUMA, dst=out)


def to_lab(image: Image) -> np.ndarray:
    """CIELAB (D65), float32 `h w 3`: L 0..100, a and b about -128..127."""
    return cv2.cvtColor(image.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2Lab)


def from_lab(lab: np.ndarray) -> Image:
    """The inverse of `to_lab`; what lies outside of sRGB is clipped."""
    rgb = cv2.cvtColor(np.ascontiguousarray(lab, dtype=np.float32), cv2.COLOR_Lab2RGB)
    return to_uint8(rgb * 255)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """0..255 floats, rounded and clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes; raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_bytes(path: Path) -> bytes:
    """Bytes of a regular file.

    Raises OSError for a pipe or a device, whose end never comes, and for more than MAX_BYTES.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"more than {MAX_BYTES >> 20} MiB", str(path))
    return path.read_bytes()


def _is_deep(data: bytes, image: PIL.Image.Image) -> bool:
    """16 bits a channel; Pillow reads RGB of them as 8 bits, so the file's own header is asked."""
    if image.format == "PNG":
        return data[24] == 16
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile) and image.mode in ("RGB", "RGBA"):
        if set(image.tag_v2.get(BITS_PER_SAMPLE, ())) != {16}:
            return False
        if image.tag_v2.get(PLANAR_CONFIGURATION, 1) != 1:
            raise ValueError("16-bit channels in separate planes")  # Pillow and OpenCV mix them up in silence
        return True
    return _pnm_white(data) > 255 if image.format == "PPM" else image.mode.startswith("I;16")


def _pnm_white(data: bytes) -> int:
    """The value of white that a PGM's or PPM's header gives; 1 for what has none."""
    fields = re.sub(rb"#[^\r\n]*", b"", data[:4096]).split(maxsplit=4)
    return int(fields[3]) if len(fields) > 3 and fields[0] in (b"P2", b"P3", b"P5", b"P6") else 1


def _decode_deep(data: bytes, image: PIL.Image.Image) -> np.ndarray:
    """16-bit pixels as `h w` or `h w c`: grey, grey and alpha, RGB or RGBA."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ValueError("16-bit data could not be decoded")
    if image.format == "PPM":
        array = np.rint(array * (65535 / _pnm_white(data))).astype(np.uint16)
    if array.ndim == 2:
        clear = image.info.get("transparency")
        return array if clear is None else np.dstack([array, np.where(array == clear, 0, 65535).astype(np.uint16)])
    if image.format == "PNG" and data[25] == GREY_ALPHA:  # OpenCV has no grey with alpha
        return np.ascontiguousarray(array[..., [0, 3]])
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _decode_plain(image: PIL.Image.Image) -> np.ndarray:
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} are neither 8 nor 16 bits")
    see_through = image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA", "La")
    return np.array(image.convert(("LA" if see_through else "L") if grey else ("RGBA" if see_through else "RGB")))


def _upright(array: np.ndarray, turn: int) -> np.ndarray:
    """EXIF orientation 1..8 applied to the pixels."""
    flip = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1)}
    flip |= {6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a)}
    return np.ascontiguousarray(flip[turn](array)) if turn in flip else array


def _photo(array: np.ndarray) -> Photo:
    bits: Literal[8, 16] = 16 if array.dtype == np.uint16 else 8
    channels = 1 if array.ndim == 2 else array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    colour = array if array.ndim == 2 else array[..., : 1 if channels < 3 else 3]
    rgb = colour if bits == 8 else np.rint(colour / 257).astype(np.uint8)
    grey = channels < 3
    rgb = np.repeat(rgb.reshape(*rgb.shape[:2], 1), 3, axis=2) if grey else np.ascontiguousarray(rgb)
    return Photo(rgb, Form(bits, grey, alpha))


def _grey_alpha_png(pixels: np.ndarray, compression: int) -> bytes:
    """`h w 2` as PNG, each row as its difference from the one above.

    Neither OpenCV nor (in 16 bits) Pillow writes one.
    """
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    up = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    lines = np.hstack([np.full((height, 1), 2, np.uint8), up]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, GREY_ALPHA, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(lines, compression), b"IEND": b""}
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks.items())


def _with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """tEXt chunks right behind the 33 bytes of signature and IHDR."""
    chunks = b"".join(
        _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1")) for key, value in text.items()
    )
    return png[:33] + chunks + png[33:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
