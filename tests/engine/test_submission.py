"""`ray job submit` from a clean client against a local head with token authentication, end to end."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def head(tmp_path):
    """A head of our own with a token; (environment of its clients, dashboard's address, Ray's own address)."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    port, dashboard = free_port(), free_port()
    folder = Path("/tmp") / f"s2st-head-{os.getpid()}"  # socket paths must stay short
    command = ["start", "--head", "--block", f"--temp-dir={folder}", "--num-cpus=3", "--num-gpus=2", f"--port={port}"]
    with (tmp_path / "head.log").open("wb") as log:
        process = subprocess.Popen(
            [*RAY, *command, "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(dashboard, process)
        yield environment, f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        subprocess.run(["rm", "-rf", folder], check=False)


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None, "the head died"
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("the dashboard did not come up")


def submit(repo: Path, environment: dict[str, str], address: str, *words: object) -> subprocess.CompletedProcess:
    command = [*RAY, "job", "submit", f"--address={address}", "--working-dir", ".", "--", *map(str, words)]
    return subprocess.run(command, env=environment, cwd=repo, capture_output=True, text=True, timeout=400, check=False)


def clean_clone(repo: Path, place: Path) -> Path:
    """What a client has after cloning: the files under version control, as they stand.

    Ray ships no more than 500 MiB.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name and (repo / name).is_file()]
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo / name, place / name)
    assert sum((place / name).stat().st_size for name in files) < 200 << 20
    return place


@pytest.mark.slow
def test_a_submitted_job_runs_and_a_client_without_the_token_is_told(repo, head, tmp_path):
    environment, address, ray_address = head
    root = make_dataset(tmp_path / "data", 6)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(make_config(root).model_dump(mode="json")))
    small = clean_clone(repo, tmp_path / "checkout")
    bare = {k: v for k, v in environment.items() if not k.startswith("RAY_AUTH")}
    refused = submit(small, bare, address, "true")
    assert refused.returncode != 0
    assert "token" in (refused.stderr + refused.stdout).lower()
    done = submit(
        small,
        environment,
        address,
        sys.executable,
        "pipelines/augment.py",
        config,
        "--run",
        tmp_path / "run",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report = verify(RunFolder(tmp_path / "run"))
    assert (report.holds, report.ok) == (True, 12)
    words = [
        sys.executable,
        "pipelines/augment.py",
        config,
        "--run",
        tmp_path / "joined",
        "--address",
        ray_address,
    ]
    joined = subprocess.run(
        list(map(str, words)), env=environment, cwd=small, capture_output=True, text=True, timeout=400, check=False
    )
    assert joined.returncode == 0, joined.stdout[-2000:] + joined.stderr[-2000:]
    assert verify(RunFolder(tmp_path / "joined")).holds
    secret = Path(environment["RAY_AUTH_TOKEN_PATH"]).read_bytes().strip()
    assert not [
        p for run in ("run", "joined") for p in (tmp_path / run).rglob("*") if p.is_file() and secret in p.read_bytes()
    ]
