"""Names inside a run folder: readable, reversible enough for people, and unable to leave it."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from urllib.parse import quote

from s2st_aug.images import sha256_bytes

_SAFE = " +=@,()[]~"
_LONGEST = 120


def image_name(domain: str, scene_id: str, image_format: str) -> str:
    """`images/<domain>/<scene id>.<suffix>`, unusual characters percent-quoted.

    >>> image_name("night", "train/b1", "png")
    'images/night/train/b1.png'
    >>> image_name("night", "../../etc/passwd", "png")
    'images/night/%2E%2E/%2E%2E/etc/passwd.png'
    """
    suffix = {"png": "png", "jpeg": "jpg"}[image_format]
    parts = [safe_part(part) for part in scene_id.split("/")]
    return "/".join(["images", safe_part(domain), *parts]) + f".{suffix}"


def overlay_name(image: str) -> str:
    """Where the picture that explains a rejected variant lies, from the variant's own path.

    >>> overlay_name("images/night/train/a.png")
    'overlays/night/train/a.jpg'
    """
    return str(PurePosixPath("overlays", *PurePosixPath(image).parts[1:]).with_suffix(".jpg"))


def safe_part(part: str) -> str:
    """One path component that is neither empty, hidden, `..`, too long for a file system, nor holds a separator."""
    quoted = quote(part, safe=_SAFE) or "%"
    if quoted.startswith("."):
        quoted = quoted.replace(".", "%2E")
    if len(quoted) > _LONGEST:
        quoted = quoted[: _LONGEST - 17] + "-" + hashlib.sha256(part.encode()).hexdigest()[:16]
    return quoted


def variant_id(*parts: str) -> str:
    """Hex hash over everything that decides a variant, in a fixed order; parts are length-prefixed.

    What goes in: docs/reference/promises.md#same-result.

    >>> variant_id("ab", "c") != variant_id("a", "bc")
    True
    """
    return sha256_bytes("".join(f"{len(p)}:{p}" for p in parts).encode())[:40]
