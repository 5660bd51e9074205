"""An S3-compatible server process on loopback, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def s3_server(every: int) -> Iterator[str]:
    """An address with a secret in it, `{}` for the path.

    With `every` > 0 each such request is throttled and the next one dropped.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, Path(__file__).with_name("s3_server.py"), str(port), str(every)])
    try:
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield "s3://key:pa55word@bucket/{}" + f"?scheme=http&endpoint_override=127.0.0.1%3A{port}&region=eu"
    finally:
        server.terminate()
        server.wait(10)
