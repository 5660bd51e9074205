"""A run is finished when its folder says so: receipts of rows that are nowhere, lost images, images of no row."""

from __future__ import annotations

import errno
import os
import time

import pytest
from engine_here import run_here

from s2st_aug.engine import augment as driving
from s2st_aug.engine.augment import _finish
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.errors import Stopped
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset


@pytest.fixture
def config(tmp_path):
    return with_absolute_root(make_config(make_dataset(tmp_path / "data", 6), cluster={"batch_size": 2}))


def finish(config, place, heard: int = 0):
    """What the driver does once every batch has come back, `heard` of them as receipts of `ok` rows."""
    folder = RunFolder(place)
    with RunLock(folder) as lock:
        ready = prepare(config, folder, PLAIN_START, identify(config), place=str(place), lock=lock)
        for _ in range(heard):
            ready.progress.add(["ok"] * 4, [[]] * 4, "a worker")
        return _finish(folder, ready, "")


def test_receipts_of_rows_that_are_nowhere_do_not_finish_a_run(config, tmp_path):
    """One node wrote into a folder of its own: one batch of three is here."""
    run_here(config, tmp_path / "run", batches=slice(0, 1))
    summary = finish(config, tmp_path / "run", heard=2)
    assert summary.exit_code == 4
    assert "8 of 12 variants are missing from the run folder" in summary.stopped
    assert (summary.snapshot.state, summary.snapshot.ok) == ("stopped", 4)
    assert read_snapshot(RunFolder(tmp_path / "run")).ok == 4
    run_here(config, tmp_path / "run")
    assert finish(config, tmp_path / "run").exit_code == 0


def test_a_row_without_its_image_is_made_again(config, tmp_path):
    run = run_here(config, tmp_path / "run")
    lost = run.path / run.read_manifest(["image"])["image"].to_pylist()[3]
    lost.unlink()
    summary = finish(config, tmp_path / "run")
    assert summary.exit_code == 4
    assert "1 of 12 variants are missing from the run folder" in summary.stopped
    assert "1 of them with a row, but without an image file" in summary.stopped
    run_here(config, tmp_path / "run")
    assert finish(config, tmp_path / "run").exit_code == 0
    assert verify(run).holds and lost.is_file()


def test_an_image_whose_row_then_failed_is_swept_at_the_end(config, tmp_path):
    """An attempt had written it when it was killed; the next one's row failed."""
    run = run_here(config, tmp_path / "run")
    stray = run.path / "images/night/train/of an attempt that was killed.png"
    stray.write_bytes(b"x")
    assert finish(config, tmp_path / "run").exit_code == 0
    assert not stray.exists() and list(run.path.glob("quarantine/*/images/night/train/*.png"))
    assert verify(run).holds


def test_an_image_of_an_attempt_that_never_committed_is_not_written_over(config, tmp_path):
    """Other bytes under the plain name (a worker with another kind of GPU): the row names its own image."""
    calm = run_here(config, tmp_path / "calm").read_manifest(["image", "image_sha256"]).to_pylist()
    stray = tmp_path / "run" / calm[0]["image"]
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"other bytes")
    run = run_here(config, tmp_path / "run")
    assert stray.read_bytes() == b"other bytes"
    assert finish(config, tmp_path / "run").exit_code == 0
    rows = run.read_manifest(["image", "image_sha256"]).to_pylist()
    assert {r["image_sha256"] for r in rows} == {r["image_sha256"] for r in calm}
    assert len({r["image"] for r in rows} - {r["image"] for r in calm}) == 1
    assert verify(run).holds


@pytest.mark.parametrize(
    ("number", "only"),
    [(errno.EIO, "the end"), (errno.EIO, "all of it"), (errno.EROFS, "all of it"), (errno.EACCES, "the end")],
)
def test_storage_that_fails_the_driver_for_good_stops_the_run(config, tmp_path, monkeypatch, number, only):
    """Exit 4 and one line: neither `some failed` nor `nothing was started`, and nothing of it is lost."""
    run_here(config, tmp_path / "run")
    real = os.fsync

    def fsync(fd):
        if only == "all of it" or broken:
            raise OSError(number, os.strerror(number))
        real(fd)

    def end(*given):
        broken.append(1)
        return _finish(*given)

    broken: list[int] = []
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(driving, "_finish", end)
    with pytest.raises(Stopped, match=r"storage fails.*run the same command to resume"):
        driving.augment(config, tmp_path / "run")
    monkeypatch.undo()
    assert driving.augment(config, tmp_path / "run").exit_code == 0
    assert verify(RunFolder(tmp_path / "run")).holds
