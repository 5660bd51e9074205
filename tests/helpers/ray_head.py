"""A Ray head of our own for tests: with a token, on free ports, and where asked a stranger's.

A stranger's head runs in another folder and as another user, with Ray and the other dependencies but without this
package: whatever its workers need of it has to be shipped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
NOBODY = 65534


@dataclass(frozen=True)
class Head:
    """What clients need: an environment with the token and nothing of Ray's otherwise, and where to knock."""

    environment: dict[str, str]
    dashboard: str
    address: str
    home: Path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_environment() -> dict[str, str]:
    """This process's, without what steers Ray or Python."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHON", "VIRTUAL_ENV"))}
    return mine | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


@contextmanager
def ray_head(base: Path, *, stranger: bool = False, cpus: int = 3, gpus: int = 0) -> Iterator[Head]:
    """A head while the block runs. `base` holds its log and its home."""
    home = base / "head"
    home.mkdir()
    token = secrets.token_hex(32)
    environment = clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    port, dashboard = free_port(), free_port()
    temp = Path(tempfile.mkdtemp(prefix="s2st-head-", dir="/tmp"))  # socket paths must stay short
    for folder in (home, temp):
        folder.chmod(0o777)
    command = ["start", "--head", "--block", f"--temp-dir={temp}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
    command += [f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    theirs = dict(environment)
    words = [*RAY, *command]
    if stranger:
        words, theirs = as_stranger(["-m", "ray.scripts.scripts", *command], environment, home)
    written = base / "head.log"
    with written.open("wb") as log:
        process = subprocess.Popen(words, env=theirs, cwd=home, stdout=log, stderr=log)
    try:
        wait_for(dashboard, process, written)
        yield Head(environment, f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", home)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(temp, ignore_errors=True)


def as_stranger(words: list[str], environment: dict[str, str], home: Path) -> tuple[list[str], dict[str, str]]:
    """Python with these words, in an environment without this package; as another user where this one may do so."""
    packages = sysconfig.get_paths()["purelib"]  # on PYTHONPATH its .pth files, and so editable installs, do not count
    theirs = environment | {"HOME": str(home), "PYTHONPATH": packages, "USER": "stranger"}
    plain = [str(Path(sys.executable).resolve())]
    shadow = home / "python"
    shadow.mkdir(exist_ok=True)
    theirs |= {"LD_LIBRARY_PATH": f"{shadow}/lib"}  # where Python is built with a shared library
    inside = f'mount --bind "{sys.base_prefix}" "{shadow}" && exec setpriv --reuid {NOBODY} --regid {NOBODY} '
    inside += f'--clear-groups "{shadow}/bin/{Path(plain[0]).name}" "$@"'
    other = ["unshare", "--mount", "sh", "-c", inside, "sh"]
    probe = [*other, "-c", "import ray"]
    can = os.geteuid() == 0 and subprocess.run(probe, env=theirs, capture_output=True, check=False).returncode == 0
    return [*(other if can else plain), *words], theirs


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, f"the head died: {log.read_text(encoding='utf-8')[-2000:]}"
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("the dashboard did not come up")


def clean_clone(repo: Path, place: Path) -> Path:
    """What a client has after cloning: the files under version control, as they stand."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name and (repo / name).is_file()]
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo / name, place / name)
    return place
