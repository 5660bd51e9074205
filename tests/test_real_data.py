"""The one setting that names real photos: S2ST_AUG_DATA, unset for everyone else."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2st_aug.errors import ConfigError, DatasetError
from s2st_aug.profiles.recipe import read_recipe
from s2st_aug.real_data import VARIABLE, name_of, real_data
from s2st_aug.training.recipe import read_training_config


def test_a_config_that_names_the_photos_is_filled_from_the_setting(repo, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/photos")
    assert read_recipe(repo / "configs/domains_street_mini.yaml").data == Path("/photos")
    sources = read_training_config(repo / "configs/train_street_photo.yaml").data
    assert sources[2].root == Path("/photos/camvid")
    assert name_of(sources[2].root) == "camvid"  # a model card shows nobody's own folders
    assert name_of(sources[0].root) == "checkpoints/scenes"


@pytest.mark.parametrize("value", [None, ""])
def test_unset_such_a_config_is_refused_in_one_line(repo, monkeypatch, value):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match=r"data: .*S2ST_AUG_DATA is not set; set it to the folder") as error:
        read_recipe(repo / "configs/domains_street_mini.yaml")
    assert "\n" not in str(error.value)
    with pytest.raises(DatasetError, match="S2ST_AUG_DATA is not set"):
        real_data()


def test_a_folder_of_photos_is_given_or_named_as_missing(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "camvid").mkdir()
    assert real_data("camvid") == tmp_path / "camvid"
    with pytest.raises(DatasetError, match=r"photos: no such folder of real photos; S2ST_AUG_DATA is"):
        real_data("photos")
