"""Two Ray nodes and more on this machine, one of them ill: the run ends as an undisturbed one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_here import run_here

from benchmarks.chaos import set_difference
from benchmarks.processes import environment
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

STOPPED = ("stopped", "finisher", "tracker")
SCRIPT = Path(__file__).parents[1] / "helpers/ill_nodes.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scenes"),
    [("nodes", 12), ("stopped", 12), ("finisher", 12), ("tracker", 12), ("read-only", 60)],
)
def test_ill_nodes_and_a_hung_worker_cost_no_row(kind, scenes, tmp_path):
    """A broken device and a missing share: the third node does all. A stopped process: its batch is given back, or
    it is ended where it holds none.

    A share that two nodes cannot write: after three batches each, what they translate is finished at the third.
    """
    config = make_config(make_dataset(tmp_path / "data", scenes), cluster={"batch_size": 1})
    run_here(config, tmp_path / "calm")
    (tmp_path / "share").mkdir()
    command = [sys.executable, str(SCRIPT), kind, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=400, check=False)
    if "may we unshare" in done.stderr:
        pytest.skip("nodes with mounts of their own cannot be made here")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["code"], told["stopped"], told["ok"]) == (0, "", 2 * scenes), done.stderr[-2000:]
    assert told["gone"] and bool(told["hit"]) == (kind in STOPPED)
    if kind == "read-only":  # three at each, and what was on its way there by then
        assert told["returned"] <= 9, done.stderr[-2000:]
    assert verify(RunFolder(tmp_path / "share/run")).holds
    assert set_difference(tmp_path / "calm", tmp_path / "share/run") == 0
