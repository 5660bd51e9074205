"""Clean clients against a local head with token authentication, end to end: `ray job submit`, and `--address`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from ray_head import RAY, clean_clone, ray_head

from s2st_aug.storage.run_folder import RunFolder
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
