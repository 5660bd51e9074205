"""The promise that users check first: every byte of a record but for what it names; real native files survive."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.base import VariantEdit, variant_names
from s2st_aug.formats.bdd100k.edit import edit_frame
from s2st_aug.records.scene import Scene
from s2st_aug.testing.runs import write_run

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.sampled_from([-0.0, 1e-17, 1e300, math.nan, math.inf])
    | st.floats()
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=12
)
OWN = {"name", "attributes", "labels", "videoName", "frames"}
UNKNOWN = st.dictionaries(st.text().filter(lambda k: k not in OWN), VALUES, max_size=4)
LABEL = st.fixed_dictionaries(
    {"id": st.text(max_size=4) | st.integers(0, 10**30), "category": st.text(max_size=5)},
    optional={"attributes": st.none() | st.dictionaries(st.text(max_size=4), SCALARS, max_size=3), "x": VALUES},
)
ATTRIBUTES = st.none() | st.fixed_dictionaries(
    {}, optional={"timeofday": st.sampled_from(["daytime", "undefined"]), "weather": st.none(), "z": VALUES}
)
STYLES = st.sampled_from([{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"ensure_ascii": False}])


@given(UNKNOWN, st.lists(LABEL, max_size=4), ATTRIBUTES, STYLES, st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_spliced_record_differs_only_where_the_contract_says(unknown, labels, attributes, style, data):
    frame = {**unknown, "name": "ä b.jpg", "attributes": attributes, "labels": labels}
    text = json.dumps(frame, **style).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return  # a lone surrogate written raw is no JSON text
    ids = [str(label["id"]) for label in labels]
    ignored = frozenset(data.draw(st.sets(st.sampled_from(ids)))) if ids else frozenset()
    names = variant_names(Scene("train/ä b", "bdd100k", "train", "images/100k/train/ä b.jpg"), "__night_rain", ".jpg")
    edited = edit_frame(text, VariantEdit("night_rain", names, ignored, ignored))
    assert undone(json.loads(edited), frame, ignored)
    for key, value in unknown.items():  # not only the values: their spelling
        assert (
            json.dumps({key: value}, **({} if "indent" in style else style))[1:-1].encode("utf-8", "surrogatepass")
            in edited
            or "indent" in style
        )
    assert len(edited) < len(text) + 250 + 40 * len(ignored)


def undone(edited: dict, frame: dict, ignored: frozenset[str]) -> bool:
    """Takes back what promise 3 names; what is left must be the source's."""
    assert edited["name"] == "ä b__night_rain.jpg"
    edited["name"] = frame["name"]
    attributes, old = edited["attributes"], frame["attributes"] or {}
    for key in ("timeofday", "weather"):
        attributes.pop(key)
        if key in old:
            attributes[key] = attributes.pop(f"{key}_source")
    edited["attributes"] = attributes if frame["attributes"] is not None else None
    seen: set[str] = set()
    for label, source in zip(edited["labels"], frame["labels"], strict=True):
        name = str(source["id"])
        if name in ignored and name not in seen:
            assert label["attributes"].pop("ignored") is True
            if not isinstance(source.get("attributes"), dict):
                assert label.pop("attributes") == {}
                label |= {k: v for k, v in source.items() if k == "attributes"}
            elif "ignored" in source["attributes"]:
                label["attributes"]["ignored"] = source["attributes"]["ignored"]
        seen.add(name)
    return repr(ordered(edited)) == repr(ordered(frame))  # repr tells -0.0 from 0.0 and takes NaN as itself


def ordered(value):
    if isinstance(value, dict):
        return [[k, ordered(v)] for k, v in sorted(value.items())]
    return [ordered(v) for v in value] if isinstance(value, list) else value


def test_the_real_bdd100k_sample_survives(tmp_path, shared_data):
    root, card = shared_data / "bdd100k", load_card("bdd100k")
    write_run(
        tmp_path / "run",
        card,
        root,
        verdicts=lambda scene, item: "lost" if item.category == "traffic light" else "keep",
    )
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    source = (root / "labels/det_20/det_train.json").read_bytes()
    for scene in read_scenes(card, root, "train"):
        record = source[scene.label_key.start :][: scene.label_key.length]
        assert record in (tmp_path / "out/labels/det_20/det_train.json").read_bytes()
        assert (tmp_path / "out" / scene.image).read_bytes() == (root / scene.image).read_bytes()
    found = {s.scene_id: s for s in read_scenes(card, tmp_path / "out", "train")}
    lights = [
        o
        for o in read_objects(card, tmp_path / "out", found["train/0000f77c-6257be58__night"])
        if o.category == "traffic light"
    ]
    assert lights
    assert all(light.crowd for light in lights)
    assert found["train/0000f77c-6257be58__night"].attributes["timeofday_source"] == "daytime"


