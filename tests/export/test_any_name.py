"""Whatever an image is called, wherever it lies, however its label file is written: it goes out with its label."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from trees import image, put

from s2st_aug.export import export_run
from s2st_aug.formats import load_card
from s2st_aug.formats.registry import FORMATS, find_format
from s2st_aug.testing.runs import write_run

SIZE, BOX = (48, 32), (4, 6, 20, 26)
PLAIN = st.text("aAé1_-.,+=@()[]#%&'!~ \u0301全ß", min_size=1, max_size=12)
NAMES = PLAIN.filter(lambda s: s == s.strip(" .") and ".." not in s)
FORMS = st.sampled_from(["NFC", "NFD"])
SUFFIXES = st.sampled_from([".jpg", ".JPG", ".jpeg", ".png", ".PNG"])
ENDS = st.sampled_from(["\n", "\r\n"])
MARKS = st.sampled_from([b"", b"\xef\xbb\xbf"])
FORMATS_OF_BOXES = ["coco", "yolo", "kitti", "bdd100k"]


def write(format: str, root: Path, stem: str, suffix: str, ends: str, mark: bytes) -> str:
    """A tree with one image and one car in it; its split."""
    x1, y1, x2, y2 = BOX
    name, corners = f"{stem}{suffix}", dict(zip(("x1", "y1", "x2", "y2"), BOX, strict=True))
    if format == "coco":
        label = {"id": 1, "image_id": 9, "category_id": 3, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        entry = {"id": 9, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        whole = {"images": [entry], "annotations": [label], "categories": [{"id": 3, "name": "car"}]}
        text, file, place = (
            json.dumps(whole, indent=1, ensure_ascii=False),
            "annotations/instances_train2017.json",
            "train2017",
        )
    elif format == "bdd100k":
        frame = {"name": name, "labels": [{"id": "1", "category": "car", "box2d": corners}]}
        text, file, place = (
            json.dumps([frame], indent=1, ensure_ascii=False),
            "labels/det_20/det_train.json",
            "images/100k/train",
        )
    elif format == "yolo":
        put(root, "data.yaml", "train: images/train\nnames: [car]\n")
        values = [(x1 + x2) / 96, (y1 + y2) / 64, (x2 - x1) / 48, (y2 - y1) / 32]
        text, file, place = " ".join(map(str, [0, *values])) + "\n", f"labels/train/{stem}.txt", "images/train"
    else:
        text = f"Car 0 0 0 {' '.join(f'{v:.2f}' for v in BOX)} 1 1 1 1 1 1 1\n"
        file, place = f"training/label_2/{stem}.txt", "training/image_2"
    put(root, file, mark + text.replace("\n", ends).encode())
    image(root, f"{place}/{name}", SIZE, format="PNG" if suffix.lower() == ".png" else "JPEG")
    return "training" if format == "kitti" else "train"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stem=NAMES,
    folder=st.sampled_from(["", "left/", "a b/é/"]),
    form=FORMS,
    suffix=SUFFIXES,
    ends=ENDS,
    mark=MARKS,
    to=st.sampled_from(FORMATS_OF_BOXES),
)
@pytest.mark.parametrize("source", FORMATS_OF_BOXES)
def test_an_image_of_any_name_goes_out_with_its_label(tmp_path, source, stem, folder, form, suffix, ends, mark, to):
    name = unicodedata.normalize(form, folder + stem)
    assume(len(name.encode()) < 100)
    for place in tmp_path.iterdir():
        shutil.rmtree(place)
    root = tmp_path / "data"
    split = write(source, root, name, suffix, ends, mark)
    write_run(tmp_path / "run", load_card(source), root, split)
    for target in {source, to}:
        out = tmp_path / f"out-{target}"
        summary = export_run(tmp_path / "run", target, out)
        view = find_format(target).open_export(load_card(target), out, split)
        assert (summary.real, summary.synthetic, len(view.images)) == (1, 1, 2)
        misread = bool(
            source == target and target in ("yolo", "kitti") and mark
        )  # a byte-order mark: carried, and told
        assert [sum(counts.values()) for counts in view.images.values()] == [1, 1]
        assert all(next(iter(counts)).lower() == "car" or misread for counts in view.images.values())
        assert misread == bool(view.complaints)


@pytest.mark.parametrize("target", FORMATS)
def test_names_that_are_alike_for_a_disk_stay_apart(tmp_path, target):
    """NFC and NFD, upper and lower case, a folder and an underscore: four images of one dataset."""
    root, stems = tmp_path / "data", ["é", unicodedata.normalize("NFD", "é"), "É", "a/é", "a_é"]
    entries = [{"id": i, "file_name": f"{stem}.jpg"} for i, stem in enumerate(stems)]
    outline = [[4, 6, 20, 6, 20, 26, 4, 26]]
    labels = [
        {"id": i, "image_id": i, "category_id": 3, "bbox": [4, 6, 16, 20], "segmentation": outline}
        for i in range(len(stems))
    ]
    whole = {"images": entries, "annotations": labels, "categories": [{"id": 3, "name": "car"}]}
    put(root, "annotations/instances_train2017.json", json.dumps(whole))
    for entry in entries:
        image(root, f"train2017/{entry['file_name']}", SIZE)
    write_run(tmp_path / "run", load_card("coco"), root)
    export_run(tmp_path / "run", target, tmp_path / "out")
    view = find_format(target).open_export(load_card(target), tmp_path / "out", "train")
    assert len(view.images) == 2 * len(stems)
    folded = {unicodedata.normalize("NFC", name).casefold() for name in view.images}
    assert len(folded) == len(view.images) or target == "coco"  # COCO to COCO keeps the source's own names
    assert all(counts.total() == 1 for counts in view.images.values())
