"""Places named by a path or a URI, and how they are shown: never with credentials."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SECRET = re.compile(r"(key|secret|token|password|passwd|signature|credential|sig)", re.IGNORECASE)


def is_remote(place: str) -> bool:
    """True for `s3://...`, `gs://...` and the like; False for local paths and `file://`."""
    return "://" in place and not place.startswith("file://")


def mask_uri(place: str) -> str:
    """The place as it may be logged and stored: user, password and secret query values are masked.

    >>> mask_uri("s3://me:pa55@bucket/run?secret_key=abc&region=eu")
    's3://***@bucket/run?secret_key=***&region=eu'
    """
    if "://" not in place:
        return place
    parts = urlsplit(place)
    host = "***@" + parts.netloc.rpartition("@")[2] if "@" in parts.netloc else parts.netloc
    query = urlencode([(k, "***" if _SECRET.search(k) else v) for k, v in parse_qsl(parts.query)], safe="*:/")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
