"""Presets that a model tunes: what its folder says counts, and what cannot be read is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2st_aug.config.load import parse_config
from s2st_aug.errors import ModelError
from s2st_aug.translation.presets import TUNED, presets_of
from s2st_aug.translation.settings import PRESETS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / TUNED).write_text(json.dumps({"standard": {"to_method": "none", "guidance": 1.0}}))
    return tmp_path


def test_a_folder_changes_the_presets_that_it_names(folder: Path) -> None:
    found = presets_of(folder)
    assert found["standard"] == PRESETS["standard"].model_copy(update={"to_method": "none", "guidance": 1.0})
    assert {name: found[name] for name in found if name != "standard"} == {
        name: PRESETS[name] for name in PRESETS if name != "standard"
    }


def test_without_a_file_and_on_the_hub_presets_are_the_plain_ones(tmp_path: Path) -> None:
    assert presets_of(tmp_path) == PRESETS == presets_of("someone/some-model")


def test_a_config_starts_from_the_presets_of_its_model(folder: Path) -> None:
    raw = {"dataset": {"root": "x", "format": "bdd100k"}, "domains": ["night"]}
    for method in ({}, {"method": {"detail": 0.25}}):
        config = parse_config({**raw, **method, "model": str(folder)})
        assert config.method.settings.to_method == "none"
    assert config.method.settings.detail == 0.25
    assert parse_config({**raw, "model": "someone/some-model"}).method.settings == PRESETS["standard"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not readable as JSON"),
        ("[]", "expected a JSON object with the settings of each of draft, standard"),
        ('{"standard": 3}', "expected a JSON object with the settings"),
        ('{"paper": {}}', "a model cannot set a preset 'paper'"),
        ('{"standard": {"step": 3}}', "standard.step"),
        ('{"draft": {"steps": 0}}', "draft.steps: must be greater than or equal to 2 (got 0)"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / TUNED).write_text(text)
    with pytest.raises(ModelError, match=r"translation\.json") as caught:
        presets_of(tmp_path)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
