"""Whole runs on Ray: the same bytes on any cluster, each sample once, another plan refused."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from engine_here import run_here

from s2st_aug.engine import ray_session
from s2st_aug.engine.augment import Options, augment
from s2st_aug.errors import ConfigError, PlanMismatch, UsageError
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing import methods as fakes
from s2st_aug.testing.datasets import make_config, make_dataset


def contents(run: Path) -> dict[tuple[str, str], dict]:
    """Rows without their times, by (scene, domain)."""
    rows = RunFolder(run).read_manifest().drop_columns(["seconds", "created_at"]).to_pylist()
    assert len(rows) == len({(r["scene_id"], r["domain"]) for r in rows})
    return {(r["scene_id"], r["domain"]): r for r in rows}


@pytest.fixture(scope="module")
def undisturbed(ray_here, tmp_path_factory) -> tuple[Path, Path]:
    """A dataset and its run on one actor."""
    folder = tmp_path_factory.mktemp("undisturbed")
    root = make_dataset(folder / "data", 10)
    summary = augment(make_config(root), folder / "run")
    assert (summary.exit_code, summary.snapshot.ok) == (0, 20)
    return root, folder / "run"


def test_a_run_keeps_every_promise(undisturbed):
    _, run = undisturbed
    assert verify(RunFolder(run)).holds
    assert read_snapshot(RunFolder(run)).state == "finished"
    assert (run / "contact_sheet.png").is_file()
    assert not list((run / ".state").rglob("*.tmp"))
    lines = [json.loads(line) for path in (run / "logs").iterdir() for line in path.read_text().splitlines()]
    assert sum(len(line["scenes"]) for line in lines) == 10


@pytest.mark.parametrize(
    "cluster",
    [
        {"actors": [1, 1], "gpus_per_actor": 2},
        pytest.param({"actors": [2, 4], "gpus_per_actor": 1}, marks=pytest.mark.slow),
    ],
)
def test_the_same_result_for_any_cluster(undisturbed, tmp_path, cluster):
    root, run = undisturbed
    config = make_config(root, cluster=cluster)
    assert augment(config, tmp_path / "run").exit_code == 0
    assert contents(tmp_path / "run") == contents(run)
    for _ in range(100):  # who is told to end takes a moment
        if not (left := trackers()):
            break
        time.sleep(0.1)
    assert not left, "a process of a run that has ended is still there"


def trackers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found += [process] * any("AttemptTracker" in word for word in process.cmdline())
    return found


@pytest.mark.filterwarnings("ignore:The minimum number of concurrent actors")  # a slow machine may leave but one batch
@pytest.mark.parametrize("actors", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
def test_actors_order_and_a_stop_leave_the_same_images(undisturbed, tmp_path, actors):
    """Logical GPUs, a label file in another order, stopped by TERM after a batch and resumed."""
    root, run = undisturbed
    shuffled = shutil.copytree(root, tmp_path / "data")
    labels = shuffled / "labels/det_20/det_train.json"
    frames = json.loads(labels.read_text())
    random.Random(actors).shuffle(frames)
    labels.write_text(json.dumps(frames))
    config = make_config(shuffled, cluster={"actors": [actors, actors], "gpus_per_actor": 1, "batch_size": 1})
    seen: list[int] = []

    def stop(snapshot):
        seen.append(snapshot.done)
        if snapshot.done >= 2 and len(seen) < 5:
            signal.raise_signal(signal.SIGTERM)

    first = augment(config, tmp_path / "run", Options(watch=stop))
    left = first.snapshot.total - first.snapshot.done  # none where the driver was slow to hear of the others
    assert first.exit_code == (4 if left else 0)
    assert augment(config, tmp_path / "run").exit_code == 0
    assert identities(tmp_path / "run") == identities(run)


def identities(run: Path) -> set[tuple[str, str]]:
    return {(row["variant_id"], row["image_sha256"]) for row in contents(run).values()}


def test_a_finished_run_starts_nothing(undisturbed, monkeypatch):
    root, run = undisturbed
    before = contents(run)
    monkeypatch.setattr("s2st_aug.engine.driver.Driver.run", lambda *a: pytest.fail("started"))
    assert augment(make_config(root), run).exit_code == 0
    assert contents(run) == before


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ({"method": {"name": fakes.FAKE, "number": 1}}, "method"),
        ({"run": {"rng_key": 1}}, "run"),
        ({"domains": ["night"]}, "domains"),
    ],
)
def test_another_plan_is_refused_with_both_hashes(undisturbed, groups, names):
    root, run = undisturbed
    held = RunFolder(run).run_json().plan_sha256
    with pytest.raises(PlanMismatch, match=names) as error:
        augment(make_config(root, **groups), run)
    assert held[:16] in str(error.value)
    assert str(error.value).count("plan ") >= 2


def test_validation_cluster_and_place_may_change_on_resume(undisturbed):
    root, run = undisturbed
    assert augment(make_config(root, validation={"min_strength": 0.9}, cluster={"batch_size": 2}), run).exit_code == 0
    assert RunFolder(run).run_json().batch_size == 4


def test_failed_rows_are_tried_again_within_the_cap(ray_here, tmp_path):
    root = make_dataset(tmp_path / "data", 5, magic={1: fakes.RAISES, 4: fakes.DIVERGES})
    run = tmp_path / "run"
    run_here(make_config(root), run)
    assert Counter(row["status"] for row in contents(run).values()) == {"failed": 4, "ok": 6}
    for _ in ("the second attempt, and the last", "nothing is left to try"):
        summary = augment(make_config(root, cluster={"attempts": 2}), run)
        assert (summary.exit_code, summary.snapshot.failed, summary.snapshot.ok) == (1, 4, 6)
        assert summary.snapshot.failures == {"error": 2, "diverged": 2}
        assert verify(RunFolder(run)).holds
        row = contents(run)["train/f000001", "rain"]
        assert row["attempts"] == 2
        assert "attempt 2" in row["reasons"]
    assert read_snapshot(RunFolder(run)).failed == 4


def test_extend_adds_scenes_to_the_same_plan(ray_here, tmp_path):
    root, run = make_dataset(tmp_path / "data", 5), tmp_path / "run"
    run_here(make_config(root), run)
    before = contents(run)
    make_dataset(root, 3)
    assert augment(make_config(root), run).snapshot.total == 10

    def tear(snapshot):  # what a worker leaves that is killed while it writes
        (run / ".state/tmp").mkdir(exist_ok=True)
        (run / ".state/tmp/torn").touch()

    assert augment(make_config(root), run, Options(extend=True, watch=tear)).snapshot.total == 16
    after = contents(run)
    assert len(after) == 16
    changed = [
        k
        for k in before
        if {**before[k], "label_sha256": 0, "label_key": 0} != {**after[k], "label_sha256": 0, "label_key": 0}
    ]
    assert not changed
    assert verify(RunFolder(run)).holds


def test_extend_takes_a_larger_limit(ray_here, tmp_path):
    root, run = make_dataset(tmp_path / "data", 6), tmp_path / "run"

    def limited(limit):
        return make_config(root, dataset={"format": "bdd100k", "root": str(root), "limit": limit})

    run_here(limited(2), run)
    with pytest.raises(PlanMismatch, match="dataset"):
        augment(limited(4), run)
    assert augment(limited(4), run, Options(extend=True)).snapshot.total == 8
    assert augment(limited(4), run).exit_code == 0
    assert len({r["plan_sha256"] for r in contents(run).values()}) == 1


def test_what_cannot_be_started_leaves_no_run_folder(tmp_path):
    root = make_dataset(tmp_path / "data", 1)
    with pytest.raises(ConfigError, match="not found"):
        augment(make_config(tmp_path / "nowhere"), tmp_path / "run")
    with pytest.raises(UsageError, match="inside the dataset"):
        augment(make_config(root), root / "run")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="expected a folder, found the file"):
        augment(make_config(root), tmp_path / "file/run")
    assert not (tmp_path / "run").exists()
    assert not (root / "run").exists()
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address):
    with pytest.raises(OSError, match="refused"):
        ray_session.refuse_deaf(address)


def test_the_script_refuses_in_one_line(tmp_path, repo):
    config = tmp_path / "c.yaml"
    config.write_text("dataset: {format: bdd100k, root: nowhere}\ndomains: [nigth]\n")
    done = subprocess.run(
        [sys.executable, repo / "pipelines/augment.py", config],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'night'" in done.stderr
