"""Histogram matching as a method: what it does to an image, what it rests on, and that both are in the plan."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from engine_here import rows_of, run_here

from s2st_aug.config.load import parse_config
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.engine.augment import augment
from s2st_aug.engine.context import identify
from s2st_aug.errors import ConfigError, PlanMismatch, ProfileError
from s2st_aug.images import encode_png, to_lab
from s2st_aug.methods import find_method
from s2st_aug.methods.histogram import match_histograms
from s2st_aug.profiles import load_profile
from s2st_aug.profiles.colours import colours_of, profile_colours
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

NIGHT = EMBEDDED["street-mini"] / "profiles" / "night.safetensors"


def photo(number: int, low: int = 60, high: int = 255, size: tuple[int, int] = (36, 64)) -> np.ndarray:
    return np.random.default_rng(number).integers(low, high, (*size, 3), dtype=np.uint8)


@pytest.fixture
def references(tmp_path):
    for domain, high in (("night", 60), ("rain", 150)):
        folder = tmp_path / "references" / domain
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{i}.png").write_bytes(encode_png(photo(i, 0, high)))
    return tmp_path / "references"


def test_a_match_has_the_targets_histogram_in_each_band():
    source, target = photo(1), photo(2, 0, 90)
    found = to_lab(match_histograms(source, colours_of([target])))
    wanted = to_lab(target)
    for band in range(3):
        a, b = (np.sort(np.array_split(x, 3)[band][..., 0].ravel()) for x in (found, wanted))
        assert np.abs(np.quantile(a, [0.1, 0.5, 0.9]) - np.quantile(b, [0.1, 0.5, 0.9])).max() < 4


def test_a_profiles_own_colours_serve_where_there_are_no_references():
    profile = load_profile(NIGHT)
    found = profile_colours(profile)
    assert found.quantiles.shape == (3, 3, 256) and (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert found.quantiles[1, 0, -1] > 60 > 30 > found.quantiles[1, 0, 128], "lamps in the dark"
    dark = to_lab(match_histograms(photo(1), found))
    middle = np.median(dark[12:24, :, 0])
    assert abs(middle - found.quantiles[1, 0, 128]) < 6


def test_a_profile_of_before_its_colours_were_kept_has_five_quantiles_of_them(tmp_path):
    older = EMBEDDED["street-photo"] / "profiles" / "night.safetensors"
    (tmp_path / older.name).write_bytes(older.read_bytes())
    profile = load_profile(tmp_path / older.name)
    found = profile_colours(profile)
    assert found.quantiles.shape == (3, 3, 7) and (np.diff(found.quantiles, axis=-1) >= 0).all()
    with pytest.raises(ProfileError, match=r"method\.references"):
        profile_colours(dataclasses.replace(profile, features=None))


def config_of(root, **method):
    return make_config(root, method={"name": "histogram", **method})


@pytest.mark.parametrize("given", [False, True])
def test_a_run_of_histogram_is_judged_like_any_other(tmp_path, references, given):
    root = make_dataset(tmp_path / "data", 2)
    method = {"references": str(references)} if given else {}
    run = run_here(config_of(root, **method), tmp_path / "run")
    for row in rows_of(run).values():
        assert row["status"] in ("ok", "rejected") and row["strength"] is not None and row["structure"] is not None
        assert (row["inversion_steps"], row["forward_evals"]) == (None, 0.0)
    assert run.run_json().method == "histogram"


def test_the_references_are_in_the_plan_by_their_bytes_not_their_place(tmp_path, references):
    root = make_dataset(tmp_path / "data", 1)
    before = identify(config_of(root, references=str(references)))
    moved = references.rename(tmp_path / "elsewhere")
    config = config_of(root, references=str(moved))
    assert identify(config) == before
    run_here(config, tmp_path / "run")
    (moved / "night" / "1.png").write_bytes(encode_png(photo(9, 0, 50)))
    assert identify(config) != before
    with pytest.raises(PlanMismatch):
        augment(config, tmp_path / "run")


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_change(share):
    config = parse_config(
        {
            "dataset": {"format": "bdd100k", "root": "/data"},
            "domains": ["night"],
            "method": {"name": "histogram", "share": share},
        }
    )
    source = photo(3, size=(90, 160))
    made = find_method("histogram").load(config.for_method(), "cpu").translate([source], ["night"])[0]["night"]
    whole = match_histograms(source, profile_colours(load_profile(NIGHT)))
    moved = (made.image.astype(float) - source).mean() / (whole.astype(float) - source).mean()
    assert made.image.shape == source.shape and moved == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", ["histogram", "reinhard", "gamma"])
def test_no_model_is_needed_loaded_or_hashed(tmp_path, name):
    root = make_dataset(tmp_path / "data", 2)
    run = run_here(make_config(root, model="nobody/nowhere", method={"name": name}), tmp_path / "run")
    rows = rows_of(run)
    assert len(rows) == 4 and {r["status"] for r in rows.values()} <= {"ok", "rejected"}
    assert {(r["method"], r["model"], r["model_sha256"]) for r in rows.values()} == {(name, "", "")}
    assert all(r["strength"] is not None for r in rows.values())
    assert (run.run_json().model, verify(run).findings) == ("", ())


def test_a_domain_without_a_profile_is_matched_to_references_and_its_strength_is_null(tmp_path, references):
    (references / "rain").rename(references / "snow")
    root = make_dataset(tmp_path / "data", 1)
    config = make_config(root, domains=["snow"], method={"name": "histogram", "references": str(references)})
    (row,) = rows_of(run_here(config, tmp_path / "run")).values()
    assert (row["domain"], row["profile_sha256"], row["strength_null"]) == ("snow", "", "no_discriminant")
    with pytest.raises(ProfileError, match="unknown domain 'nigth'; did you mean 'night'"):
        identify(make_config(root, domains=["nigth"], method={"name": "histogram"}))


@pytest.mark.parametrize("name", ["reinhard", "gamma"])
def test_simple_changes_reach_the_targets_mean_lightness(name):
    target = colours_of([photo(2, 0, 90)])
    found = to_lab(find_method(name).change(photo(1), target))
    assert abs(found[..., 0].mean() - target.quantiles[:, 0].mean()) < 2


def test_a_domain_without_references_is_one_line(tmp_path, references):
    (references / "rain").rename(references / "snow")
    with pytest.raises(ConfigError, match=r"^method.references: no photos of rain in [^\n]*/references/rain$"):
        identify(config_of(make_dataset(tmp_path / "data", 1), references=str(references)))
