"""The image files of an export: a variant in its source's file type and quality class, so that the format gives nothing away."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from s2st_aug.errors import CheckFailed, UnreadableImage
from s2st_aug.images import SYNTHETIC, encode_png

ImageFormat = Literal["png", "jpeg"]
_JPEG = frozenset({".jpg", ".jpeg"})


def variant_suffix(source: str, image_format: ImageFormat | None) -> str:
    """The suffix of a variant's file: the source's own, or that of the format asked for."""
    own = PurePosixPath(source).suffix
    if image_format is None:
        return own if own.lower() in _JPEG | {".png"} else ".png"
    same = own.lower() in _JPEG if image_format == "jpeg" else own.lower() == ".png"
    return own if same else {"png": ".png", "jpeg": ".jpg"}[image_format]


def is_as_stored(image: str, suffix: str) -> bool:
    """Whether the run's file has the type that goes out already."""
    return (PurePosixPath(image).suffix.lower() in _JPEG) == (suffix.lower() in _JPEG)


def transcoded(image: Path, sha256: str, source: Path, suffix: str) -> bytes:
    """The run's image in another file type; a JPEG takes the source's own quantisation tables and chroma subsampling.

    Raises CheckFailed where the run's file is not the one that its manifest names, UnreadableImage where it is no image.
    """
    import hashlib

    import numpy as np
    from PIL import Image

    try:
        data = image.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CheckFailed(f"{image}: not the file that the manifest names; run `s2st-aug verify`")
        with Image.open(io.BytesIO(data)) as opened:
            pixels = opened.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UnreadableImage(f"{image}: cannot be read ({str(error).splitlines()[0]})") from None
    if suffix.lower() not in _JPEG:
        return encode_png(np.asarray(pixels))
    out = io.BytesIO()
    pixels.save(out, "JPEG", comment=SYNTHETIC["Comment"], **jpeg_class(source))
    return out.getvalue()


def jpeg_class(source: Path) -> dict[str, Any]:
    """Pillow's settings that give a JPEG the source's quality; quality 90, 4:2:0 where the source is none."""
    from PIL import Image, JpegImagePlugin

    plain = {"quality": 90, "subsampling": 2}
    try:
        with Image.open(source) as opened:
            if not isinstance(opened, JpegImagePlugin.JpegImageFile) or opened.mode != "RGB":
                return plain
            sampling = JpegImagePlugin.get_sampling(opened)
            progressive = bool(opened.info.get("progressive"))
            return {"qtables": opened.quantization, "subsampling": max(sampling, 0), "progressive": progressive}
    except (OSError, SyntaxError):
        return plain
