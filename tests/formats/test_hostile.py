"""What parsers trip over: brackets in strings, windows cut anywhere, damage of every kind, bombs."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import tracemalloc
import zlib

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import fuzz
from s2st_aug.errors import DatasetError, LabelError, UnreadableImage
from s2st_aug.formats import json_stream, label_images, load_card, read_objects, read_scenes
from s2st_aug.formats.daylight import mean_luma
from s2st_aug.formats.json_skim import object_spans
from s2st_aug.formats.label_images import read_label_image, stored_size
from s2st_aug.formats.run_lengths import decode
from s2st_aug.formats.yaml_text import parse_yaml
from s2st_aug.testing.trees import VARIETIES, write_tree

VALUES = st.recursive(
    st.none() | st.integers() | st.text('{}[]"\\,:aé ') | st.floats(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{}[]"\\a', max_size=3), inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.lists(
    st.fixed_dictionaries({"name": st.text(max_size=3), "labels": st.lists(VALUES, max_size=2), "x": VALUES}),
    max_size=6,
)


@given(FRAMES, st.sampled_from([None, 1]), st.booleans(), st.integers(16, 400))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_record_is_found_whatever_its_strings_hold_and_wherever_the_window_ends(
    tmp_path_factory, frames, indent, ascii_only, chunk
):
    path = tmp_path_factory.mktemp("s") / "f.json"
    data = json.dumps(frames, indent=indent, ensure_ascii=ascii_only).encode()
    path.write_bytes(data)
    before = json_stream.CHUNK
    json_stream.CHUNK = chunk
    try:
        for skim in (False, True):
            found = list(json_stream.stream(path, skim=skim))
            records = [data[e.start : e.start + len(e.text)] for e in found]
            assert [repr(json.loads(r)) for r in records] == [repr(f) for f in frames]
            assert [e.value["name"] for e in found] == [f["name"] for f in frames]
    finally:
        json_stream.CHUNK = before


def test_the_outline_ignores_brackets_inside_strings():
    (found,) = object_spans(b'{"a": "}]\\"}", "labels": [{"b": "["}]}, {"cut')
    assert (found.start, found.end, found.lists) == (0, 38, [(25, 37)])


@pytest.mark.parametrize("counts", ["0", "~", "00000", [1, 2, 3], [-1, 5], None, [10**30], "\u00e9"])
def test_run_lengths_that_do_not_fit_are_refused(counts):
    with pytest.raises(LabelError):
        decode({"counts": counts, "size": [2, 2]}, "here")


@pytest.mark.parametrize("size", [[100_000, 100_000], [0, 5], [1], "2x2", [1.5, 2], [True, True]])
def test_masks_of_absurd_size_are_refused_before_memory_is_taken(size):
    with pytest.raises(LabelError):
        decode({"counts": [10**10], "size": size}, "here")


HOSTILE = [
    "../../x.jpg",
    "/etc/passwd.jpg",
    "a\\u0000.jpg",
    "..\\\\x.jpg",
    "CON.jpg",
    "C:/x.jpg",
    "a/../../x.jpg",
    "\\ud800.jpg",
    "a/" * 2000 + "x.jpg",
]
NAMED = [
    ("bdd100k", "labels/det_20/det_train.json", '"a.jpg"'),
    ("bdd100k-legacy-files", "labels/100k/train/a.json", '"name": "a"'),
    ("bdd100k-track", "labels/box_track_20/train/v1.json", '"v1-0000001.jpg"'),
    ("bdd100k-track", "labels/box_track_20/train/v1.json", '"videoName": "v1"'),
    ("coco", "annotations/instances_train2017.json", '"a.jpg"'),
    ("coco-panoptic", "annotations/panoptic_train2017.json", '"a.png"'),
    ("yolo", "data.yaml", "images/train"),
    ("yolo-lists", "train.txt", "./images/a.jpg"),
    ("kitti-halves", "ImageSets/train.txt", "000000"),
]


@pytest.mark.parametrize(("name", "file", "old"), NAMED, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(NAMED)])
def test_no_name_in_a_label_file_leads_out_of_the_folder(tmp_path, name, file, old):
    variety = VARIETIES[name]
    root = tmp_path / "in/data"
    variety.write(root)
    card, text = load_card(variety.card), (root / file).read_text()
    key, colon, _ = old.rpartition(": ")
    for bad in HOSTILE:
        (root / file).write_text(text.replace(old, f'{key}{colon}"{bad}"' if '"' in old else bad))
        try:
            found = list(read_scenes(card, root, variety.split))
        except DatasetError:
            continue
        for scene in found:
            for path in (scene.image, scene.label_file or "", *scene.extra_files):
                assert (root / path.partition("#")[0]).resolve().is_relative_to(root), (bad, path)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_decompression_bombs_are_refused_by_size(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(60_000, 60_000))
    with pytest.raises(LabelError, match=r"60000x60000|exceeds"):
        read_label_image(path)
    with pytest.raises(LabelError, match="cannot be read"):
        read_label_image(tmp_path / "none.png")


def test_a_chunk_that_claims_gigabytes_takes_none(tmp_path):
    """Found by fuzzing: of a file, Pillow reads as many bytes as the length of a PNG's chunk says."""
    path = tmp_path / "a.png"
    whole = png_of(8, 8)
    at = whole.index(b"IDAT") - 4
    path.write_bytes(whole[:at] + struct.pack(">I", 0x7FFFFFFF) + whole[at + 4 :])
    for read in (read_label_image, mean_luma):
        tracemalloc.start()
        try:
            with contextlib.suppress(LabelError, UnreadableImage):
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()


