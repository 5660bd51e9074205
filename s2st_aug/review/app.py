"""`review open`: the App with our plugin on a run's dataset."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from s2st_aug.errors import Stopped, UsageError
from s2st_aug.review.app_layout import TO_REVIEW
from s2st_aug.review.deciding import REVIEWER
from s2st_aug.review.fiftyone_session import connect
from s2st_aug.review.push import open_dataset
from s2st_aug.storage import RunFolder

log = logging.getLogger(__name__)
PLUGIN = Path(__file__).parent / "plugin"
LINK = "s2st-aug-review"
START_SECONDS = 300


def serve(
    run: RunFolder,
    *,
    name: str | None,
    port: int,
    address: str,
    reviewer: str | None,
    browser: bool,
    announce: Callable[[str], None],
) -> None:
    """Open the App and wait until Ctrl-C; raises Stopped where it ends by itself.

    Decisions stay in the database either way.
    """
    check_port(address, port)
    if reviewer:
        os.environ[REVIEWER] = reviewer
    fo = connect()
    install_plugin(fo)
    dataset = open_dataset(fo, run, name)
    with running(fo, port=port, address=address) as server:
        url = f"http://{address}:{port}/datasets/{dataset.name}{first_view(dataset)}"
        announce(url)
        if browser and not webbrowser.open(url):
            log.warning("no browser could be opened; go to %s", url)
        with contextlib.suppress(KeyboardInterrupt):
            code = server.wait()
            raise Stopped(
                f"the App ended by itself (code {code}); decisions are kept in the database, "
                "the same command opens it again"
            )


def first_view(dataset: Any) -> str:
    """The query of the App's address for the undecided variants, the least sure first; empty where all are decided."""
    if not dataset.has_saved_view(TO_REVIEW) or not dataset.load_saved_view(TO_REVIEW):
        return ""
    from fiftyone.core.utils import to_slug

    return f"?view={to_slug(TO_REVIEW)}"


@contextlib.contextmanager
def running(fo: ModuleType, *, port: int, address: str = "127.0.0.1") -> Iterator[subprocess.Popen[bytes]]:
    """FiftyOne's own server, up and answering; ended on leaving. Raises UsageError where it ends or stays silent.

    Closing the browser ends nothing: the page may be opened again.
    """
    folder = Path(fo.constants.SERVER_DIR)
    command = [sys.executable, str(folder / "main.py"), "--port", str(port), "--address", address]
    environment = {"FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS": "true"} | os.environ | {"FIFTYONE_DISABLE_SERVICES": "1"}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(server, f"http://{address}:{port}/fiftyone")
        yield server
    finally:
        server.terminate()
        server.wait()


def _wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(START_SECONDS * 2):
        if server.poll() is not None:
            raise UsageError(f"the App's server ended with code {server.returncode} before it answered at {url}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    raise UsageError(f"the App's server did not answer at {url} within {START_SECONDS} s; is the machine very busy?")


def check_port(address: str, port: int) -> None:
    """Raise UsageError where the port cannot be had: FiftyOne would join whatever App listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UsageError(
                f"port {port} on {address} is taken ({error.strerror}); choose another with --port"
            ) from None


def install_plugin(fo: ModuleType) -> Path:
    """Link our plugin into the user's plugin folder, beside what is there.

    Raises UsageError where the name is another's.
    """
    folder = Path(fo.config.plugins_dir)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / LINK
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise UsageError(f"{link} exists and is not our link; move it away")
    link.symlink_to(PLUGIN, target_is_directory=True)
    return link


def remove_plugin(fo: ModuleType) -> Path | None:
    """Take our link out of the user's plugin folder, and give its path; None where there is none of ours.

    Raises UsageError where something else has its name.
    """
    link = Path(fo.config.plugins_dir) / LINK
    if not link.is_symlink():
        if link.exists():
            raise UsageError(f"{link} exists and is not our link; nothing was removed")
        return None
    link.unlink()
    return link
