"""What users' label files may be in any format, by property: encodings, line ends, sizes, ids, names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from s2st_aug.errors import LabelError
from s2st_aug.export import export_run
from s2st_aug.formats import frame_of, load_card, read_objects, read_scenes
from s2st_aug.formats.kitti.edit import edit_lines as edit_kitti
from s2st_aug.formats.pixels import pixel_frame
from s2st_aug.formats.text_lines import text_lines
from s2st_aug.formats.values import plain_id
from s2st_aug.formats.yolo.edit import edit_lines as edit_yolo
from s2st_aug.testing.runs import write_run

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
# letters of many bytes, and what only some programs take for a line's end or a blank
WORDS = st.text(st.sampled_from("aЁх全…\u0085\u2028\u00a0\u3000é🚗"), min_size=1, max_size=6)
BOX = (4, 5, 20, 25)


def put(root: Path, name: str, data: bytes | str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def picture(root: Path, name: str, size: tuple[int, int] = (48, 32), turn: int = 1) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size, (90, 120, 150)).save(path, exif=exif)


def kitti(root: Path, names: list[str], ends: str = "\n") -> bytes:
    lines = [f"{name} 0.00 0 -1.5 4.00 5.00 20.00 25.00 1 1 1 1 2 30 0.1" for name in names]
    data = ends.join([*lines, ""]).encode()
    put(root, "training/label_2/a.txt", data)
    picture(root, "training/image_2/a.png")
    return data


def bdd(root: Path, frame: dict, image: str = "a.jpg") -> None:
    put(root, "labels/det_20/det_train.json", json.dumps([{"name": image} | frame], ensure_ascii=False))


def coco(root: Path, entry: dict, annotations: list[dict], categories: object = None) -> None:
    known = [{"id": 3, "name": "car"}] if categories is None else categories
    whole = {"images": [{"id": 9, "file_name": "a.jpg"} | entry], "annotations": annotations, "categories": known}
    put(root, "annotations/instances_train2017.json", json.dumps(whole))


def objects(card: str, root: Path, split: str = "train", **more):
    found = load_card(card).model_copy(update=more)
    (scene,) = read_scenes(found, root, split)
    return read_objects(found, root, scene)


@given(st.binary(max_size=200))
def test_lines_together_are_the_file_whatever_its_bytes(data):
    lines = list(text_lines(data))
    assert b"".join(line.text + line.end for line in lines) == data
    assert [line.index for line in lines] == list(range(len(lines)))


@QUICK
@given(st.lists(WORDS, min_size=1, max_size=5), ENDS, st.data())
def test_what_kitti_reads_as_a_label_is_what_it_writes_as_one(tmp_path, names, ends, data):
    names = [name.strip() or "a" for name in names]
    written = kitti(tmp_path, names, ends)
    found = objects("kitti", tmp_path, "training")
    assert [(o.category, o.bbox, o.unsound) for o in found] == [(name, BOX, None) for name in names]
    lost = data.draw(st.sampled_from(found))
    before, after = written.split(ends.encode()), edit_kitti(written, frozenset({lost.object_id})).split(ends.encode())
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert changed == [int(lost.object_id)]


@QUICK
@given(st.lists(st.sampled_from(["0 .5 .5 .2 .2", "1.0 .5 .5 .2 .2", "", " ", "0 .5 х .2 .2"]), max_size=6), ENDS)
def test_what_yolo_reads_as_a_label_is_what_it_leaves_out(tmp_path, lines, ends):
    data = ends.join(lines).encode()
    put(tmp_path, "data.yaml", "names: [car, bus]\n")
    put(tmp_path, "labels/train/a.txt", data)
    picture(tmp_path, "images/train/a.png")
    found = objects("yolo", tmp_path)
    assert [int(o.object_id) for o in found] == [i for i, line in enumerate(lines) if line.strip()]
    for one in found:
        put(tmp_path, "labels/train/a.txt", edit_yolo(data, frozenset({one.object_id})))
        rest = objects("yolo", tmp_path)
        assert [o.category for o in rest] == [o.category for o in found if o is not one]


@given(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), st.booleans(), st.sampled_from(["apply", "ignore"]))
def test_a_declared_size_goes_before_the_formats_rule(size, turned, rule):
    upright = size[::-1] if turned else size
    for declared, wanted in ((size, "ignore"), (upright, "apply"), (None, rule)):
        frame = pixel_frame(rule, size, upright, declared, rescale=False, where="a")
        assert frame.size == {"ignore": size, "apply": upright}[wanted]
        assert frame.scale == (1, 1)


@QUICK
@given(st.sampled_from([2, 3, 10]), st.booleans())
def test_a_rescaled_image_is_refused_or_its_labels_are_scaled_in_every_format_that_declares_a_size(tmp_path, by, more):
    picture(tmp_path, "train2017/a.jpg")
    picture(tmp_path, "images/100k/train/a.jpg")
    picture(tmp_path, "leftImg8bit/train/b/b_0_1_leftImg8bit.png")
    sides, box = (48 * by, 32 * by), [v * by for v in BOX]
    corners = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]
    xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    coco(
        tmp_path,
        {"width": float(sides[0]) if more else sides[0], "height": sides[1]},
        [{"id": 1, "image_id": 9, "category_id": 3, "bbox": xywh}],
    )
    named = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    frame = {
        "size": {"width": sides[0], "height": sides[1]},
        "labels": [{"id": "1", "category": "car", "box2d": named}],
    }
    bdd(tmp_path, frame)
    polygons = {"imgHeight": sides[1], "imgWidth": sides[0], "objects": [{"label": "car", "polygon": corners}]}
    put(tmp_path, "gtFine/train/b/b_0_1_gtFine_polygons.json", json.dumps(polygons))
    for card in ("coco", "bdd100k", "cityscapes"):
        with pytest.raises(LabelError, match=rf"48x32.*{sides[0]}x{sides[1]}.*rescale_labels"):
            objects(card, tmp_path)
        (found,) = objects(card, tmp_path, rescale_labels=True)
        assert found.bbox == pytest.approx(BOX)
        assert found.unsound is None


def test_run_lengths_of_another_size_declare_it_and_a_single_one_costs_itself(tmp_path):
    picture(tmp_path, "train2017/a.jpg")
    whole = {"counts": [0, 48 * 32], "size": [32, 48]}
    half = {"counts": [0, 24 * 16], "size": [16, 24]}
    marks = [{"id": i, "image_id": 9, "category_id": 3, "segmentation": rle} for i, rle in enumerate((whole, half))]
    coco(tmp_path, {}, marks[1:])
    with pytest.raises(LabelError, match=r"48x32.*24x16"):
        objects("coco", tmp_path)
    (found,) = objects("coco", tmp_path, rescale_labels=True)
    assert (found.mask.shape, found.bbox) == ((32, 48), (0, 0, 48, 32))
    coco(tmp_path, {}, marks)
    assert [o.unsound for o in objects("coco", tmp_path)] == [None, "its mask is of 24x16, the image of 48x32"]


@given(st.integers(-(10**17), 10**17))
def test_an_id_is_one_id_however_a_tool_writes_it(number):
    spelled = {plain_id(number), plain_id(str(number)), plain_id(f"{number}.0")}
    assert spelled == {number}
    if abs(number) < 2**53:
        assert plain_id(float(number)) == number


@QUICK
@given(
    st.sampled_from([int, float, str, lambda n: f"{n}.0"]),
    st.sampled_from([int, float, str, lambda n: f"{n}.0"]),
    st.integers(1, 99),
)
def test_coco_finds_image_and_category_by_ids_of_any_form(tmp_path, listed, used, number):
    picture(tmp_path, "train2017/a.jpg")
    coco(
        tmp_path,
        {"id": listed(9)},
        [{"id": used(1), "image_id": used(9), "category_id": used(number), "bbox": [4, 5, 16, 20]}],
        [{"id": listed(number), "name": "traffic cone"}],
    )
    assert [(o.category, o.bbox, o.unsound) for o in objects("coco", tmp_path)] == [("traffic cone", BOX, None)]


NOTHING = st.sampled_from([None, "", " ", [], {}, True])


@QUICK
@given(NOTHING)
def test_no_name_is_ever_made_up(tmp_path, name):
    picture(tmp_path, "train2017/a.jpg")
    picture(tmp_path, "images/100k/train/a.jpg")
    picture(tmp_path, "images/train/a.jpg")
    picture(tmp_path, "leftImg8bit/train/b/b_0_1_leftImg8bit.png")
    mark = {"id": 1, "image_id": 9, "category_id": 3, "bbox": [4, 5, 16, 20]}
    coco(tmp_path, {}, [mark], [{"id": 3, "name": name}])
    bdd(tmp_path, {"labels": [{"category": name, "box2d": {"x1": 4, "y1": 5, "x2": 20, "y2": 25}}]})
    put(tmp_path, "data.yaml", json.dumps({"names": ["car", name if name in (None, "", " ") else None]}))
    put(tmp_path, "labels/train/a.txt", "1 .25 .46875 .3333333 .625\n")
    square = {"label": name, "polygon": [[4, 5], [20, 5], [20, 25]]}
    put(tmp_path, "gtFine/train/b/b_0_1_gtFine_polygons.json", json.dumps({"objects": [square]}))
    for card in ("coco", "bdd100k", "yolo", "cityscapes"):
        (found,) = objects(card, tmp_path)
        assert (found.category, found.unsound is not None) == ("unknown class", True)


BROKEN = st.sampled_from([None, 7, "x", [], [[]], [1, 2], {"x1": 1}, [1, 2, "3", 4], [1e99, 0, 1, 1]])


@QUICK
@given(BROKEN)
def test_a_broken_part_costs_its_own_label(tmp_path, part):
    picture(tmp_path, "train2017/a.jpg")
    picture(tmp_path, "images/100k/train/a.jpg")
    picture(tmp_path, "leftImg8bit/train/b/b_0_1_leftImg8bit.png")
    good, square = {"x1": 4, "y1": 5, "x2": 20, "y2": 25}, [[4, 5], [20, 5], [20, 25]]
    marks = [{"id": i, "image_id": 9, "category_id": 3, "bbox": b} for i, b in enumerate((part, [4, 5, 16, 20]))]
    coco(tmp_path, {}, marks)
    bdd(tmp_path, {"labels": [{"category": "car", "box2d": b} for b in (part, good)]})
    polygons = {"objects": [{"label": "car", "polygon": p} for p in (part, square)]}
    put(tmp_path, "gtFine/train/b/b_0_1_gtFine_polygons.json", json.dumps(polygons))
    for card in ("coco", "bdd100k", "cityscapes"):
        bad, well = objects(card, tmp_path)
        assert (bad.unsound is not None, well.unsound, well.bbox) == (True, None, BOX)


@QUICK
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(-50, 50), st.integers(-50, 50))
def test_a_box_has_two_corners_and_a_part_in_the_image_or_is_never_judged(tmp_path, x, y, w, h):
    picture(tmp_path, "train2017/a.jpg")
    coco(tmp_path, {}, [{"id": 1, "image_id": 9, "category_id": 3, "bbox": [x, y, w, h]}])
    (found,) = objects("coco", tmp_path)
    x1, y1, x2, y2 = found.bbox
    assert (x1, y1, x2, y2) == (min(x, x + w), min(y, y + h), max(x, x + w), max(y, y + h))
    assert (found.unsound is None) == (x1 < x2 and y1 < y2 and x1 < 48 and y1 < 32 and x2 > 0 and y2 > 0)


@pytest.mark.parametrize("card", ["coco", "bdd100k", "cityscapes", "kitti", "yolo"])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_the_frame_of_a_photo_follows_the_formats_rule_where_no_size_is_declared(tmp_path, card, turn):
    names = {
        "coco": "train2017/a.jpg",
        "bdd100k": "images/100k/train/a.jpg",
        "cityscapes": "leftImg8bit/train/b/b_0_1_leftImg8bit.jpg",
        "kitti": "training/image_2/a.jpg",
        "yolo": "images/train/a.jpg",
    }
    picture(tmp_path, names[card], turn=turn)
    found = load_card(card)
    (scene,) = read_scenes(found, tmp_path, "training" if card == "kitti" else "train")
    stored, upright = (48, 32), (32, 48) if turn in (6, 8) else (48, 32)
    assert frame_of(found, tmp_path, scene).size == (upright if card == "yolo" else stored)


@pytest.mark.parametrize("ids", [(7, 7, 7), (None, None, None), (7, 7.0, "7")])
@pytest.mark.parametrize("lost", range(3))
def test_a_lost_annotation_is_the_one_that_was_judged_whatever_its_id(tmp_path, ids, lost):
    root = tmp_path / "data"
    picture(root, "train2017/a.jpg")
    boxes = [[4, 5, 16, 20], [1, 1, 9, 9], [20, 2, 10, 10]]
    marks = [{"id": i, "image_id": 9, "category_id": 3, "bbox": b} for i, b in zip(ids, boxes, strict=True)]
    coco(root, {}, marks)
    names = [o.object_id for o in objects("coco", root)]
    assert len(set(names)) == 3

    def verdict(scene, item):
        return "lost" if item.object_id == names[lost] else "keep"

    write_run(tmp_path / "run", load_card("coco"), root, verdicts=verdict)
    export_run(tmp_path / "run", "coco", tmp_path / "out")
    written = json.loads((tmp_path / "out/annotations/instances_train2017.json").read_text())["annotations"]
    assert [a["bbox"] for a in written if a.get("iscrowd")] == [boxes[lost]]
