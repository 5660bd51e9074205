"""Pictures made elsewhere become a run: which file is whose, what is said of the rest, and a run's own verdicts."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
from engine_here import rows_of, run_here

from s2st_aug.cli import main
from s2st_aug.engine.adopt import adopted_config, list_pictures
from s2st_aug.engine.augment import augment
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import Options
from s2st_aug.engine.refusals import refuse
from s2st_aug.errors import ConfigError, PlanMismatch, UsageError
from s2st_aug.images import encode_png, read_image
from s2st_aug.procedural.write import write_scenes
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset
from s2st_aug.validation.gates import rescore_rows
from s2st_aug.validation.settings import ValidationSettings

SIZE = (48, 32)
TIMES = ("created_at", "seconds", "attempts")
OF_THE_MAKER = ("variant_id", "method", "method_version", "method_sha256", "plan_sha256")


def picture(number: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 80, (size[1], size[0], 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    return make_dataset(tmp_path / "data", 3)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        for domain in ("night", "rain"):
            (folder / f"f{i:06d}__{domain}.png").write_bytes(encode_png(picture(i)))
    return folder


def adopted(root, pictures, **given):
    config = make_config(root, **given.pop("config", {}))
    return adopted_config(config, pictures, **given)


def test_any_ending_finds_pictures_in_capitals_too(root, pictures):
    (pictures / "f000000__night.png").rename(pictures / "f000000__night.PNG")
    listed = list_pictures(adopted(root, pictures, pattern="{scene}__{domain}.*"))
    assert (listed.found, len(listed.surplus)) == (6, 0)


def test_a_runs_own_images_are_judged_as_the_run_judged_them(tmp_path):
    write_scenes(tmp_path / "scenes", 2, "bdd100k", ("day",), (320, 180), 5)
    config = make_config(tmp_path / "scenes/day", method={"name": "histogram"})
    own = run_here(config, tmp_path / "own")
    again = run_here(
        adopted_config(config, own.path / "images", pattern="{domain}/{scene}.png", made_by="histogram 2"),
        tmp_path / "again",
    )
    assert verify(again).findings == ()
    theirs = rows_of(own)
    for key, row in rows_of(again).items():
        same = set(row) - {*TIMES, *OF_THE_MAKER}
        assert {name: row[name] for name in same} == {name: theirs[key][name] for name in same}
        assert (row["method"], row["method_version"]) == ("external", "histogram 2")
        assert row["objects"]


def test_what_is_missing_or_left_over_is_told_and_fails_alone(root, pictures, tmp_path, capsys):
    (pictures / "f000001__night.png").unlink()
    (pictures / "f000002__rain.png").write_bytes(b"no image")
    (pictures / "other__night.png").write_bytes(encode_png(picture()))
    config = adopted(root, pictures)
    listed = list_pictures(config)
    assert listed.missing == (("train/f000001", "night", "train/f000001__night.png"),)
    assert (listed.surplus, listed.found) == (("other__night.png",), 5)
    rows = rows_of(run_here(config, tmp_path / "run"))
    failed = {key: row["failure"] for key, row in rows.items() if row["status"] == "failed"}
    assert failed == {
        ("train/f000001", "night"): "absent_image",
        ("train/f000002", "rain"): "unreadable_image",
    }
    assert "no picture of train/f000001 for night" in rows["train/f000001", "night"]["reasons"][0]
    assert len(rows) == 6


def test_another_size_is_resampled_and_said_and_a_quarter_turn_is_not(root, pictures, tmp_path):
    (pictures / "f000000__night.png").write_bytes(encode_png(picture(0, (24, 16))))
    (pictures / "f000001__night.png").write_bytes(encode_png(picture(0, (24, 24))))
    (pictures / "f000002__night.png").write_bytes(encode_png(picture(0, SIZE[::-1])))
    run = run_here(adopted(root, pictures), tmp_path / "run")
    rows = rows_of(run)
    assert rows["train/f000000", "night"]["reasons"][0] == "resampled: 24x16 to 48x32"
    assert rows["train/f000001", "night"]["reasons"][0] == "resampled: 24x24 to 48x32, stretched by 1.50"
    assert "it is 32x48, its source 48x32" in rows["train/f000002", "night"]["reasons"][0]
    assert read_image(run.image_file(rows["train/f000000", "night"]["image"])).shape == (32, 48, 3)
    assert not any("resampled" in reason for reason in rows["train/f000000", "rain"]["reasons"])
    again = {
        (r["scene_id"], r["domain"]): r for r in rescore_rows(run.read_manifest(), ValidationSettings()).to_pylist()
    }
    assert again["train/f000000", "night"]["reasons"] == rows["train/f000000", "night"]["reasons"]


def test_alpha_grey_and_orientation_of_a_picture(root, pictures, tmp_path):
    flat = PIL.Image.fromarray(picture(0))
    seen = flat.copy()
    flat.putalpha(7)
    flat.save(pictures / "f000000__night.png")
    seen.convert("L").save(pictures / "f000001__night.png")
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # BDD100K's labels are in stored pixels, and so is what was made from them
    seen.save(pictures / "f000002__night.png", exif=exif)
    rows = rows_of(run := run_here(adopted(root, pictures), tmp_path / "run"))
    shown = [read_image(run.image_file(rows[f"train/f{i:06d}", "night"]["image"])) for i in range(3)]
    assert (shown[0] == picture(0)).all() and (shown[2] == picture(0)).all()
    assert (shown[1][..., 0] == np.asarray(seen.convert("L"))).all()


def test_without_a_profile_strength_is_null_and_the_rest_is_judged(root, pictures, tmp_path):
    for path in list(pictures.iterdir()):
        path.rename(path.with_name(path.name.replace("rain", "snow")))
    config = adopted_config(make_config(root, domains=["night"]), pictures)
    config = config.model_copy(update={"domains": ("night", "snow")})
    assert list_pictures(config).unprofiled == ("snow",)
    rows = rows_of(run := run_here(config, tmp_path / "run"))
    for (_, domain), row in rows.items():
        assert (row["strength"] is None) == (domain == "snow") and row["structure"] is not None
        assert row["strength_null"] == ("no_discriminant" if domain == "snow" else None) and row["objects"]
    assert verify(run).findings == ()


def test_names_are_found_by_id_by_id_without_split_and_by_the_images_own_name(root, pictures, tmp_path):
    (pictures / "train").mkdir()
    (pictures / "f000000__night.png").rename(pictures / "train/f000000__night.png")
    assert list_pictures(adopted(root, pictures)).found == 6
    for path in [*pictures.glob("*.png"), *pictures.glob("train/*.png")]:
        PIL.Image.open(path).save(pictures / path.name.replace("__", "-").replace(".png", ".webp"))
        path.unlink()
    assert list_pictures(adopted(root, pictures, pattern="{scene}-{domain}.*")).found == 6


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"pattern": "{frame}.png"}, r"^pattern: expected a relative path with \{scene\}.*got '\{frame\}.png'"),
        ({"pattern": "../{scene}.png"}, "expected a relative path"),
        ({"pattern": "{scene}.png"}, r"lacks \{domain\}, and there are 2 domains"),
        (
            {"pattern": "{scene}_{domain}.png"},
            r"no picture for night; expected names such as train/f000000_night.png; other files there: f000000__",
        ),
    ],
)
def test_a_pattern_that_fits_nothing_is_one_line(root, pictures, given, error):
    with pytest.raises(UsageError, match=error) as caught:
        list_pictures(adopted(root, pictures, **given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["", "notes.txt"])
def test_a_folder_without_any_picture_says_just_that(root, tmp_path, file):
    folder = tmp_path / "empty"
    folder.mkdir()
    if file:
        (folder / file).write_text("")
    with pytest.raises(UsageError) as caught:
        list_pictures(adopted(root, folder))
    assert str(caught.value) == f"pictures: no image file below {folder}"


def test_one_picture_is_not_taken_by_two_scenes(root, pictures):
    (root / "images/100k/train/b").mkdir()
    (root / "images/100k/train/f000000.png").rename(root / "images/100k/train/b/f000001.png")
    labels = root / "labels/det_20/det_train.json"
    frames = json.loads(labels.read_text())
    frames[0]["name"] = "b/f000001.png"
    labels.write_text(json.dumps(frames))
    with pytest.raises(UsageError, match=r"matches both train/\S+ and train/\S+"):
        list_pictures(adopted(root, pictures))


def test_resumed_with_other_pictures_is_another_plan(root, pictures, tmp_path):
    config = adopted(root, pictures)
    run = run_here(config, tmp_path / "run", batches=slice(0, 0))
    assert len(rows_of(run)) == 0
    run = run_here(config, tmp_path / "run")
    assert len(rows_of(run)) == 6
    moved = pictures.rename(tmp_path / "moved")
    refuse(run, adopted(root, moved), identify(adopted(root, moved)), Options())
    (moved / "f000000__night.png").write_bytes(encode_png(picture(9)))
    with pytest.raises(PlanMismatch, match="changed"):
        augment(adopted(root, moved), tmp_path / "run")
    with pytest.raises(PlanMismatch):
        refuse(run, other := adopted(root, pictures.parent / "moved", made_by="else"), identify(other), Options())


def test_a_config_without_a_folder_of_pictures_is_refused(root):
    with pytest.raises(ConfigError, match=r"method\.pictures: missing"):
        identify(make_config(root, method={"name": "external"}))


@pytest.mark.parametrize(("word", "labels"), [("--dry-run", "not parsed"), ("--dry-run=full", "parsed")])
def test_a_dry_run_makes_nothing_and_parses_labels_on_demand(root, pictures, tmp_path, capsys, word, labels):
    config = tmp_path / "a.yaml"
    config.write_text(f"dataset: {{format: bdd100k, root: {root}}}\ndomains: [night, rain]\n")
    with pytest.raises(SystemExit) as stopped:
        main(["adopt", str(config), "--variants", str(pictures), "--run", str(tmp_path / "run"), word])
    told = capsys.readouterr().out
    assert (stopped.value.code, (tmp_path / "run").exists()) == (0, False)
    assert "6 pictures taken" in told and f" {labels}" in told


@pytest.mark.slow
def test_the_command_on_ray(root, pictures, tmp_path, capsys):
    config = tmp_path / "a.yaml"
    config.write_text(f"dataset: {{format: bdd100k, root: {root}}}\ndomains: [night, rain]\n")
    (pictures / "f000001__night.png").unlink()
    given = ["adopt", str(config), "--variants", str(pictures), "--run", str(tmp_path / "run"), "--made-by", "mine 1"]
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 1
    told = capsys.readouterr().out
    assert "5 pictures taken, 1 missing, 0 left over" in told
    (line,) = (tmp_path / "run/logs/missing_pictures.jsonl").read_text().splitlines()
    assert json.loads(line)["scene_id"] == "train/f000001"
