"""Whole files as people have them: text of other encodings, names that disks and editors spell otherwise, ids that
tools give twice or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import image, put

from s2st_aug.errors import DatasetError
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.cards import dataset_card
from s2st_aug.formats.checks import check_card
from s2st_aug.formats.registry import find_format
from s2st_aug.formats.values import plain_id
from s2st_aug.formats.yaml_text import parse_yaml
from s2st_aug.formats.yolo.edit import edit_data_yaml
from s2st_aug.records.scene import UNKNOWN
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import write_tree

BOX = [4, 5, 16, 12]


def coco(
    root: Path, images=({"id": 9, "file_name": "a.jpg"},), marks=(), categories=({"id": 3, "name": "car"},), **more
):
    whole = {"images": list(images), "annotations": list(marks)} | more
    whole |= {} if categories is None else {"categories": list(categories)}
    put(root, "annotations/instances_train2017.json", json.dumps(whole))
    for entry in images:
        image(root, f"train2017/{entry['file_name']}")


def mark(number, image_id=9, category=3, **more):
    return {"id": number, "image_id": image_id, "category_id": category, "bbox": BOX} | more


def yolo(
    root: Path, label: str | bytes = "0 .5 .5 .2 .2\n", data: str | None = "train: images/train\nnames: [car, bus]\n"
):
    if data is not None:
        put(root, "data.yaml", data)
    put(root, "labels/train/a.txt", label)
    image(root, "images/train/a.jpg")


def scenes(card: str, root: Path, split: str = "train"):
    return list(read_scenes(load_card(card), root, split))


def labels(card: str, root: Path, split: str = "train"):
    return [read_objects(load_card(card), root, scene) for scene in scenes(card, root, split)]


def told(card: str, root: Path, level: str = "untrusted") -> list[str]:
    return [f.text for f in check_card(load_card(card), root) if f.level == level]


def exported(tmp_path: Path, card: str, root: Path, split: str = "train", target: str | None = None, **run):
    """The folder of an export, and what was lost by kind."""
    target, out = target or card, tmp_path / f"out-{target}"
    if not (tmp_path / "run").exists():
        write_run(tmp_path / "run", load_card(card), root, split, **run)
    export_run(tmp_path / "run", target, out)
    losses = json.loads((out / "loss_report.json").read_bytes())["losses"]
    return out, {loss["what"]: loss["count"] for loss in losses}


@pytest.mark.parametrize("categories", [(), None])
def test_without_categories_every_annotation_is_still_a_label(tmp_path, categories):
    coco(tmp_path / "data", marks=[mark(1), mark(2)], categories=categories)
    assert [[(o.object_id, o.category) for o in found] for found in labels("coco", tmp_path / "data")] == [
        [("1", UNKNOWN), ("2", UNKNOWN)]
    ]
    out, _ = exported(tmp_path, "coco", tmp_path / "data")
    written = json.loads((out / "annotations/instances_train2017.json").read_bytes())
    assert len(written["annotations"]) == 4


def test_two_images_of_one_id_are_refused_by_name(tmp_path):
    coco(tmp_path, [{"id": 9, "file_name": "a.jpg"}, {"id": 9.0, "file_name": "b.jpg"}], [mark(1)])
    with pytest.raises(DatasetError, match=r"image id 9 is listed twice, the second time for 'b.jpg'"):
        scenes("coco", tmp_path)


@pytest.mark.parametrize("target", ["coco", "yolo", "kitti", "bdd100k"])
def test_images_that_differ_in_their_suffix_alone_are_two(tmp_path, target):
    images = [{"id": 9, "file_name": "a.jpg"}, {"id": 10, "file_name": "a.png"}]
    coco(tmp_path / "data", images, [mark(1), mark(2, 10, bbox=[1, 1, 5, 5])])
    out, _ = exported(tmp_path, "coco", tmp_path / "data", target=target)
    view = find_format(target).open_export(load_card(target), out, "train")
    assert [counts.total() for counts in view.images.values()] == [1, 1, 1, 1]


def test_an_annotation_without_an_id_is_marked_by_its_place(tmp_path):
    marks = [mark(None), mark(None, bbox=[1, 1, 5, 5])]
    for one in marks:
        del one["id"]
    coco(tmp_path / "data", marks=marks)
    second = labels("coco", tmp_path / "data")[0][1].object_id
    lost = lambda scene, item: "lost" if item.object_id == second else "keep"  # noqa: E731
    out, losses = exported(tmp_path, "coco", tmp_path / "data", verdicts=lost)
    written = json.loads((out / "annotations/instances_train2017.json").read_bytes())["annotations"]
    assert [a["bbox"] for a in written if a.get("iscrowd")] == [[1, 1, 5, 5]]
    assert losses["consumer"] == 4
    assert any("2 annotations have the id of another one or none" in line for line in told("coco", tmp_path / "data"))


def test_an_orphan_goes_on_as_it_is_is_told_and_never_becomes_a_variants(tmp_path):
    coco(tmp_path / "data", marks=[mark(1), mark(2, 10)])
    out, losses = exported(tmp_path, "coco", tmp_path / "data")
    written = json.loads((out / "annotations/instances_train2017.json").read_bytes())
    assert losses["annotation"] == 1
    assert [a for a in written["annotations"] if a["image_id"] == 10] == [mark(2, 10)]
    assert sorted(i["id"] for i in written["images"]) == [9, 11]


def test_an_orphan_is_told_in_a_conversion_too(tmp_path):
    coco(tmp_path / "data", marks=[mark(1), mark(2, 10)])
    _, losses = exported(tmp_path, "coco", tmp_path / "data", target="yolo")
    assert losses["dataset"] == 1


@pytest.mark.parametrize("great", [2**53 + 1, 2**62 + 3])
def test_numbers_of_variants_stay_exact_beside_ids_that_are_hashes(tmp_path, great):
    coco(tmp_path / "data", [{"id": great, "file_name": "a.jpg"}], [mark(great, great)])
    out, _ = exported(tmp_path, "coco", tmp_path / "data")
    written = json.loads((out / "annotations/instances_train2017.json").read_bytes())
    assert sorted(i["id"] for i in written["images"]) == [1, great]
    assert sorted((a["id"], a["image_id"]) for a in written["annotations"]) == [(1, 1), (great, great)]


@given(st.integers(2**53, 10**30))
def test_an_id_of_any_length_is_the_same_as_text(number):
    assert plain_id(str(number)) == plain_id(number) == number


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([str, float, lambda n: f"{n}.0"]))
def test_a_declared_size_is_compared_however_it_is_spelled(tmp_path, spelled):
    coco(tmp_path, [{"id": 9, "file_name": "a.jpg", "width": spelled(80), "height": spelled(40)}], [mark(1)])
    assert any("its labels declare 80x40" in line for line in told("coco", tmp_path))


NAMES = {"coco": "annotations/instances_train2017.json", "yolo": "labels/train/a.txt"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("card", ["coco", "yolo", "kitti", "bdd100k"])
def test_a_file_in_utf_16_is_one_line_that_says_so(tmp_path, card, encoding):
    if card == "coco":
        coco(tmp_path, marks=[mark(1)])
    elif card == "yolo":
        yolo(tmp_path, "0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n")
    elif card == "kitti":
        put(
            tmp_path, "training/label_2/a.txt", "Car 0 0 0 4 5 20 25 1 1 1 1 1 1 1\nVan 0 0 0 4 5 20 25 1 1 1 1 1 1 1\n"
        )
        image(tmp_path, "training/image_2/a.png")
    else:
        put(tmp_path, "labels/det_20/det_train.json", json.dumps([{"name": "a.jpg", "labels": []}]))
        image(tmp_path, "images/100k/train/a.jpg")
    (path,) = (p for p in tmp_path.rglob("*") if p.suffix in (".json", ".txt"))
    text = path.read_text()
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le") if encoding.endswith("bom") else text.encode("utf-16"))
    lines = {line for level in ("untrusted", "error") for line in told(card, tmp_path, level)}
    assert lines
    assert all("UTF-16" in line for line in lines)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1251", "latin-1"])
def test_names_that_are_not_utf_8_are_never_made_up(tmp_path, encoding):
    yolo(tmp_path, data=None)
    put(tmp_path, "classes.txt", ("é\nà\n" if encoding == "latin-1" else "машина\nлюди\n").encode(encoding))
    with pytest.raises(DatasetError, match=r"classes.txt: line 1: .*UTF-8"):
        scenes("yolo", tmp_path)


def test_numbers_between_names_are_no_classes_of_a_conversion_and_are_told(tmp_path):
    yolo(tmp_path / "data", "5 .5 .5 .2 .2\n", "train: images/train\nnames: {0: car, 5: bus}\n")
    out, _ = exported(tmp_path, "yolo", tmp_path / "data", target="coco")
    view = find_format("coco").open_export(load_card("coco"), out, "train")
    assert view.classes == ("car", "bus")
    assert any("up to 5" in line for line in told("yolo", tmp_path / "data"))


def test_a_name_twice_is_told_and_a_file_of_names_is_read(tmp_path):
    yolo(tmp_path / "twice", data="train: images/train\nnames: [car, car]\n")
    assert any("'car'" in line for line in told("yolo", tmp_path / "twice"))
    yolo(tmp_path / "data", data="train: images/train\nnames: my.names\n")
    put(tmp_path / "data", "my.names", "tram\nbus\n")
    out, _ = exported(tmp_path, "yolo", tmp_path / "data")
    assert parse_yaml((out / "data.yaml").read_text())["names"] == ["tram", "bus"]


@pytest.mark.parametrize(
    ("image_name", "label_name"),
    [("a.jpg", "a.TXT"), ("A.JPG", "a.txt"), ("caf\u00e9.jpg", "cafe\u0301.txt")],
)
def test_a_label_that_the_image_misses_by_case_or_unicode_form_is_named(tmp_path, image_name, label_name):
    put(tmp_path, "data.yaml", "train: images/train\nnames: [car]\n")
    put(tmp_path, f"labels/train/{label_name}", "0 .5 .5 .2 .2\n")
    image(tmp_path, f"images/train/{image_name}", format="JPEG")
    with pytest.raises(DatasetError, match="only in case or Unicode form"):
        scenes("yolo", tmp_path)


def test_an_image_without_a_label_is_background_though_its_twin_in_another_case_has_one(tmp_path):
    yolo(tmp_path)
    image(tmp_path, "images/train/A.jpg")
    assert [s.label_file for s in scenes("yolo", tmp_path)] == [None, "labels/train/a.txt"]


def test_absent_images_that_lie_elsewhere_are_told_with_their_place(tmp_path):
    put(tmp_path, "labels/det_20/det_train.json", json.dumps([{"name": "a.jpg"}, {"name": "b.jpg"}]))
    image(tmp_path, "images/100k/train/b.jpg")
    image(tmp_path, "images/100k/train/trainA/a.jpg")
    assert any("the first images/100k/train/trainA/a.jpg" in line for line in told("bdd100k", tmp_path, "warning"))
    (tmp_path / "images/100k/train/trainA/a.jpg").rename(tmp_path / "images/100k/train/A.JPG")
    assert any("other case or Unicode form" in line for line in told("bdd100k", tmp_path, "warning"))


@pytest.mark.parametrize("card", ["coco", "yolo"])
def test_back_slashes_are_named_as_such(tmp_path, card):
    coco(tmp_path, marks=[mark(1)])
    path = tmp_path / NAMES["coco"]
    path.write_text(path.read_text().replace("a.jpg", r"b\\a.jpg"))
    yolo(tmp_path, data="train: train.txt\nnames: [car]\n")
    put(tmp_path, "train.txt", "images\\train\\a.jpg\r\n")
    with pytest.raises(DatasetError, match="back-slashes"):
        scenes(card, tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("folder", ["images/{}", "{}/images"])
@pytest.mark.parametrize("spelled", ["val", "valid"])
def test_splits_are_found_where_no_yaml_names_them(tmp_path, folder, split, spelled):
    root = tmp_path / "data"
    put(root, "classes.txt", "car\n")
    for name in ("train", spelled):
        place = folder.format(name)
        image(root, f"{place}/{name}.jpg")
        put(root, f"{place.replace('images', 'labels')}/{name}.txt", "0 .5 .5 .2 .2\n")
    (found,) = scenes("yolo", root, split)
    name = spelled if split == "val" else "train"
    assert found.image == f"{folder.format(name)}/{name}.jpg"
    assert found.label_file
    write_run(tmp_path / "run", load_card("yolo"), root)
    summary = export_run(tmp_path / "run", "yolo", tmp_path / "out", with_val=True)
    view = find_format("yolo").open_export(load_card("yolo"), tmp_path / "out", split)
    assert len(view.images) == (2 if split == "train" else 1)
    assert summary.held_out == 1


def test_one_cause_of_several_splits_is_told_once(tmp_path):
    yolo(tmp_path, data="train: images/train\nval: images/val\nnc: 2\n")
    image(tmp_path, "images/val/b.jpg")
    assert len([line for line in told("yolo", tmp_path) if "class_0" in line]) == 1


def test_a_kitti_tree_without_halves_is_whole(tmp_path):
    put(tmp_path, "training/label_2/a.txt", "Car 0 0 0 4 5 20 25 1 1 1 1 1 1 1\n")
    image(tmp_path, "training/image_2/a.png")
    assert {f.level for f in check_card(load_card("kitti"), tmp_path)} == {"ok", "note"}


def test_kittis_halves_hold_names_with_blanks(tmp_path):
    root = tmp_path / "data"
    for name in ("a b", "c"):
        put(root, f"training/label_2/{name}.txt", "Car 0 0 0 4 5 20 25 1 1 1 1 1 1 1\r\n")
        image(root, f"training/image_2/{name}.png")
    put(root, "ImageSets/train.txt", "a b\r\n")
    put(root, "ImageSets/val.txt", "c\r\n")
    out, _ = exported(tmp_path, "kitti", root)
    assert (out / "ImageSets/train.txt").read_text() == "a b\na b__night\n"


def test_a_label_without_category_is_no_class(tmp_path):
    box = {"x1": 4, "y1": 5, "x2": 20, "y2": 15}
    frame = {"name": "a.jpg", "labels": [{"id": "1", "category": None, "box2d": box}]}
    put(tmp_path / "data", "labels/det_20/det_train.json", json.dumps([frame]))
    image(tmp_path / "data", "images/100k/train/a.jpg")
    out, losses = exported(tmp_path, "bdd100k", tmp_path / "data")
    assert json.loads((out / "s2st_aug.lock.json").read_bytes())["classes"] == []
    assert losses["consumer"] == 2


@pytest.mark.parametrize("other", ["box3d", "graph"])
def test_a_label_of_a_shape_that_is_not_read_says_which(tmp_path, other):
    frame = {"name": "a.jpg", "labels": [{"id": "1", "category": "car", other: {"location": [1, 2, 3]}}]}
    put(tmp_path, "labels/det_20/det_train.json", json.dumps([frame]))
    image(tmp_path, "images/100k/train/a.jpg")
    ((found,),) = labels("bdd100k", tmp_path)
    assert f"{other} alone" in found.unsound


FLOWS = st.permutations(["path: ../x", "train: /a/b", "val: images/val", "nc: 2", "k: {a: [1, '}']}"])


@given(FLOWS, st.integers(0, 5), st.sampled_from(["{", "{\n ", "--- {"]), st.sampled_from([", ", ",\n  ", " , "]))
def test_a_data_yaml_in_braces_leads_to_the_export_with_its_names(members, count, opening, comma):
    text = opening + comma.join(members[:count]) + "}\n"
    found = parse_yaml(edit_data_yaml(text.encode(), {"train": ["images/train"]}, names=["a: b", "c"]).decode())
    kept = parse_yaml(text) or {}
    kept.pop("path", None)
    assert found == kept | {"train": "images/train", "names": ["a: b", "c"]}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\nnc: 2\n...\n", "nc: 2\n...", "---\nnc: 2", "nc: 2\n\n# end"])
def test_what_a_data_yaml_lacks_is_added_before_its_end(text):
    found = parse_yaml(edit_data_yaml(text.encode(), {"train": ["images/train"]}, names=["é"]).decode())
    assert found == (parse_yaml(text) or {}) | {"train": "images/train", "names": ["é"]}


def nested(card: str, root: Path, places: dict[str, str]) -> None:
    """The small tree of a format with its top folders moved: `images` to `archive/images`."""
    plain = root.with_name("plain")
    split = write_tree(card, plain)
    for name in sorted(p.relative_to(plain).as_posix() for p in plain.rglob("*") if p.is_file()):
        top = next((top for top in places if name.startswith(top)), "")
        target = root / (places[top] + name[len(top) :] if top else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (plain / name).rename(target)
    assert split


KAGGLE = [
    ("bdd100k", {"images": "bdd100k/bdd100k/images", "labels": "bdd100k_labels_release/bdd100k/labels"}),
    ("coco", {"": "coco2017/"}),
    ("coco", {"train2017": "train2017/train2017"}),
    ("bdd100k", {"images/100k/train": "images/100k/train/train"}),
    (
        "kitti",
        {"training/image_2": "data_object_image_2/training/image_2", "training/label_2": "labels/training/label_2"},
    ),
    ("cityscapes", {"leftImg8bit": "leftImg8bit_trainvaltest/leftImg8bit", "gtFine": "gtFine_trainvaltest/gtFine"}),
]


@pytest.mark.parametrize(("name", "places"), KAGGLE)
def test_folders_that_an_archive_puts_around_the_parts_are_found(tmp_path, name, places):
    root = tmp_path / "data"
    nested(name, root, {top or "": place for top, place in places.items()} if "" not in places else {})
    if "" in places:
        (root).rename(tmp_path / "inner")
        root.mkdir()
        (tmp_path / "inner").rename(root / places[""].rstrip("/"))
    card = dataset_card({"format": name, "root": str(root)})
    split = "training" if name == "kitti" else "train"
    before = [len(read_objects(card, root, s)) for s in read_scenes(card, root, split)]
    assert sum(before) > 0
    assert any("in other folders than usual" in line for line in told(name, root, "note"))
    write_run(tmp_path / "run", card, root, split)
    for target in (name, "yolo"):
        summary = export_run(tmp_path / "run", target, tmp_path / target)
        assert summary.real == summary.synthetic == len(before)


def test_a_yolo_tree_below_its_root_is_named(tmp_path):
    yolo(tmp_path / "archive/dataset", data=None)
    put(tmp_path, "archive/dataset/classes.txt", "car\n")
    with pytest.raises(DatasetError, match=r"lies in archive/dataset: give that folder"):
        scenes("yolo", tmp_path)
    assert any("archive/dataset" in line for line in told("yolo", tmp_path, "error"))


def test_a_folder_of_images_in_folders_is_not_taken_for_one_unpacked_twice(tmp_path):
    coco(tmp_path, [{"id": 9, "file_name": "left/a.jpg"}], [mark(1)])
    assert dataset_card({"format": "coco", "root": str(tmp_path)}) == load_card("coco")


def test_a_category_id_of_two_names_is_neither(tmp_path):
    coco(
        tmp_path,
        marks=[mark(1), mark(2, category=4)],
        categories=[{"id": n, "name": s} for n, s in ((3, "car"), (3.0, "bus"), (4, "tram"), (4, "tram"))],
    )
    assert [(o.category, o.unsound) for o in labels("coco", tmp_path)[0]] == [
        (UNKNOWN, "category 3 is listed under two names"),
        ("tram", None),
    ]


def test_one_image_listed_under_two_ids_is_refused_by_name(tmp_path):
    coco(tmp_path, [{"id": 9, "file_name": "a.jpg"}, {"id": 10, "file_name": "./a.jpg"}], [mark(1)])
    with pytest.raises(DatasetError, match=r"'a.jpg' is listed twice, as image 9 and 10; keep one of them"):
        scenes("coco", tmp_path)


@pytest.mark.parametrize(
    ("format", "split", "folder", "label"),
    [
        ("kitti", "training", "training/image_2", ("training/label_2/a.txt", "Car 0 0 0 1 1 9 9 1 1 1 1 1 1 1\n")),
        ("kitti", "training", "training/image_2", None),
        ("coco", "train", "train2017", None),
        ("bdd100k", "train", "images/100k/train", None),
        ("comma10k", "train", "imgs", None),
        ("cityscapes", "train", "leftImg8bit/train/bonn", None),
    ],
)
def test_two_files_that_would_be_one_scene_are_refused_by_both_names(tmp_path, format, split, folder, label):
    name = "bonn_000000_000001_leftImg8bit" if format == "cityscapes" else "a"
    for suffix in ("jpg", "png"):
        image(tmp_path, f"{folder}/{name}.{suffix}")
    if label:
        put(tmp_path, *label)
    with pytest.raises(DatasetError, match=rf"{folder}/{name}.jpg and {folder}/{name}.png differ only in their suffix"):
        scenes(format, tmp_path, split)


@pytest.mark.parametrize("name", ["./a.jpg", "x//a.jpg", "x/./a.jpg"])
@pytest.mark.parametrize("format", ["coco", "bdd100k"])
def test_a_name_that_takes_a_detour_is_exported_to_its_own_format(tmp_path, format, name):
    place = "x/a.jpg" if name.startswith("x") else "a.jpg"
    if format == "coco":
        image(tmp_path, f"data/train2017/{place}")
        coco(tmp_path / "data", [{"id": 9, "file_name": name}], [mark(1)])
    else:
        image(tmp_path, f"data/images/100k/train/{place}")
        put(tmp_path, "data/labels/det_20/det_train.json", json.dumps([{"name": name, "labels": []}]))
    out, _ = exported(tmp_path, format, tmp_path / "data")
    assert len(find_format(format).open_export(load_card(format), out, "train").images) == 2


@pytest.mark.parametrize("place", ["images/nowhere", "images/*", "[a, b]"])
def test_a_place_of_data_yaml_without_an_image_is_named(tmp_path, place):
    image(tmp_path, "images/train/a.jpg")
    put(tmp_path, "labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n")
    put(tmp_path, "data.yaml", f"train: {place}\nnames: [car]\n")
    told = [f.text for f in check_card(load_card("yolo"), tmp_path) if "data.yaml looks for `train`" in f.text]
    assert len(told) == 1 and place.strip("[]").split(",")[0] in told[0]
    with pytest.raises(DatasetError, match=r"no image lies where data\.yaml looks for `train`"):
        scenes("yolo", tmp_path)


def test_names_that_begin_at_the_root_are_found_out(tmp_path):
    coco(tmp_path, [{"id": 9, "file_name": "train2017/a.jpg"}], [mark(1)])
    (tmp_path / "train2017/train2017/a.jpg").rename(tmp_path / "train2017/a.jpg")
    told = " | ".join(f.text for f in check_card(load_card("coco"), tmp_path))
    assert "1 of their names lie in other folders, the first train2017/a.jpg" in told


def test_a_yolo_label_that_is_a_dead_link_or_a_folder_stops_as_in_any_format(tmp_path):
    yolo(tmp_path)
    label = tmp_path / "labels/train/a.txt"
    label.unlink()
    label.symlink_to("/nowhere/a.txt")
    with pytest.raises(DatasetError, match=r"a.txt: expected a label file, found a link that leads nowhere"):
        scenes("yolo", tmp_path)
    label.unlink()
    label.mkdir()
    with pytest.raises(DatasetError, match=r"a.txt: expected a label file, found a folder"):
        scenes("yolo", tmp_path)


@pytest.mark.parametrize("format", ["yolo", "kitti", "cityscapes"])
def test_hidden_files_are_no_images(tmp_path, format):
    split = write_tree(format, tmp_path)
    before = scenes(format, tmp_path, split)
    folder = (tmp_path / before[0].image).parent
    put(folder, f"._{before[0].image.rpartition('/')[2]}", b"Mac OS X")
    image(folder, ".ipynb_checkpoints/a-checkpoint.jpg")
    assert scenes(format, tmp_path, split) == before


@pytest.mark.parametrize(("target", "expected"), [("kitti", ["Car", "Cyclist"]), ("cityscapes", ["car", None])])
def test_a_class_of_ones_own_in_the_targets_spelling_or_in_capitals_is_the_targets(tmp_path, target, expected):
    categories = [{"id": 3, "name": "Car"}, {"id": 4, "name": "Cyclist"}]
    outline = {"segmentation": [[4, 5, 20, 5, 20, 17]]}
    coco(tmp_path / "data", marks=[mark(1, **outline), mark(2, category=4, **outline)], categories=categories)
    out, losses = exported(tmp_path, "coco", tmp_path / "data", target=target)
    view = find_format(target).open_export(load_card(target), out, "train")
    assert sorted(view.classes) == [name for name in expected if name]
    assert losses.get("category", 0) == 2 * expected.count(None)


def test_kittis_list_of_a_split_names_images_in_folders_with_their_folder(tmp_path):
    for name in ("s/a", "t/a"):
        image(tmp_path, f"data/training/image_2/{name}.png")
        put(tmp_path, f"data/training/label_2/{name}.txt", "Car 0 0 0 1 1 9 9 1 1 1 1 1 1 1\n")
    put(tmp_path, "data/ImageSets/train.txt", "s/a\nt/a\n")
    out, _ = exported(tmp_path, "kitti", tmp_path / "data")
    assert (out / "ImageSets/train.txt").read_text().split() == ["s/a", "s/a__night", "t/a", "t/a__night"]
