"""Puts that an object store itself refuses where the name is taken: what makes a lock on it more than a habit.

pyarrow's file systems have no such put. S3 has one (`If-None-Match: *`, since 2024) and boto3 sends it; fsspec's file
systems have one where they implement `pipe_file(mode="create")` themselves (s3fs, gcsfs, adlfs, memory).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CREATE_CALLS = ("_pipe_file", "pipe_file")
TAKEN, BUSY = ("412", "PreconditionFailed"), ("409", "ConditionalRequestConflict")


def conditional_put(uri: str) -> Callable[[str, bytes], bool] | None:
    """A put of bytes at `bucket/path`, False where an object is there; None where no installed client has one.

    Raises OSError for what may pass.
    """
    scheme = uri.partition("://")[0]
    return _by_boto3(uri) if scheme == "s3" else _by_fsspec(uri)


def _by_boto3(uri: str) -> Callable[[str, bytes], bool] | None:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return _by_fsspec(uri)
    parts = urlsplit(uri)
    asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    endpoint = asked.get("endpoint_override")
    client: Any = boto3.client(
        "s3",
        region_name=asked.get("region"),
        endpoint_url=f"{asked.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        aws_access_key_id=unquote(parts.username) if parts.username else None,
        aws_secret_access_key=unquote(parts.password) if parts.password else None,
        config=Config(s3={"addressing_style": "path"} if endpoint else None, retries={"max_attempts": 1}),
    )

    def put(path: str, data: bytes) -> bool:
        bucket, _, key = path.partition("/")
        try:
            client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in TAKEN:
                return False
            raise OSError(f"{path}: {error}") from None
        except BotoCoreError as error:
            raise OSError(f"{path}: {error}") from None
        return True

    return put


def _by_fsspec(uri: str) -> Callable[[str, bytes], bool] | None:
    import fsspec

    try:
        fs, _ = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError, OSError):
        return None
    if not any(_creates(getattr(type(fs), name, None)) for name in CREATE_CALLS):
        return None

    def put(path: str, data: bytes) -> bool:
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    return put


def _creates(call: Any) -> bool:
    """Whether a file system has a `mode` of its own: the one of fsspec's base class asks first, then writes."""
    base = getattr(call, "__module__", "") in ("fsspec.spec", "fsspec.asyn")
    return call is not None and not base and "mode" in inspect.signature(call).parameters