@pytest.mark.parametrize(("name", "split"), [("bdd100k_10k", "train"), ("cityscapes", "train")])
def test_real_label_images_survive_byte_for_byte(tmp_path, shared_data, name, split):
    card = load_card(name)
    root = tmp_path / "data"
    shutil.copytree(shared_data / card.adapter, root, copy_function=lambda a, b: shutil.copyfile(a, b))
    for path in (root / "leftImg8bit").rglob("*.png") if card.adapter == "cityscapes" else ():
        Image.new("RGB", (2048, 1024)).save(path)  # the labels are what is looked at; real photos only cost time
    write_run(tmp_path / "run", card, root, split)
    export_run(tmp_path / "run", card.adapter, tmp_path / "out")
    for scene in read_scenes(card, root, split):
        stem = scene.scene_id.rpartition("/")[2]
        mark = "-night" if card.adapter == "cityscapes" else "__night"
        for file in (scene.label_file, *scene.extra_files):
            data = (root / file).read_bytes()
            assert (tmp_path / "out" / file).read_bytes() == data
            assert (tmp_path / "out" / file.replace(stem, stem + mark)).read_bytes() == data


def sample_tree(shared_data, root):
    """The label samples without images as BDD100K trees, with images of the right size made up."""
    samples = shared_data / "bdd100k_label_samples"
    put = {
        "label/testcases/example_annotation.json": "labels/seg_track_20/polygons/train/b1c81faa-3df17267.json",
        "label/testcases/example_ignore_annotation.json": "labels/seg_track_20/polygons/train/00091078-875c1f73.json",
        "label/testcases/panseg_bdd100k/panseg_bdd100k.json": "labels/pan_seg/polygons/pan_seg_train.json",
        "label/testcases/panseg_bdd100k/panseg_mask.png": "labels/pan_seg/bitmasks/train/panseg_mask.png",
        "label/testcases/to_rle/test-rle.json": "labels/sem_seg/rles/sem_seg_train.json",
        "eval/testcases/lane/gts/fe189115-9981a740.png": "labels/lane/masks/train/fe189115-9981a740.png",
        "label/testcases/semseg_mask.png": "labels/sem_seg/masks/train/semseg.png",
    }
    for source, target in put.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(samples / source, root / target)
    return root


SAMPLES = [
    ("bdd100k_seg_track", "images/seg_track_20/train/b1c81faa-3df17267/b1c81faa-3df17267-0000001.jpg", ()),
    ("bdd100k_seg_track", "images/seg_track_20/train/00091078-875c1f73/00091078-875c1f73-0000166.jpg", ()),
    ("bdd100k_10k", "images/10k/train/panseg_mask.jpg", ("sem_seg/masks", "sem_seg/rles")),
    ("bdd100k_10k", "images/10k/train/9159d511-fb308249.jpg", ("sem_seg/masks", "pan_seg")),
    ("bdd100k_10k", "images/10k/train/semseg.jpg", ("pan_seg", "sem_seg/rles")),
]


@pytest.mark.parametrize(("name", "image", "without"), SAMPLES)
def test_label_samples_survive(tmp_path, shared_data, name, image, without):
    root, card = sample_tree(shared_data, tmp_path / "data"), load_card(name)
    for part in without:
        shutil.rmtree(root / "labels" / part)
    path = root / image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (1280, 720)).save(path)
    write_run(tmp_path / "run", card, root)
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    assert (tmp_path / "out" / image).is_file()
    sources = {s.scene_id: read_objects(card, root, s) for s in read_scenes(card, root, "train")}
    found = {s.scene_id: read_objects(card, tmp_path / "out", s) for s in read_scenes(card, tmp_path / "out", "train")}
    pairs = [(found[k], sources[same]) for k in found if (same := k.replace("__night", "")) in sources]
    assert any("__night" in k for k in found)
    assert sum(len(a) for a, _ in pairs) > 0 or name == "bdd100k_seg_track"
    for ours, theirs in pairs:
        assert [(o.object_id, o.category, o.bbox, o.kind) for o in ours] == [
            (o.object_id, o.category, o.bbox, o.kind) for o in theirs
        ]
        assert all(
            np.array_equal(a, b)
            for o, t in zip(ours, theirs, strict=True)
            for a, b in zip(o.outlines, t.outlines, strict=True)
        )
        assert all(np.array_equal(o.mask, t.mask) for o, t in zip(ours, theirs, strict=True) if o.mask is not None)


