"""No two files of an export meet: variants of an earlier export, names alike but for case, too long for a disk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from trees import image, put

from s2st_aug.errors import UsageError
from s2st_aug.export import export_run
from s2st_aug.export.lockfile import variants_in
from s2st_aug.export.output import LOCK, OutputFolder
from s2st_aug.formats import load_card, read_scenes
from s2st_aug.formats.names import flat_names, marks_of
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import VARIETIES, write_tree

FIVE = ["bdd100k", "cityscapes", "coco", "kitti", "yolo"]


def exported(tmp_path: Path, card: str, root: Path, split: str, to: str | None = None, domains=("night",)) -> Path:
    """A run over the tree, exported to a format (None: its own); where it lies."""
    found = load_card(card)
    number = len(list(tmp_path.glob("run*")))
    write_run(tmp_path / f"run{number}", found, root, split, domains=domains)
    out = tmp_path / f"out{number}"
    export_run(tmp_path / f"run{number}", to or found.adapter, out)
    return out


def placed(out: Path) -> dict[str, list[str]]:
    """The images of an export: what each of them shows."""
    return json.loads((out / LOCK).read_bytes())["names"]


@pytest.mark.parametrize("variety", VARIETIES)
def test_a_run_over_an_earlier_export_can_be_exported(tmp_path, variety):
    card, split = VARIETIES[variety].card, VARIETIES[variety].split
    write_tree(variety, tmp_path / "data")
    first = exported(tmp_path, card, tmp_path / "data", split)
    again = exported(tmp_path, card, first, split)
    before = placed(first)
    assert set(before) < set(placed(again)), "the images of the first export keep their names"
    assert Counter(source for _, source in placed(again).values()) == {"real": len(before), "night": len(before)}
    scenes = list(read_scenes(load_card(card), again, split))
    assert len({s.scene_id for s in scenes}) == len(scenes) == 2 * len(before)


def test_another_mark_than_usual_is_told(tmp_path):
    write_yolo(tmp_path / "data", "a.jpg")
    write_run(tmp_path / "first", load_card("yolo"), tmp_path / "data")
    assert "NAME" not in str(export_run(tmp_path / "first", "yolo", tmp_path / "one").notes)
    assert variants_in(tmp_path / "data") == 0
    assert variants_in(tmp_path / "one") == 1
    write_run(tmp_path / "second", load_card("yolo"), tmp_path / "one")
    told = export_run(tmp_path / "second", "yolo", tmp_path / "two").notes
    assert any("variants of night are named `NAME__night-2`" in line for line in told), told


def test_a_held_out_image_keeps_its_name_beside_the_variants(tmp_path):
    root, line = tmp_path / "data", "Car 0 0 0 4.00 6.00 20.00 26.00 1 1 1 1 1 1 1\n"
    for split, stem in (("train", "a"), ("val", "a__night")):
        put(root, f"ImageSets/{split}.txt", f"{stem}\n")
        put(root, f"training/label_2/{stem}.txt", line)
        image(root, f"training/image_2/{stem}.png")
    held_out = (root / "training/image_2/a__night.png").read_bytes()
    write_run(tmp_path / "run", load_card("kitti"), root, "train")
    export_run(tmp_path / "run", "kitti", tmp_path / "out", with_val=True)
    assert (tmp_path / "out/training/image_2/a__night.png").read_bytes() == held_out
    assert (tmp_path / "out/ImageSets/train.txt").read_text().split() == ["a", "a__night-2"]


@pytest.mark.parametrize("target", FIVE)
@pytest.mark.parametrize("source", FIVE)
def test_a_run_over_an_earlier_export_can_be_converted(tmp_path, source, target):
    split = write_tree(source, tmp_path / "data")
    first = exported(tmp_path, source, tmp_path / "data", split)
    again = exported(tmp_path, source, first, split, target)
    assert len({name.casefold() for name in placed(again)}) == 2 * len(placed(first))


def write_yolo(root: Path, *names: str) -> None:
    """Images of one car each."""
    put(root, "data.yaml", "train: images/train\nnames: [car]\n")
    for name in names:
        image(root, f"images/train/{name}", format="PNG" if name.endswith("png") else "JPEG")
        put(root, f"labels/train/{name.rpartition('.')[0]}.txt", "0 0.5 0.5 0.25 0.5\n")


@pytest.mark.parametrize(
    ("names", "domains", "mark"),
    [
        (["a.jpg", "a__night.jpg"], ["night"], "__night-2"),
        (["a.jpg", "a__night.png"], ["night"], "__night-2"),  # they would share a label file
        (["a.jpg", "A__NIGHT.jpg"], ["night"], "__night-2"),  # one file on a Mac's disk, or Windows'
        (["a.jpg", "a__night.jpg", "a__night-2.jpg"], ["night"], "__night-3"),
        (["a.jpg", "b.jpg"], ["Night", "night"], "__night-2"),
        (["a.jpg", "a__rain.jpg"], ["rain__night", "night"], "__rain__night-2"),  # a + rain__night is a__rain + night
        (["a.jpg", "b__night.jpg"], ["night"], "__night"),
    ],
)
def test_the_mark_of_a_domain_is_one_that_no_image_has(tmp_path, names, domains, mark):
    write_yolo(tmp_path / "data", *names)
    out = exported(tmp_path, "yolo", tmp_path / "data", "train", domains=tuple(domains))
    found = placed(out)
    assert len({name.casefold() for name in found}) == len(names) * (1 + len(domains))
    assert f"images/train/a{mark}.jpg" in found, sorted(found)


def test_a_video_of_variants_is_never_mixed_with_one_of_an_earlier_export(tmp_path):
    write_tree("bdd100k-track", tmp_path / "data")
    first = exported(tmp_path, "bdd100k_track", tmp_path / "data", "train")
    earlier = {Path(name).parent for name, (_, source) in placed(first).items() if source == "night"}
    kept = next(iter(sorted(first.glob("images/track/train/*__night/*"))))
    for other in set(kept.parent.iterdir()) - {kept}:  # the first run refused all frames but one
        other.unlink()
    again = exported(tmp_path, "bdd100k_track", first, "train")
    made = {Path(name).parent for name, (_, source) in placed(again).items() if source == "night"}
    assert not made & earlier


@pytest.mark.parametrize("card", FIVE)
def test_a_variants_name_is_cut_where_a_disk_would_refuse_it(tmp_path, card):
    root, long = tmp_path / "data", "x" * 200
    split = write_tree(card, root)
    old = {"bdd100k": "a", "coco": "a", "yolo": "a", "kitti": "000000", "cityscapes": "bonn_000000_000001"}[card]
    new = f"bonn_{long}_000001" if card == "cityscapes" else long + "y" * 45
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name.startswith(old):
            path.rename(path.with_name(path.name.replace(old, new, 1)))
    for path in root.rglob("*.json"):
        path.write_text(path.read_text().replace(f'"{old}.jpg"', f'"{new}.jpg"'))
    out = exported(tmp_path, card, root, split)
    images = placed(out)
    assert Counter(source for _, source in images.values())["night"] == len(images) / 2
    assert all(len(part.encode()) <= 255 for name in images for part in name.split("/"))


@pytest.mark.parametrize("target", FIVE)
def test_a_domain_of_a_long_name_leaves_room_for_the_image(tmp_path, target):
    write_yolo(tmp_path / "data", f"{'x' * 200}.jpg")
    out = exported(tmp_path, "yolo", tmp_path / "data", "train", target, domains=("d" * 240,))
    assert len(placed(out)) == 2


def test_marks_and_names_are_told_apart_for_any_order():
    names = ["a", "a__rain", "a__rain__night"]
    marks = marks_of(["rain", "night"], lambda d: f"__{d}", lambda mark: (name + mark for name in names), names)
    made = [name + mark for name in names for mark in ["", *marks.values()]]
    assert len(set(made)) == len(made)
    assert marks == {"rain": "__rain-2", "night": "__night-2"}
    assert flat_names(["a", "a__night"], ["night"])["a__night"] != "a__night"


def test_real_images_alike_but_for_case_are_refused_where_the_disk_makes_no_difference(tmp_path):
    with OutputFolder(tmp_path / "out", "copy", folds_case=True) as output:
        output.write("images/A.jpg", b"1")
        with pytest.raises(UsageError, match=r"images/a\.jpg.*case"):
            output.write("images/a.jpg", b"2")
    with OutputFolder(tmp_path / "out", "copy") as output:
        output.write("images/A.jpg", b"1")
        output.write("images/a.jpg", b"2")
