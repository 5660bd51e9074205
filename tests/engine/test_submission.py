"""Clean clients against a local head with token authentication, end to end: `ray job submit`, `stop`, `--address`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from engine_here import rows_of
from ray_head import RAY, Head, clean_clone, ray_head

from s2st_aug.storage.lock import read_holder
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import PROGRESS, RunFolder
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset


@pytest.fixture
def head(tmp_path):
    with ray_head(tmp_path, gpus=2) as started:
        yield started


@pytest.fixture
def share():
    """A folder that every user can write to, as a share of a cluster is mounted."""
    place = Path(tempfile.mkdtemp(prefix="s2st-share-", dir="/tmp"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


def submit(repo: Path, environment: dict[str, str], address: str, *words: object) -> subprocess.CompletedProcess:
    command = [*RAY, "job", "submit", f"--address={address}", "--working-dir", ".", "--", *map(str, words)]
    return subprocess.run(command, env=environment, cwd=repo, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.slow
def test_a_submitted_job_runs_and_a_client_without_the_token_is_told(repo, head, tmp_path):
    environment, address, ray_address = head.environment, head.dashboard, head.address
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
    secret = environment["RAY_AUTH_TOKEN"].encode()
    assert not [
        p for run in ("run", "joined") for p in (tmp_path / run).rglob("*") if p.is_file() and secret in p.read_bytes()
    ]


def documented(repo: Path, verb: str, head: Head, **filled: object) -> list[str]:
    """The words of `ray job VERB ...` as docs/cluster.md prints it, with its names in capitals filled in."""
    page = (repo / "docs/cluster.md").read_text(encoding="utf-8")
    found = re.search(rf"`ray (job {verb} .*?)`", page)
    assert found, f"docs/cluster.md prints no `ray job {verb}`"
    words = [w.replace("http://HEAD:8265", head.dashboard) for w in shlex.split(found[1])]
    known = {"python": sys.executable, **filled}
    return [*RAY, *(str(known.get(w, w)) for w in words)]


@pytest.mark.slow
def test_a_job_that_is_stopped_as_documented_drains_and_resumes_whole(repo, head, tmp_path):
    """Without the environment of the documented command Ray kills the driver 3 s after TERM, in mid-batch."""
    made = make_config(make_dataset(tmp_path / "data", 12), cluster={"actors": [1, 1], "batch_size": 2})
    config, run = tmp_path / "run.yaml", RunFolder(tmp_path / "run")
    config.write_text(yaml.safe_dump(made.model_dump(mode="json")))
    small = clean_clone(repo, tmp_path / "checkout")
    words = documented(repo, "submit", head, CONFIG=config, PLACE=run.place)
    given = words.index("--runtime-env-json") + 1
    slow = json.loads(words[given])
    slow["env_vars"]["S2ST_FAKE_SLEEP"] = "8"
    first = [*words[:given], json.dumps(slow), "--no-wait", "--submission-id", "drained", *words[given + 1 :]]
    subprocess.run(first, env=head.environment, cwd=small, check=True, timeout=400)
    assert within(300, lambda: run.exists() and run.store.size(PROGRESS) and read_snapshot(run).done), "no commit"
    before = time.monotonic()
    stop = documented(repo, "stop", head, JOB="drained")
    subprocess.run(stop, env=head.environment, check=True, timeout=400)
    assert within(120, lambda: read_snapshot(run).state == "stopped"), read_snapshot(run)
    assert time.monotonic() - before > 3.5, "there was nothing to drain"
    assert within(30, lambda: read_holder(run) is None)  # the lock is released
    stopped, kept = verify(run), rows_of(run)
    assert 0 < len(kept) == read_snapshot(run).done < 24
    assert not stopped.findings
    resumed = subprocess.run(words, env=head.environment, cwd=small, check=False, timeout=400)
    assert resumed.returncode == 0
    report, rows = verify(run), rows_of(run)
    assert (report.holds, report.ok) == (True, 24)
    assert {key: rows[key] for key in kept} == kept, "what was committed was made again"


def within(seconds, look):
    """Whether it comes true in time."""
    until = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return bool(seen)


@pytest.mark.slow
def test_a_checkout_joins_a_strangers_head_with_relative_paths(repo, share):
    """Another folder, user and environment: cards, profiles and references come from where the client stands."""
    client = clean_clone(repo, share / "checkout")
    make_dataset(client / "data", 4)
    (client / "own").mkdir()
    shutil.copytree(client / "s2st_aug/weights/street-mini", client / "own/mini")
    shutil.copyfile(client / "s2st_aug/weights/street-mini/profiles/night.safetensors", client / "own/dark.safetensors")
    shutil.copyfile(client / "datasets/bdd100k.yaml", client / "own/card.yaml")
    written = {"domains": ["own/dark.safetensors"], "method": {"name": "histogram"}, "cluster": {"actors": [1, 1]}}
    shipped = {"dataset": {"format": "bdd100k", "root": "data"}, "model": "street-mini"}
    own = {"dataset": {"format": "own/card.yaml", "root": "data"}, "model": "own/mini"}
    with ray_head(share, stranger=True) as head:
        for name, config in (("shipped", shipped), ("own", own)):
            (client / f"{name}.yaml").write_text(yaml.safe_dump(written | config))
            words = ["pipelines/augment.py", f"{name}.yaml", "--run", f"runs/{name}", "--address", head.address]
            done = subprocess.run(
                [sys.executable, *words],
                **{"env": head.environment, "cwd": client, "umask": 0},
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            report = verify(RunFolder(client / "runs" / name))
            assert (report.holds, report.failed, report.rows) == (True, 0, 4)


OWN_METHOD = """
from pydantic import BaseModel
from s2st_aug.methods import Method, MethodIdentity, Translated


class Settings(BaseModel, frozen=True, extra="forbid"):
    gain: float = 0.5


class Darken(Method[Settings]):
    settings, version, needs_model, any_domain = Settings, "1", False, True

    def identify(self, config):
        told = config.settings.model_dump()
        return MethodIdentity(config.name, self.version, told, "", self.profile_hashes(config))

    def load(self, config, device):
        return Translator(config.settings.gain)


class Translator:
    def __init__(self, gain):
        self.gain = gain

    def translate(self, photos, domains, objects=None, keys=None):
        dark = [(photo * self.gain).astype("uint8") for photo in photos]
        return [dict.fromkeys(domains, Translated(d, d)) for d in dark]
"""


@pytest.mark.slow
def test_a_method_of_ones_own_is_shipped_to_the_workers_of_a_head_that_is_joined(repo, share):
    client = clean_clone(repo, share / "checkout")
    make_dataset(client / "data", 2)
    (client / "darken.py").write_text(OWN_METHOD)
    config = {"dataset": {"format": "bdd100k", "root": "data"}, "domains": ["night"], "cluster": {"actors": [1, 1]}}
    (client / "own.yaml").write_text(yaml.safe_dump(config | {"method": {"name": "darken:Darken"}}))
    with ray_head(share, stranger=True) as head:
        words = ["pipelines/augment.py", "own.yaml", "--run", "runs/own", "--address", head.address]
        done = subprocess.run(
            [sys.executable, *words],
            **{"env": head.environment, "cwd": client, "umask": 0},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report = verify(RunFolder(client / "runs/own"))
    assert (report.holds, report.failed, report.rows) == (True, 0, 2)
