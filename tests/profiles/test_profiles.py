"""Domain profiles: cleaning, building, the file, what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.errors import ConfigError, ProfileError
from s2st_aug.images import encode_png, read_image
from s2st_aug.profiles import build_profile, find_image_profiles, find_profile, load_profile, save_profile
from s2st_aug.profiles import recipe as recipes
from s2st_aug.profiles.build import eta, measure
from s2st_aug.profiles.cleaning import ReferencePhotos, clean_references
from s2st_aug.profiles.colours import profile_colours
from s2st_aug.profiles.recipe import ProfileRecipe, build_all, read_recipe
from s2st_aug.profiles.store import profile_files
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation.targets import seeds_at
from s2st_aug.validation.strength import fit_discriminant, position, strength

MODEL = tiny_latent_model()


def write_photos(folder: Path, count: int, low: int, high: int, *, key: int = 0) -> Path:
    rng = np.random.default_rng(key)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        coarse = rng.integers(low, high, (6, 8, 3)).astype(np.uint8)
        (folder / f"p{i:03d}.png").write_bytes(encode_png(coarse.repeat(10, 0).repeat(10, 1)))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("photos")
    return {"day": write_photos(root / "day", 25, 120, 250), "night": write_photos(root / "night", 25, 0, 60, key=1)}


@pytest.fixture(scope="module")
def night(folders):
    day = measure(MODEL, [ReferencePhotos(folders["day"])], "day", "a street by day")
    return build_profile(MODEL, "night", "a street at night", [ReferencePhotos(folders["night"])], {"day": day})


def test_a_profile_tells_night_from_day(night, folders):
    assert night.latents.shape == night.seeds.shape == (4, 8, 128)
    assert (np.diff(night.latents) >= -1e-6).all()
    assert night.latents.mean() < -0.8
    assert night.eta["day"].mean() == pytest.approx(1, abs=1e-5)
    assert len(night.references) == 20
    assert night.discriminant.target_median > night.discriminant.source_median


def test_seeds_at_another_level_move_by_the_mean(night):
    assert (seeds_at(night, night.seed_abar) == night.seeds).all()
    moved = seeds_at(night, 4 * night.seed_abar) - night.seeds
    assert moved[0, 0, 0] == pytest.approx(night.seed_abar**0.5 * night.latents[0, 0].mean(), rel=1e-4)


def test_eta_counts_what_differs_over_what_varies():
    rng = np.random.default_rng(0)
    source = np.sort(rng.normal(0, 1, (30, 1, 3, 64)), -1)
    target = np.sort(rng.normal(0, 1, (30, 1, 3, 64)), -1)
    target[:, :, 0] += 2
    found = eta(source, target)
    assert found[0, 0] > 5 * max(found[0, 1], found[0, 2])
    assert found.mean() == pytest.approx(1)


def test_a_file_holds_all_of_it(night, tmp_path):
    saved = save_profile(night, tmp_path / "night.safetensors")
    again = load_profile(tmp_path / "night.safetensors", MODEL)
    assert again.sha256 == saved.sha256 != ""
    for field in dataclasses.fields(night):
        a, b = getattr(again, field.name), getattr(saved, field.name)
        if field.name == "discriminant":
            assert all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
        elif field.name.startswith("eta"):
            assert all((a[k] == b[k]).all() for k in b)
        else:
            assert np.array_equal(a, b), field.name
    assert save_profile(again, tmp_path / "again.safetensors").sha256 == saved.sha256


@pytest.mark.parametrize("cut", [0, 5, 40, 2000, -1])
def test_a_damaged_file_is_refused_in_one_line(night, tmp_path, cut):
    path = tmp_path / "night.safetensors"
    save_profile(night, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ProfileError, match="not a domain profile, or damaged") as error:
        load_profile(path)
    assert "\n" not in str(error.value)


def test_no_bit_of_a_profile_can_be_flipped(night, tmp_path):
    path = tmp_path / "night.safetensors"
    save_profile(night, path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(8, 40), *rng.integers(8, len(data), 200)]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(ProfileError, match="damaged") as error:
            load_profile(path)
        assert "\n" not in str(error.value)


def test_every_shipped_profile_is_listed_and_no_bit_of_it_can_be_flipped(repo, tmp_path):
    """Those of before a profile held its own hash: a run is identified by the hash of their bytes, so these stay."""
    folders = sorted(path.parent for path in (repo / "s2st_aug/weights").glob("*/profiles/SHA256SUMS"))
    assert folders
    for folder in folders:
        listed = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
        assert listed == {p.name: load_profile(p).sha256 for p in folder.glob("*.safetensors")}
        (tmp_path / "SHA256SUMS").write_bytes((folder / "SHA256SUMS").read_bytes())
        flipped = bytearray((folder / "night.safetensors").read_bytes())
        flipped[-5] ^= 1
        (tmp_path / "night.safetensors").write_bytes(flipped)
        with pytest.raises(ProfileError, match="its bytes are not those that SHA256SUMS lists"):
            load_profile(tmp_path / "night.safetensors")


def test_a_profile_built_anew_beside_the_list_is_taken_by_its_own_hash(night, tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  night.safetensors\n")
    save_profile(night, tmp_path / "night.safetensors")
    assert load_profile(tmp_path / "night.safetensors", MODEL).name == "night"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: {"latents": p.latents[..., ::-1]}, "quantiles that fall"),
        (lambda p: {"eta_seeds": {}}, "eta is against day, eta_seeds against nothing"),
        (lambda p: {"eta": {**p.eta, "dusk": p.eta["day"]}}, "eta is against day, dusk, eta_seeds against day"),
        (lambda p: {"eta": {"day": p.eta["day"][:, :4]}}, "eta should be bands x views"),
        (lambda p: {"views": p.views[:, :3]}, "should be 8 rows over"),
        (lambda p: {"views": p.views[:4]}, "should be 8 rows over"),
        (lambda p: {"views": None}, "see 8 latent channels, .* has 4"),
        (
            lambda p: {"discriminant": dataclasses.replace(p.discriminant, weights=p.discriminant.weights[:5])},
            "should be of one length",
        ),
        (lambda p: {"features": p.features[:, :5]}, "should be of one length"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(night, tmp_path, damage, says):
    save_profile(dataclasses.replace(night, **damage(night)), tmp_path / "bad.safetensors")
    with pytest.raises(ProfileError, match=says) as error:
        load_profile(tmp_path / "bad.safetensors", MODEL)
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_refused(night, tmp_path):
    latents = night.latents.copy()
    latents[0, 0, 0] = np.nan
    save_profile(dataclasses.replace(night, latents=latents), tmp_path / "bad.safetensors")
    with pytest.raises(ProfileError, match="not finite"):
        load_profile(tmp_path / "bad.safetensors")


def test_another_models_profile_is_refused(night, tmp_path):
    save_profile(night, tmp_path / "night.safetensors")
    with pytest.raises(ProfileError, match="was built for model"):
        load_profile(tmp_path / "night.safetensors", tiny_latent_model(rng_key=7))


def test_shipped_profiles_are_found_by_name(night, tmp_path):
    model = dataclasses.replace(MODEL, profiles=tmp_path)
    save_profile(night, tmp_path / "night.safetensors")
    assert find_profile("night", model).name == "night"
    assert find_profile(str(tmp_path / "night.safetensors"), model).name == "night"
    with pytest.raises(ProfileError, match="did you mean 'night'"):
        find_profile("nihgt", model)
    with pytest.raises(ProfileError, match=r"ships no profile for 'rain' .*--references DIR --source day=DIR --prompt"):
        find_profile("rain", model)
    with pytest.raises(ProfileError, match="cannot be read"):
        find_profile("./gone.safetensors", model)


def test_cleaning_drops_doubles_outliers_and_broken_files_and_says_so(tmp_path):
    folder = write_photos(tmp_path, 12, 100, 160)
    (folder / "copy.png").write_bytes((folder / "p003.png").read_bytes())
    (folder / "black.png").write_bytes(encode_png(np.zeros((60, 80, 3), np.uint8)))
    (folder / "broken.jpg").write_bytes(b"no image")
    found = clean_references(ReferencePhotos(folder))
    assert (found.unreadable, found.outliers) == (("broken.jpg",), ("black.png",))
    assert len(found.doubles) == 1
    assert len(found.kept) == 12
    assert not found.overlay.any()
    assert "1 double" in " ".join(found.lines("night"))


def with_bonnet(folder: Path) -> Path:
    for path in folder.iterdir():
        photo = read_image(path)
        photo[50:] = 10
        photo[50:52] = 240
        path.write_bytes(encode_png(photo))
    return folder


def test_each_folder_of_several_leaves_its_own_bonnet_out(tmp_path):
    """The codes of two folders together are those of each alone."""
    folders = [with_bonnet(write_photos(tmp_path / "a", 16, 60, 250)), write_photos(tmp_path / "b", 16, 60, 250, key=1)]
    apart = [measure(MODEL, [ReferencePhotos(f)], "day", "day").codes for f in folders]
    together = measure(MODEL, [ReferencePhotos(f) for f in folders], "day", "day").codes
    assert len(together) == sum(map(len, apart))
    assert all(torch.equal(c.windows, d.windows) for c, d in zip(together, [*apart[0], *apart[1]], strict=True))
    low = [c[0].windows[0, -1].mean() / c[0].windows[0].mean() for c in apart]
    assert low[0] < 0.4 < 0.9 < low[1]


def test_a_bonnet_in_every_photo_is_left_out(tmp_path):
    folder = with_bonnet(write_photos(tmp_path, 16, 60, 250))
    found = clean_references(ReferencePhotos(folder))
    rows = found.overlay.mean(1)
    assert rows[42:].mean() > 0.7
    assert rows[:30].mean() < 0.05


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="holds no readable photo"):
        clean_references(ReferencePhotos(tmp_path))
    with pytest.raises(ProfileError, match="no such folder"):
        clean_references(ReferencePhotos(tmp_path / "gone"))


def test_too_few_photos_leave_strength_null(tmp_path, caplog):
    day = measure(MODEL, [ReferencePhotos(write_photos(tmp_path / "a", 6, 120, 250))], "day", "day")
    found = build_profile(
        MODEL, "night", "night", [ReferencePhotos(write_photos(tmp_path / "b", 6, 0, 60))], {"day": day}
    )
    assert found.discriminant is None
    assert "strength will be null" in caplog.text


def test_every_recipe_of_the_repository_loads(repo, named_photos):
    paths = sorted((repo / "configs").glob("domains_*.yaml"))
    assert len(paths) >= 2
    for path in paths:
        recipe = read_recipe(path)
        assert {"day", "night", "rain"} <= set(recipe.domains)
        assert not any("photos/" in f for d in recipe.domains.values() for f in d.references)


def test_every_command_for_a_profile_of_another_model_names_its_source(repo):
    """No profile of day ships with such a model, so that a build without --source could only be refused."""
    texts = [p.read_text() for p in sorted((repo / "configs").glob("*_sd*.yaml"))]
    commands = [line for text in texts for line in text.splitlines() if "domain build" in line]
    assert len(commands) == 6
    assert all("--source day=DIR" in line for line in commands)


def test_a_wrong_recipe_is_one_line(tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"model": "m", "dat": "x"}))
    with pytest.raises(ConfigError, match=r"data: missing.*dat: unknown key") as error:
        read_recipe(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


def drawn_recipe(tmp_path: Path, folders: dict[str, Path], **discriminant: str) -> ProfileRecipe:
    part = {"source": ["day"], "target": ["night"], "fitted_on": "drawn", **discriminant}
    night = {"prompt": "night", "references": ["night"], "discriminant": part}
    data = folders["day"].parent
    return ProfileRecipe(
        model="m",
        data=data,
        out=tmp_path,
        source_prompt="day",
        sources={"day": ["day"]},
        domains={"night": night, "dusk": night},
    )


def test_a_recipe_fits_strength_on_the_photos_it_names(tmp_path, folders, monkeypatch):
    counts = []
    monkeypatch.setattr(
        recipes, "fit_discriminant", lambda a, b, on, **_: counts.append((len(a), len(b))) or fit_discriminant(a, b, on)
    )
    for photos in ("held_out", "all"):
        built = list(build_all(drawn_recipe(tmp_path, folders, photos=photos), MODEL, only=["night"]))
        assert [p.name for p in built] == ["night"]
    assert counts == [(5, 5), (25, 25)]
    assert not (tmp_path / "dusk.safetensors").exists()


def test_an_unknown_domain_of_a_recipe_is_said(tmp_path, folders):
    with pytest.raises(ConfigError, match=r"no domain 'nigth' in the recipe.*night"):
        next(build_all(drawn_recipe(tmp_path, folders), MODEL, only=["nigth"]))


def test_the_shipped_dusk_tells_later_frames_of_its_video_from_another_day_and_darkness_from_dusk(repo, shared_data):
    d = load_profile(repo / "s2st_aug/weights/street-photo/profiles/dusk.safetensors").discriminant
    dusk = [read_image(p) for p in sorted((shared_data / "camvid/dusk/images").glob("*")) if p.stem >= "0001TP_007620"]
    day = [read_image(p) for p in sorted((shared_data / "camvid/day/images").glob("0006R0*"))[::10]]
    middle = (d.source_median + d.target_median) / 2
    assert len(dusk) == 31
    assert min(position(i, d) for i in dusk) > middle + 0.25 * (d.target_median - d.source_median)
    assert max(position(i, d) for i in day) < middle
    assert max(strength(i, (i * share).astype(np.uint8), d) for i in day for share in (0.5, 0.25)) < 0.25


def test_a_profile_without_a_model_has_what_images_alone_say(tmp_path, capsys):
    write_photos(tmp_path / "day", 22, 90, 250)
    write_photos(tmp_path / "snow", 22, 180, 255)
    words = ["domain", "build", "snow", "--references", str(tmp_path / "snow"), "--source", f"day={tmp_path / 'day'}"]
    file = tmp_path / "snow.safetensors"
    assert run_group(build_group(), [*words, "--model", "none", "--out", str(file)]) == 0, capsys.readouterr().err
    profile = load_profile(file)
    assert (profile.model_sha256, profile.latents.size, profile.eta, profile.colours.shape) == ("", 0, {}, (3, 3, 256))
    assert profile.discriminant is not None and profile_colours(profile).quantiles[:, 0].mean() > 60
    assert list(find_image_profiles([str(file), "night"], "nobody/nowhere")) == ["snow", "night"]
    with pytest.raises(ProfileError, match="was built without a model, for images alone; build one"):
        find_profile(str(file), MODEL)
    assert run_group(build_group(), [*words, "--out", str(file)]) == 2
    assert "--prompt is missing" in capsys.readouterr().err


def test_shipped_profiles_have_all_the_quantiles_of_their_references():
    for name in EMBEDDED:
        for path in profile_files(EMBEDDED[name] / "profiles").values():
            profile = load_profile(path)
            assert profile.colours is not None and profile.colours.shape == (3, 3, 256), path
            assert (np.diff(profile.colours, axis=-1) >= 0).all()