def test_masks_that_do_not_fit_into_memory_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(label_images, "MASK_BYTES", 10_000)
    rle = {"counts": [0, 1, 4095], "size": [64, 64]}
    record = [{"name": "a.jpg", "labels": [{"id": str(i), "category": "car", "rle": rle} for i in range(3)]}]
    path = tmp_path / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    (scene,) = read_scenes(load_card("bdd100k"), tmp_path, "train")
    with pytest.raises(LabelError, match="masks take more than"):
        read_objects(load_card("bdd100k"), tmp_path, scene)


@pytest.mark.parametrize("name", ["bdd100k-10k", "cityscapes-ids", "coco-segments", "bdd100k-seg-track"])
def test_every_reader_of_masks_keeps_to_that_limit(tmp_path, monkeypatch, name):
    VARIETIES[name].write(tmp_path)
    card = load_card(VARIETIES[name].card)
    scene = next(iter(read_scenes(card, tmp_path, VARIETIES[name].split)))
    assert any(o.mask is not None for o in read_objects(card, tmp_path, scene))
    monkeypatch.setattr(label_images, "MASK_BYTES", 1)
    with pytest.raises(LabelError, match="masks take more than"):
        read_objects(card, tmp_path, scene)


def test_one_record_larger_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK", 1024)
    monkeypatch.setattr(json_stream, "RECORD_LIMIT", 4096)
    path = tmp_path / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True)
    path.write_text('[{"name": "a.jpg", "x": "' + "y" * 100_000 + '"}]')
    with pytest.raises(DatasetError, match="larger than"):
        list(read_scenes(load_card("bdd100k"), tmp_path, "train"))


@pytest.mark.parametrize("levels", [8, 40, 2000])
def test_a_yaml_bomb_in_data_yaml_is_refused(tmp_path, levels):
    """It was, after 42 seconds and a gigabyte for eight levels: the text of the names had been made."""
    bomb = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels + 1))
    lines = ['a0: &a0 ["x"]', *bomb, f"names: *a{levels}"]
    (tmp_path / "data.yaml").write_text("\n".join(lines))
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/a.jpg").write_bytes(b"")
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 1 1")
    with pytest.raises(
        DatasetError, match=r"data\.yaml: cannot be read: its aliases come to more than 1,000,000 values"
    ):
        list(read_scenes(load_card("yolo"), tmp_path, "train"))


def test_aliases_are_read_and_one_that_holds_itself_is_refused():
    assert parse_yaml("a: &a [x, y]\nb: [*a, *a]")["b"] == [["x", "y"], ["x", "y"]]
    with pytest.raises(yaml.YAMLError, match="its aliases come to"):
        parse_yaml("a: &a [*a]")


@pytest.mark.parametrize("text", ["names: " + "[" * 3000, "names: " + "{a: " * 3000, "names: " + "- " * 3000 + "x"])
def test_deep_yaml_is_refused_at_once(tmp_path, text):
    """Found by fuzzing: PyYAML took minutes over three kilobytes of brackets."""
    (tmp_path / "data.yaml").write_text(text)
    started = time.process_time()
    with pytest.raises(DatasetError, match="nested deeper"):
        list(read_scenes(load_card("yolo"), tmp_path, "train"))
    assert time.process_time() - started < 1


def test_sizes_come_from_headers_alone(tmp_path):
    path = tmp_path / "wide.png"
    path.write_bytes(png_of(5000, 4000)[:60])
    assert stored_size(path) == (5000, 4000)


def test_damaged_trees_of_every_format_end_in_clear_errors_inside_the_folder():
    found = fuzz(150, 5)
    assert (found.tracebacks, found.escapes, found.hangs) == ([], [], [])
    assert found.refused > 0
    assert found.exports > 0


@pytest.mark.slow
def test_many_damaged_trees():
    found = fuzz(20_000, 11)
    assert (found.tracebacks, found.escapes, found.hangs) == ([], [], [])


@pytest.mark.parametrize("card", ["yolo", "kitti", "cityscapes", "comma10k"])
def test_an_image_whose_name_is_not_utf_8_is_named(tmp_path, card):
    split = write_tree(card, tmp_path)
    first = next(read_scenes(load_card(card), tmp_path, split))
    image = tmp_path / first.image
    image.rename(os.fsdecode(os.fsencode(image.parent) + b"/caf\xe9_" + image.name.encode()))
    with pytest.raises(DatasetError, match=r"caf\\udce9.*the name is not UTF-8; rename the file"):
        list(read_scenes(load_card(card), tmp_path, split))