MASKS = {
    "label/testcases/bitmasks/quasi-video/insseg_bitmask.png": ("bdd100k_10k", "ins_seg/bitmasks/train/a"),
    "label/testcases/to_rle/ins_seg/masks/0.png": ("bdd100k_10k", "ins_seg/bitmasks/train/a"),
    "eval/testcases/pan_seg/gt/a.png": ("bdd100k_10k", "pan_seg/bitmasks/train/a"),
    "eval/testcases/pan_seg/gt/b.png": ("bdd100k_10k", "pan_seg/bitmasks/train/a"),
    "label/testcases/to_rle/sem_seg/masks/0.png": ("bdd100k_10k", "sem_seg/masks/train/a"),
    "label/testcases/to_rle/asdf/test-mask.png": ("bdd100k_10k", "sem_seg/masks/train/a"),
    "label/testcases/to_rle/test-mask.png": ("bdd100k", "drivable/masks/train/a"),
    **{
        f"eval/testcases/lane/gts/fe189115-{n}.png": ("bdd100k", "lane/masks/train/a")
        for n in ("9981a740", "9cc4a501", "adbd209a", "c31cac5a")
    },
    "label/testcases/bitmasks/quasi-video/segtrack_bitmask.png": (
        "bdd100k_seg_track",
        "seg_track_20/bitmasks/train/v/v-0000001",
    ),
    "label/testcases/to_rle/seg_track/masks/0/0-1.png": (
        "bdd100k_seg_track",
        "seg_track_20/bitmasks/train/v/v-0000001",
    ),
    "label/testcases/to_rle/seg_track/masks/0/0-2.png": (
        "bdd100k_seg_track",
        "seg_track_20/bitmasks/train/v/v-0000001",
    ),
}


@pytest.mark.parametrize("sample", MASKS)
def test_mask_samples_survive_byte_for_byte(tmp_path, shared_data, sample):
    name, place = MASKS[sample]
    card, root = load_card(name), tmp_path / "data"
    label, stem = root / f"labels/{place}.png", place.partition("/train/")[2]
    photo = root / card.images.format(split="train") / f"{stem}.jpg"
    for path in (label, photo):
        path.parent.mkdir(parents=True)
    shutil.copyfile(shared_data / "bdd100k_label_samples" / sample, label)
    with Image.open(label) as mask:
        Image.new("L", mask.size).save(photo)
    (scene,) = read_scenes(card, root, "train")
    assert read_objects(card, root, scene)
    write_run(tmp_path / "run", card, root)
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    exported = sorted((tmp_path / "out/labels").rglob("*.png"))
    assert [p.read_bytes() for p in exported] == [label.read_bytes()] * 2
    assert [("__night" in str(p)) for p in exported] in ([False, True], [True, False])


def test_the_coco_panoptic_sample_survives(tmp_path, shared_data):
    samples = shared_data / "bdd100k_label_samples/label/testcases/panseg_coco"
    own = json.loads((samples / "panseg_coco.json").read_text())
    numbers = sorted({s["category_id"] for s in own["segments_info"]})
    whole = {
        "images": [{"id": own["image_id"], "file_name": "panseg_mask.jpg", "width": 1280, "height": 720}],
        "annotations": [own],
        "categories": [{"id": n, "name": f"class {n}", "isthing": int(n >= 31)} for n in numbers],
    }
    folder = tmp_path / "data/annotations/panoptic_train2017"
    folder.mkdir(parents=True)
    shutil.copyfile(samples / "panseg_mask.png", folder / own["file_name"])
    (tmp_path / "data/annotations/panoptic_train2017.json").write_text(json.dumps(whole))
    (tmp_path / "data/train2017").mkdir()
    Image.new("RGB", (1280, 720)).save(tmp_path / "data/train2017/panseg_mask.jpg")
    card = load_card("coco")
    (scene,) = read_scenes(card, tmp_path / "data", "train")
    source = read_objects(card, tmp_path / "data", scene)
    assert len(source) == len(own["segments_info"])
    write_run(tmp_path / "run", card, tmp_path / "data")
    export_run(tmp_path / "run", "coco", tmp_path / "out")
    for found in read_scenes(card, tmp_path / "out", "train"):
        again = read_objects(card, tmp_path / "out", found)
        assert [(o.category, o.kind, o.bbox) for o in again] == [(o.category, o.kind, o.bbox) for o in source]
        assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, source, strict=True))
    pngs = [p.read_bytes() for p in (tmp_path / "out/annotations").rglob("*.png")]
    assert pngs == [(samples / "panseg_mask.png").read_bytes()] * 2


def test_coarse_labels_alone_are_read_and_carried(tmp_path):
    card, stem = load_card("cityscapes"), "train_extra/bonn/bonn_000000_000001"
    record = json.dumps(
        {"imgHeight": 20, "imgWidth": 40, "objects": [{"label": "car", "polygon": [[1, 1], [9, 1], [9, 9]]}]}
    )
    for name in (f"gtCoarse/{stem}_gtCoarse_polygons.json", f"leftImg8bit/{stem}_leftImg8bit.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
    (tmp_path / f"data/gtCoarse/{stem}_gtCoarse_polygons.json").write_text(record)
    Image.new("RGB", (40, 20)).save(tmp_path / f"data/leftImg8bit/{stem}_leftImg8bit.png")
    (scene,) = read_scenes(card, tmp_path / "data", "train_extra")
    assert [o.category for o in read_objects(card, tmp_path / "data", scene)] == ["car"]
    write_run(tmp_path / "run", card, tmp_path / "data", "train_extra")
    export_run(tmp_path / "run", "cityscapes", tmp_path / "out")
    assert (tmp_path / f"out/gtCoarse/{stem}-night_gtCoarse_polygons.json").read_text() == record
