"""What a user can get wrong, over every command: exit 2 before anything is started, one line, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2st_aug.cli import COMMANDS, build_group
from s2st_aug.cli.terminal import run_group

CONFIG = str(Path(__file__).parents[2] / "configs/demo.yaml")
WRONG = [
    "translate {no}.jpg --to night --out {tmp}/out",
    "translate {file} --to nigt --out {tmp}/out",
    "translate {tmp} --to night --out {tmp}/out",
    "translate {file} --to night --out {tmp}/out --preset quick",
    "translate {file} --to night --out {tmp}/out --model street-mni",
    "translate {file} {tmp}/sub/photo.png --to night --out {tmp}/out",
    "augment {no}.yaml",
    "augment {file}",
    "augment {config} --set dataset.root={no}",
    "augment {config} --set dataset.rot=1",
    "augment {config} --set nonsense",
    "augment {config} --set domains=[nihgt]",
    "augment {config} --set dataset.root={tmp}/sub --run {tmp}/loop",
    "augment {config} --set dataset.root={tmp}/sub --run {file}/run",
    "adopt {no}.yaml --variants {tmp}",
    "adopt {config} --variants {no}",
    "adopt {config} --variants {tmp} --pattern nothing.png",
    "preview {no}.yaml",
    "preview {config} --set dataset.root={no} --kit s2st_aug.testing.methods:FakeMethod",
    "status {no}",
    "status {tmp}",
    "status {tmp}/loop",
    "verify {no}",
    "verify {tmp}",
    "rescore {no} --config {config}",
    "config ls --nothing",
    "config cp dmo {tmp}",
    "config cp demo {file}",
    "config show {no}.yaml",
    "config show dmo",
    "config show {config} --set dataset.rot=1",
    "domain build snow --references {no} --prompt p --model street-mini --out {tmp}/snow.safetensors",
    "domain build snow --references {tmp} --prompt p --model {no} --out {tmp}/snow.safetensors",
    "calibrate --photos {no} --model street-mini",
    "calibrate --photos {tmp} --model street-mini",
    "calibrate --photos {tmp} --model street-mini --out {no}/thresholds.yaml",
    "merge {no} {no} --out {tmp}/merged",
    "migrate {no}",
    "review push {no}",
    "review open {no}",
    "review close --nothing",
    "review pull {no} --file {no}.json",
    "review pull {no} --file {no}.json --name streets",
    "export {no} --format bdd100k --out {tmp}/export",
    "export {no} --format pascal --out {tmp}/export",
    "report {no}",
    "scenes {tmp}/scenes --format kitti",
    "scenes {tmp}/scenes --size 12by9",
    "scenes {tmp}/scenes --conditions sunny",
    "scenes {tmp}/scenes --count -1",
    "scenes {tmp}/scenes --count 0",
    "scenes {tmp}/scenes --count 0 --sequences 2 --frames 0",
    "gain {no}.yaml",
    "gain {config}",
    "doctor --dataset bdd100k",
    "doctor --dataset bdd100k {no}",
    "doctor --dataset bdd100k {file}",
    "doctor --place {file}",
]


def test_every_command_is_tried() -> None:
    assert [c for c in COMMANDS if not any(w.startswith(c) for w in WRONG)] == []


@pytest.mark.parametrize("line", WRONG)
def test_it_is_one_line_and_exit_2(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("photo.png", "sub/photo.png"):
        (tmp_path / name).write_bytes(b"no picture at all")
    filled = line.format(no=tmp_path / "no such thing", tmp=tmp_path, file=tmp_path / "photo.png", config=CONFIG)
    words = filled.replace("no such thing", "no\0such\0thing").split()
    code = run_group(build_group(), [w.replace("\0", " ") for w in words])
    said = capsys.readouterr().err.strip().splitlines()
    assert (code, len(said)) == (2, 1), said
    assert said[0].startswith("error: ")
    assert "unexpected" not in said[0]
    assert not (tmp_path / "out").exists()
