"""CONTRIBUTING's "Add a dataset", done: a card, a folder and a line outside of the package, and all works."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from engine_here import rows_of, run_here
from trees import image, put

from s2st_aug.cli import main
from s2st_aug.config.load import parse_config
from s2st_aug.errors import DatasetError, UsageError
from s2st_aug.export import export_run
from s2st_aug.formats import find_format, format_names, load_card, read_objects, read_scenes
from s2st_aug.formats.kitti import FORMAT as KITTI
from s2st_aug.formats.registry import GROUP
from s2st_aug.records.scene import Scene
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import write_tree

CSV = "car,4,5,20,25\npedestrian,30,4,38.50,28\n"


@pytest.fixture
def steps(repo: Path) -> dict[str, str]:
    """The files that CONTRIBUTING's section names, and its commands under `sh`."""
    section = (repo / "CONTRIBUTING.md").read_text().partition("## Add a dataset")[2].partition("\n## ")[0]
    files = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', section, re.M | re.S))
    return files | {"sh": re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)[0]}


@pytest.fixture
def installed(tmp_path, monkeypatch, steps):
    """Somebody else's package as pip would have put it in place; the working directory is beside its card."""
    site = tmp_path / "site"
    put(site, "boxes_csv/__init__.py", steps["boxes_csv/__init__.py"])
    groups = tomllib.loads(steps["pyproject.toml"])["project"]["entry-points"]
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    put(site, "boxes_csv-1.0.dist-info/entry_points.txt", "\n".join(lines))
    put(site, "boxes_csv-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: boxes-csv\nVersion: 1.0\n")
    put(tmp_path, "boxes_csv.yaml", steps["boxes_csv.yaml"])
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    find_format.cache_clear()
    sys.modules.pop("boxes_csv", None)


def write_data(root: Path) -> None:
    for name in ("a", "b"):
        image(root, f"images/train/{name}.png", (48, 32))
        put(root, f"labels/train/{name}.csv", CSV)


def called(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*words])
    return int(stopped.value.code or 0)


def test_three_steps_add_a_dataset_from_outside(installed, steps, capsys):
    write_data(installed / "data")
    doctor, augment, own, coco = [line.split() for line in steps["sh"].splitlines()]

    assert called(*doctor[1:]) == 0
    assert "2 scenes, 2 with labels" in capsys.readouterr().out

    config = parse_config(
        {
            "dataset": {"format": "boxes_csv.yaml", "root": "data"},
            "domains": ["night"],
            "validation": {"min_contrast": None},
        }
    )
    assert augment == ["s2st-aug", "augment", "boxes.yaml", "--run", "runs/boxes"]
    rows = rows_of(run_here(config, "runs/boxes"))
    assert {key: row["status"] for key, row in rows.items()} == {("train/a", "night"): "ok", ("train/b", "night"): "ok"}
    assert [o["category"] for o in rows["train/a", "night"]["objects"]] == ["car", "pedestrian"]

    assert called(*own[1:]) == 0
    assert (installed / "out/own/labels/train/a.csv").read_text() == CSV
    assert (installed / "out/own/images/train/a__night.png").is_file()
    found = list(read_scenes(load_card("boxes_csv.yaml"), installed / "out/own", "train"))
    assert [scene.scene_id for scene in found] == ["train/a", "train/a__night", "train/b", "train/b__night"]

    assert called(*coco[1:]) == 0
    data = json.loads((installed / "out/coco/annotations/instances_train2017.json").read_text())
    assert len(data["images"]) == 4
    assert [a["bbox"] for a in data["annotations"][:2]] == [[4, 5, 16, 20], [30, 4, 8.5, 24]]


def test_its_own_way_to_write_a_lost_label_is_taken_and_no_other_formats(installed):
    """Its label trees are called `lines`, as YOLO's and KITTI's are: a lost line was once left out, as YOLO has it."""
    write_data(installed / "data")
    card = load_card("boxes_csv.yaml")
    write_run(
        installed / "run", card, installed / "data", verdicts=lambda s, o: "lost" if o.object_id == "0" else "keep"
    )
    info = installed / "run/run.json"
    info.write_text(info.read_text().replace('"format": "boxes_csv"', '"format": "boxes_csv.yaml"'))
    summary = export_run(installed / "run", "boxes_csv", installed / "out")
    assert (installed / "out/labels/train/a__night.csv").read_text() == "ignored,4,5,20,25\npedestrian,30,4,38.50,28\n"
    assert summary.losses == 0
    lock = json.loads((installed / "out/s2st_aug.lock.json").read_text())
    assert lock["settings"]["format"] == "boxes_csv"
    (variant,) = (s for s in read_scenes(card, installed / "out", "train") if s.scene_id == "train/a__night")
    assert [o.crowd for o in read_objects(card, installed / "out", variant)] == [True, False]


