"""What pyarrow's file systems lack of an object store: conditional puts, and deletes of many objects in one request.

A put that the store itself refuses where the name is taken is what makes a lock on it more than a habit. S3 has one
(`If-None-Match: *`, since 2024) and boto3 sends it; fsspec's file systems have one where they implement
`pipe_file(mode="create")` themselves (s3fs, gcsfs, adlfs, memory).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CREATE_CALLS = ("_pipe_file", "pipe_file")
AT_ONCE = 1000  # objects in one request: S3 takes no more
TAKEN, BUSY = ("412", "PreconditionFailed"), ("409", "ConditionalRequestConflict")


def conditional_put(uri: str) -> Callable[[str, bytes], bool] | None:
    """A put of bytes at `bucket/path`, False where an object is there; None where no installed client has one.

    Raises OSError for what may pass.
    """
    scheme = uri.partition("://")[0]
    return _by_boto3(uri) if scheme == "s3" else _by_fsspec(uri)


def bulk_delete(uri: str) -> Callable[[list[str]], None] | None:
    """Deletes objects by `bucket/path`, AT_ONCE in one request; None where no installed client does. Absent is fine.

    Raises OSError for what may pass. pyarrow deletes one object in five requests: it looks for it and its folder, and
    puts a mark in the folder's place.
    """
    client = _boto3_client(uri) if uri.startswith("s3://") else None
    if client is None:
        return None

    def delete(paths: list[str]) -> None:
        bucket = paths[0].partition("/")[0]
        try:
            for start in range(0, len(paths), AT_ONCE):
                keys = [{"Key": path.partition("/")[2]} for path in paths[start : start + AT_ONCE]]
                answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                if refused := answer.get("Errors"):
                    raise OSError(f"{bucket}: {len(refused)} objects are not deleted: {refused[0]}")
        except (client.botocore_error, client.exceptions.ClientError) as error:
            raise OSError(f"{bucket}: {error}") from None

    return delete


def _boto3_client(uri: str) -> Any:
    """A client for the address of pyarrow's form; None without boto3."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return None
    parts = urlsplit(uri)
    asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    endpoint = asked.get("endpoint_override")
    client: Any = boto3.client(
        "s3",
        region_name=asked.get("region"),
        endpoint_url=f"{asked.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        aws_access_key_id=unquote(parts.username) if parts.username else None,
        aws_secret_access_key=unquote(parts.password) if parts.password else None,
        config=Config(s3={"addressing_style": "path"} if endpoint else None, retries={"total_max_attempts": 1}),
    )
    client.botocore_error = BotoCoreError
    return client


def _by_boto3(uri: str) -> Callable[[str, bytes], bool] | None:
    client = _boto3_client(uri)
    if client is None:
        return _by_fsspec(uri)

    def put(path: str, data: bytes) -> bool:
        bucket, _, key = path.partition("/")
        try:
            client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except client.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") in TAKEN:
                return False
            raise OSError(f"{path}: {error}") from None
        except client.botocore_error as error:
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
