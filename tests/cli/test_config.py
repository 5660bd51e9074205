"""`s2st-aug config`: what is shipped, a copy of it, and each value with where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.config.load import load_config
from s2st_aug.config.origin import resolved_values
from s2st_aug.config.shipped import shipped_configs

CONFIGS = Path(__file__).parents[2] / "configs"


def call(*words: object) -> int:
    return run_group(build_group(), ["config", *map(str, words)])


def test_every_config_is_listed_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("ls", "--json") == 0
    listed = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert {c["path"] for c in listed.values()} == {
        str(p) for p in CONFIGS.rglob("*") if p.suffix in {".yaml", ".sbatch"}
    }
    assert listed["demo"]["kind"] == "s2st-aug augment" and "make demo" in listed["demo"]["about"]
    assert listed["gain_scenes"]["kind"] == "s2st-aug gain"
    assert listed["cluster/aws"]["kind"] == "a cluster"
    assert [c.name for c in shipped_configs() if not c.about] == []
    assert call("ls") == 0
    told = capsys.readouterr().out
    order = [
        told.index(line) for line in ("For s2st-aug augment", "bdd100k_street-mini", "For a cluster", "For training")
    ]
    assert order == sorted(order)
    assert all(c["about"].endswith((".", ":", "yaml")) for c in listed.values()), "a sentence is cut"


def test_a_copy_is_the_file_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("cp", "demo") == 0
    assert (tmp_path / "demo.yaml").read_bytes() == (CONFIGS / "demo.yaml").read_bytes()
    assert call("cp", "cluster/slurm.sbatch", "here/job.sbatch") == 0
    assert (tmp_path / "here/job.sbatch").is_file()
    capsys.readouterr()
    assert call("cp", "demo.yaml", tmp_path) == 2
    assert "already exists" in capsys.readouterr().err
    assert call("cp", "dmo") == 2
    assert "did you mean 'demo'" in capsys.readouterr().err


def test_a_config_that_is_not_here_is_offered_as_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["augment", "elsewhere/demo.yaml"]) == 2
    assert "s2st-aug config cp demo" in capsys.readouterr().err


@pytest.mark.parametrize("path", [p for p in sorted(CONFIGS.glob("*.yaml")) if "dataset:" in p.read_text()], ids=str)
def test_what_is_shown_is_what_augment_uses(path: Path) -> None:
    if "street-mini" not in path.name and path.stem != "demo":
        pytest.skip("the presets of a model that is not here")
    shown = {v.key: v.value for v in resolved_values(path)}
    config = load_config(path).model_dump(mode="json")
    assert shown["method.steps"] == config["method"]["steps"]
    assert shown["run.seed"] == config["run"]["rng_key"]
    assert shown["dataset.select"] == config["dataset"]["select"]
    assert shown["domains"] == config["domains"]


def test_each_value_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("dataset:\n  format: bdd100k\n  root: data\ndomains: [night]\nrun: {rng_key: 3}\n")
    changes = ["method.preset=draft", "method.guidance=2", "dataset.select.weather=rainy", "cluster.actors=2"]
    found = {v.key: (v.value, v.origin) for v in resolved_values(file, changes)}
    assert found["dataset.root"] == ("data", f"{file}:3")
    assert found["run.seed"] == (3, f"{file}:5")
    assert found["method.guidance"] == (2.0, "--set")
    assert found["method.preset"] == ("draft", "--set")
    assert found["method.steps"] == (4, "preset draft")
    assert found["dataset.select"] == ({"weather": ["rainy"]}, "--set")
    assert found["cluster.actors"] == ([2, 2], "--set")
    assert found["cluster.batch_size"] == (4, "default")
    swapped = {v.key: v.origin for v in resolved_values(CONFIGS / "demo.yaml", method="histogram")}
    assert swapped["method.name"] == "--set" and "method.preset" not in swapped
    assert call("show", "demo", "--set", "run.seed=7") == 0
    told = capsys.readouterr().out
    assert [line.split("  # ")[1] for line in told.splitlines() if line.startswith("run.seed")] == ["--set"]
