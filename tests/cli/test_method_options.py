"""`--method` on the commands that translate, and the random integer under its two names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.images import encode_png, read_image
from s2st_aug.testing.datasets import make_dataset
from s2st_aug.testing.methods import FAKE


def call(*words: object) -> int:
    return run_group(build_group(), [str(w) for w in words])


@pytest.fixture
def config(tmp_path) -> Path:
    raw = {"dataset": {"format": "bdd100k", "root": str(make_dataset(tmp_path / "data", 2))}, "domains": ["night"]}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({**raw, "method": {"preset": "draft"}}))
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.random.default_rng(0).integers(40, 255, (48, 64, 3), np.uint8)))
    return path


@pytest.mark.parametrize(
    "words", ["augment {config} --dry-run", "preview {config}", "translate {photo} --to night --out {out}"]
)
def test_an_unknown_method_is_one_line(words, config, photo, tmp_path, capsys):
    places = {"config": config, "photo": photo, "out": tmp_path / "out"}
    assert call(*words.format(**places).split(), "--method", "histogramm") == 2
    said = capsys.readouterr().err
    assert "did you mean 'histogram'?" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--method", "--kit"])
def test_a_method_is_chosen_for_a_start(option, config, tmp_path, capsys):
    assert call("augment", config, "--dry-run", option, FAKE, "--run", tmp_path / "run") == 0
    fake = capsys.readouterr().out
    assert call("augment", config, "--dry-run", "--run", tmp_path / "run") == 0
    assert " 2 forward" in fake and " 2 forward" not in capsys.readouterr().out


def test_the_old_spelling_of_method_is_not_shown(capsys):
    assert call("augment", "--help") == 0
    said = capsys.readouterr().out
    assert "--method" in said and "--kit" not in said


def test_photos_are_translated_by_any_method(photo, tmp_path, capsys):
    assert call("translate", photo, "--to", "night", "--method", "histogram", "--out", tmp_path, "--json") == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert made["image"] == str(tmp_path / "a__night.png") and made["evaluations"] == 0
    assert made["structure"] > 0.5 and made["strength"] is not None and made["status"] in ("ok", "rejected")
    assert read_image(tmp_path / "a__night.png").mean() < read_image(photo).mean()


def test_a_preset_of_a_method_without_any_is_one_line(photo, tmp_path, capsys):
    words = ("translate", photo, "--to", "night", "--method", "histogram", "--preset", "draft", "--out", tmp_path)
    assert call(*words) == 2
    assert "method.preset: unknown key; known: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seed", "--rng-key"])
def test_scenes_follow_the_seed_under_either_name(option, tmp_path):
    common = ("scenes", "--count", 1, "--size", "64x36", "--conditions", "day", "--val-share", 0)
    for name, words in (("default", ()), ("same", (option, 0)), ("other", (option, 5))):
        assert call(*common, tmp_path / name, *words) == 0
    images = {n: next((tmp_path / n).rglob("*.[jp][pn]g")).read_bytes() for n in ("default", "same", "other")}
    assert images["default"] == images["same"] != images["other"]


def test_two_different_seeds_on_the_command_line_are_one_line(photo, tmp_path, capsys):
    words = ("translate", photo, "--to", "night", "--out", tmp_path / "out")
    assert call(*words, "--seed", 1, "--rng-key", 2) == 2
    assert "--seed (also --rng-key) was given as 1 and as 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
