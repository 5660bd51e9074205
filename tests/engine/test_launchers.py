"""Launchers as they run: the documented commands, on machines that are network namespaces of this one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import launcher_lab
import pytest
import yaml

from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.verify import verify


@pytest.fixture
def folder():
    """Readable by every user, and short enough for sockets."""
    if not launcher_lab.can_run():
        pytest.skip("needs root and namespaces")
    place = Path(tempfile.mkdtemp(prefix="s2lab-", dir="/tmp"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "rows"), [("ray_submit", 12), ("aws", 12), ("gcp", 12), ("slurm", 12), ("kuberay", 48)]
)
def test_a_launcher_starts_and_its_run_is_whole(launcher, rows, folder, repo):
    done = launcher_lab.run_lab(launcher, folder, repo)
    logs = "".join(f"\n== {p}\n{p.read_text()[-2000:]}" for p in sorted(folder.glob("*/log")))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + logs
    report = verify(RunFolder(folder / "share/runs/night"))
    assert (report.holds, report.ok) == (True, rows)


@pytest.mark.slow
def test_the_dockerfiles_steps_run_and_its_command_answers(folder, repo):
    done = launcher_lab.run_lab("docker", folder, repo)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "apt-get install -y --no-install-recommends procps wget" in done.stdout


def test_the_batch_script_is_sound_shell(repo):
    script = repo / "configs/cluster/slurm.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    options = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    grace = next(int(line.partition("@")[2]) for line in options if "--signal=B:TERM@" in line)
    assert grace >= 330, "a drain takes up to cluster.drain_seconds"


@pytest.mark.parametrize("name", ["aws", "gcp", "on_premise"])
def test_a_submitted_script_finds_the_package_its_config_and_the_cluster(repo, name):
    """`ray submit` copies the script to the home and calls `python` there: what lies beside it must not shadow us."""
    text = (repo / f"configs/cluster/{name}.yaml").read_text()
    command = next(line for line in text.splitlines() if line.startswith("#   ray submit"))
    config = yaml.safe_load(text)
    assert "~/s2st_aug" not in text  # a folder of the package's name in the home is an empty package to Python
    assert " s2st-aug/configs/" in command and command.rstrip().endswith("--address auto")
    assert any("~/.bashrc" in line and "s2st-venv" in line for line in config["setup_commands"])
    assert any("RAY_JOB_STOP_WAIT_TIME_S=330" in line for line in config["head_start_ray_commands"])
    node = config.get("available_node_types", {}).get("head", {}).get("node_config", {})
    assert "py310" not in text and (name != "aws" or "ImageId" in node)


def test_the_submitter_of_a_rayjob_reaches_the_dashboard_and_the_drain_has_its_time(repo):
    spec = yaml.safe_load((repo / "configs/cluster/kuberay_rayjob.yaml").read_text())["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "0.0.0.0"
    assert cluster["authOptions"] == {"mode": "token"}
    given = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": "330"} in given
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= 330
        assert "preStop" in pod["containers"][0]["lifecycle"]
        assert pod["securityContext"]["runAsUser"] == 1000