def test_a_lost_car_of_a_format_made_from_kittis_becomes_dontcare(tmp_path, monkeypatch, repo):
    """A new name for KITTI's form once fell through to YOLO's way, and the car's line was gone."""
    monkeypatch.setattr("s2st_aug.formats.kitti.MINE", replace(KITTI, name="mine"), raising=False)
    text = (repo / "datasets/kitti.yaml").read_text()
    card = put(tmp_path, "mine.yaml", text.replace("adapter: kitti", "adapter: s2st_aug.formats.kitti:MINE"))
    root, split = tmp_path / "data", write_tree("kitti", tmp_path / "data")
    write_run(
        tmp_path / "run", load_card(card), root, split, verdicts=lambda s, o: "lost" if o.category == "Car" else "keep"
    )
    info = tmp_path / "run/run.json"
    info.write_text(info.read_text().replace('"format": "kitti"', f'"format": "{card}"'))
    export_run(tmp_path / "run", "s2st_aug.formats.kitti:MINE", tmp_path / "out")
    lines = (tmp_path / "out/training/label_2/000000__night.txt").read_text().splitlines()
    assert lines[0] == "DontCare -1 -1 -10 4.00 5.00 20.00 25.00 -1 -1 -1 -1000 -1000 -1000 -10"


def test_a_run_finds_its_card_from_any_working_directory_and_its_plan_is_the_same_wherever_the_card_lies(
    installed, monkeypatch
):
    write_data(installed / "data")
    runs = {}
    for place in ("here", "there"):
        folder = installed / place
        folder.mkdir()
        (folder / "boxes_csv.yaml").write_bytes((installed / "boxes_csv.yaml").read_bytes())
        monkeypatch.chdir(folder)
        config = parse_config(
            {
                "dataset": {"format": "boxes_csv.yaml", "root": str(installed / "data")},
                "domains": ["night"],
                "validation": {"min_contrast": None},
            }
        )
        runs[place] = run_here(config, folder / "run")
    monkeypatch.chdir("/")
    assert export_run(installed / "here/run", "coco", installed / "coco").synthetic == 2
    assert runs["here"].run_json().plan_sha256 == runs["there"].run_json().plan_sha256


def test_the_card_alone_may_name_the_object(installed, steps):
    put(installed, "direct.yaml", steps["boxes_csv.yaml"].replace("adapter: boxes_csv", "adapter: boxes_csv:FORMAT"))
    write_data(installed / "data")
    card = load_card(installed / "direct.yaml")
    assert find_format(card.adapter) is find_format("boxes_csv")
    assert len(list(read_scenes(card, installed / "data", "train"))) == 2
    assert format_names()[-1] == "boxes_csv"


@pytest.mark.parametrize(
    ("adapter", "clue"),
    [
        ("boxes_cvs", "no dataset format named 'boxes_cvs'; did you mean 'boxes_csv'"),
        ("nowhere.at_all:FORMAT", "cannot be loaded: No module named 'nowhere'"),
        ("boxes_csv:FROMAT", "cannot be loaded: module 'boxes_csv' has no attribute 'FROMAT'"),
        ("boxes_csv:read_scenes", "expected a DatasetFormat, boxes_csv:read_scenes is a function"),
        (":", "cannot be loaded"),
    ],
)
def test_a_format_that_cannot_be_found_is_one_line(installed, steps, adapter, clue):
    put(installed, "wrong.yaml", steps["boxes_csv.yaml"].replace("adapter: boxes_csv", f"adapter: '{adapter}'"))
    with pytest.raises(DatasetError) as error:
        load_card("wrong.yaml")
    assert clue in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_format_does_not_do_is_one_line(installed):
    root = installed / "yolo"
    write_run(installed / "run", load_card("yolo"), root, write_tree("yolo", root))
    with pytest.raises(UsageError, match="other formats cannot be exported to CSV boxes"):
        export_run(installed / "run", "boxes_csv", installed / "out")
    assert not (installed / "out").exists()


@pytest.mark.parametrize("kind", ["framse", "instance"])
def test_a_label_tree_of_an_unknown_kind_is_told_when_the_card_is_read(tmp_path, repo, kind):
    data = yaml.safe_load((repo / "datasets/bdd100k.yaml").read_text())
    data["labels"][0]["kind"] = kind
    with pytest.raises(DatasetError, match=rf"labels\.det_20: kind '{kind}' is unknown; did you mean"):
        load_card(put(tmp_path, "card.yaml", yaml.safe_dump(data)))


def test_the_registry_names_the_builtin_formats_and_help_says_them(capsys):
    from s2st_aug.formats.registry import FORMATS

    assert GROUP == "s2st_aug.formats"
    assert [find_format(name).name for name in FORMATS] == list(FORMATS)
    assert called("export", "--help") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in FORMATS)


def test_a_scene_whose_image_is_named_otherwise_cannot_be_marked():
    from s2st_aug.errors import LabelError
    from s2st_aug.formats.base import variant_names

    with pytest.raises(LabelError, match="does not hold its name"):
        variant_names(Scene("train/a", "x", "train", "images/b.jpg"), "__night", ".jpg")
