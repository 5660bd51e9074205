from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2st_aug.cli import build_group, doctor
from s2st_aug.cli.terminal import run_group


def test_every_finding_that_is_not_ok_names_its_one_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run_group(build_group(), ["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert {"python", "s2st-aug", "torch", "model", "ray", "mongod", "disk space", "disk speed", "hub"} <= {f["name"] for f in findings}
    assert all(f["mend"] for f in findings if f["state"] != "ok")


def test_a_model_that_is_not_there_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["doctor", "--model", str(tmp_path / "none")]) == 3
    assert "MISSING" in capsys.readouterr().out


def test_token_auth_without_a_token_names_how_to_make_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    (finding,) = doctor.check_ray()
    assert finding.state == "missing"
    assert str(tmp_path / "token") in finding.mend


def test_a_missing_requirement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["no-such-thing>=1", "numpy<1", "also-absent>=2; extra == 'review'"])
    found = {f.name: f for f in doctor.check_packages()}
    assert found["no-such-thing"].state == "missing"
    assert found["no-such-thing"].mend == "pip install 'no-such-thing>=1'"
    assert "is installed, <1 is needed" in found["numpy"].text
    assert found["also-absent"].state == "note"


@pytest.mark.parametrize("words", [["--dataset", "bdd100k"], ["somewhere"]])
def test_half_a_dataset_question_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["doctor", *words]) == 2
    assert "--dataset CARD" in capsys.readouterr().err


def test_memory_is_judged_by_the_weights() -> None:
    assert doctor.memory_finding(10 * 2**20).state == "ok"
    assert doctor.memory_finding(10 * 2**40).state == "note"


def test_a_dataset_is_checked_against_its_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s"
    assert (
        run_group(build_group(), ["scenes", str(out), "--count", "1", "--size", "192x108", "--val-share", "0", "--conditions", "day"]) == 0
    )
    assert run_group(build_group(), ["doctor", "--dataset", "bdd100k", str(out / "day")]) == 0
    assert "1 scenes, 1 with labels" in capsys.readouterr().out
    assert run_group(build_group(), ["doctor", "--dataset", "bdd100k", str(tmp_path / "none")]) == 3
    assert run_group(build_group(), ["doctor", "--dataset", "bdd10k", str(out / "day")]) == 2
    assert "did you mean" in capsys.readouterr().err
