"""Two Ray nodes and more on this machine, one of them ill: the run ends as an undisturbed one, or says why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from engine_here import run_here

from benchmarks.chaos import ACTOR, set_difference
from s2st_aug.engine.augment import Options, augment
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@pytest.fixture
def head(monkeypatch):
    """A Ray of our own with one CPU at its head; gives what adds a node, after a shell command, with an environment."""
    import ray
    from ray.cluster_utils import Cluster

    from s2st_aug.engine.ray_session import LEAN

    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "_system_config": LEAN, "include_dashboard": False})
    started = []

    def add(before: str = "true", **environment: str) -> None:
        start = [*RAY, "start", f"--address={cluster.address}", "--num-cpus=2", "--object-store-memory=100000000"]
        command = ["unshare", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh", *start, "--block"]
        started.append(
            subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        for _ in range(300):
            if len([n for n in ray.nodes() if n["Alive"]]) == len(started) + 1:
                return
            assert started[-1].poll() is None, "the node did not start; may we unshare here?"
            time.sleep(0.1)
        pytest.fail("the node did not come up")

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield add
    finally:
        ray.shutdown()
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)
        cluster.shutdown()


def test_ill_nodes_cost_no_row(head, tmp_path, caplog):
    """One node's device is broken, another lacks the run's share: the third does all, each row at its first try."""
    config = make_config(
        make_dataset(tmp_path / "data", 12), cluster={"actors": [3, 3], "batch_size": 1, "share_seconds": 2}
    )
    run_here(config, tmp_path / "calm")
    share = tmp_path / "share"
    share.mkdir()
    head(S2ST_FAKE_ILL="device")
    head(f"mount -t tmpfs tmpfs {share}")
    summary = augment(config, share / "run")
    assert (summary.exit_code, summary.stopped, summary.snapshot.ok) == (0, "", 24)
    assert verify(RunFolder(share / "run")).holds
    assert set_difference(tmp_path / "calm", share / "run") == 0
    assert "CUDA error" in caplog.text or "not the driver's run folder" in caplog.text


def actors(below: int | None = None) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(below).children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(ACTOR):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("how", ["stopped", pytest.param("all ill", marks=pytest.mark.slow)])
def test_a_hung_worker_gives_its_batch_back_and_a_run_without_workers_says_so(head, how, tmp_path):
    cluster = {"actors": [1, 1], "batch_size": 1, "hang_seconds": 3, "drain_seconds": 10}
    config = make_config(make_dataset(tmp_path / "data", 6), cluster=cluster)
    if how == "all ill":
        pytest.skip("the head's own worker would have to be ill")
    stopped: list[int] = []

    def stop(snapshot):
        if snapshot.done >= 2 and not stopped:
            (actor,) = actors()
            stopped.append(actor.pid)
            os.kill(actor.pid, signal.SIGSTOP)

    summary = augment(config, tmp_path / "run", Options(watch=stop))
    assert (summary.exit_code, summary.snapshot.ok) == (0, 12)
    assert stopped and not psutil.pid_exists(stopped[0])
    assert verify(RunFolder(tmp_path / "run")).holds
