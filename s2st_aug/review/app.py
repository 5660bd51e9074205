"""`review open`: the App with our plugin on a run's dataset."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from s2st_aug.errors import UsageError
from s2st_aug.review.deciding import REVIEWER
from s2st_aug.review.door import connect
from s2st_aug.review.push import open_dataset
from s2st_aug.storage import RunFolder

log = logging.getLogger(__name__)
PLUGIN = Path(__file__).parent / "plugin"
LINK = "s2st-aug-review"


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
    """Open the App and wait until it is closed or Ctrl-C; decisions stay in the database either way."""
    check_port(address, port)
    if reviewer:
        os.environ[REVIEWER] = reviewer
    fo = connect()
    install_plugin(fo)
    dataset = open_dataset(fo, run, name)
    session = launch(fo, dataset, port=port, address=address)
    url = f"http://{address}:{port}/datasets/{dataset.name}"
    announce(url)
    if browser:
        _show(url)
    try:
        session.wait(-1)
    except KeyboardInterrupt:
        log.info("the App was closed")
    finally:
        session.close()


def launch(fo: ModuleType, dataset: Any, *, port: int, address: str = "127.0.0.1") -> Any:
    """FiftyOne's session, without a browser of its own; raises UsageError where its server does not come up."""
    from fiftyone.core.service import ServiceListenTimeout

    try:
        return fo.launch_app(dataset, port=port, address=address, remote=True, auto=False)
    except ServiceListenTimeout:
        raise UsageError(f"the App's server did not answer on port {port} within a minute; is the machine very busy? Try again") from None


def check_port(address: str, port: int) -> None:
    """Raise UsageError where the port cannot be had: FiftyOne would join whatever App listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UsageError(f"port {port} on {address} is taken ({error.strerror}); choose another with --port") from None


def install_plugin(fo: ModuleType) -> Path:
    """Link our plugin into the user's plugin folder, beside what is there; raises UsageError where the name is another's."""
    folder = Path(fo.config.plugins_dir)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / LINK
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise UsageError(f"{link} exists and is not our link; move it away")
    link.symlink_to(PLUGIN, target_is_directory=True)
    return link


def _show(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        log.warning("no browser could be opened; go to %s", url)
