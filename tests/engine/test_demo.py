"""The demo's config with the shipped model, two actors: killed half-way and resumed, it makes the very same images."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import list_shards
from s2st_aug.storage.verify import verify


@pytest.fixture
def scenes(tmp_path) -> Path:
    if not (EMBEDDED["street-mini"] / "profiles").is_dir():
        pytest.skip("street-mini has no profiles yet")
    words = [
        "scenes",
        tmp_path / "scenes",
        "--count",
        "6",
        "--format",
        "bdd100k",
        "--conditions",
        "day",
        "--size",
        "320x180",
    ]
    subprocess.run(
        [sys.executable, "-c", "from s2st_aug.cli import main; main()", *map(str, words)],
        check=True,
        capture_output=True,
    )
    return tmp_path / "scenes/day"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    """Processes that end with the test, whatever becomes of it."""
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def start(repo: Path, scenes: Path, run: Path) -> subprocess.Popen:
    changes = [f"dataset.root={scenes}", "method={preset: draft}", "cluster.batch_size=1", "cluster.actors=[2,2]"]
    words = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, repo / "pipelines/augment.py", repo / "configs/demo.yaml", "--run", run, *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def images(run: Path) -> set[tuple[str, str]]:
    return {(r["variant_id"], r["image_sha256"]) for r in RunFolder(run).read_manifest().to_pylist()}


@pytest.mark.slow
def test_the_demo_killed_half_way_makes_the_same_images(repo, scenes, started, tmp_path):
    calm = start(repo, scenes, tmp_path / "calm")
    started.append(calm)
    text = calm.communicate(timeout=400)[0]
    assert calm.returncode == 0, text
    shot = start(repo, scenes, tmp_path / "shot")
    started.append(shot)
    while shot.poll() is None and not any(list_shards(RunFolder(tmp_path / "shot").store)):
        time.sleep(0.05)
    assert shot.poll() is None, "ended before it could be killed"
    shot.send_signal(signal.SIGKILL)
    shot.communicate()
    again = start(repo, scenes, tmp_path / "shot")
    started.append(again)
    text = again.communicate(timeout=400)[0]
    assert again.returncode == 0, text
    assert images(tmp_path / "shot") == images(tmp_path / "calm")
    report = verify(RunFolder(tmp_path / "shot"))
    assert (report.holds, report.failed) == (True, 0)
    assert (tmp_path / "shot/contact_sheet.png").is_file()
