"""Every export is opened by its consumers' rules, and names hold whatever the images are called."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from s2st_aug.errors import CheckFailed
from s2st_aug.export import export_run
from s2st_aug.formats import load_card
from s2st_aug.formats.base import ConsumerView
from s2st_aug.formats.names import flat_names
from s2st_aug.formats.registry import FORMATS, find_format
from s2st_aug.formats.yolo.edit import edit_data_yaml
from s2st_aug.testing.runs import write_run

STEMS = st.lists(
    st.text("aAbé01_-./ ", min_size=1, max_size=8).filter(lambda s: s.strip("/ .") == s and "//" not in s),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(STEMS)
@example(["left/1", "right/1", "left_1"])
@example(["a", "a__night", "A", "a-_night"])
@example(["a b", "a_b", "a-b", "a.b"])
def test_no_two_images_share_a_name_in_any_format(stems):
    names = flat_names(stems, ("night",))
    written = [name + mark for name in names.values() for mark in ("", "__night")]
    alike = [name.casefold().replace("_", "-").replace(".", "-") for name in written]
    assert len(set(alike)) == len(alike)
    assert not any(set(name) & set("/ \n") for name in written)
    assert names == flat_names(list(reversed(stems)), ("night",))


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_what_is_opened_is_what_the_lock_says(tmp_path, native, source, target):
    root, split = native(source)
    write_run(tmp_path / "run", load_card(source), root, split, domains=("night", "rain"))
    summary = export_run(tmp_path / "run", target, tmp_path / "out")
    written = json.loads((tmp_path / "out/s2st_aug.lock.json").read_bytes())
    counts = written["counts"][split][source]
    view = find_format(target).open_export(load_card(target), tmp_path / "out", split)
    assert set(view.images) == set(written["names"])
    assert list(view.classes) == written["classes"]
    assert sum(domain["images"] for domain in counts.values()) == summary.real + summary.synthetic == len(view.images)
    if view.whole_labels:
        assert sum(sum(d["classes"].values()) for d in counts.values()) == sum(c.total() for c in view.images.values())


@pytest.mark.parametrize("fault", ["an image less", "an image more", "a label less"])
@pytest.mark.parametrize("target", FORMATS)
def test_an_export_that_opens_otherwise_fails_and_leaves_nothing(tmp_path, native, monkeypatch, target, fault):
    root, split = native("bdd100k")
    write_run(tmp_path / "run", load_card("bdd100k"), root, split)
    format = find_format(target)

    def opened(card, folder, split) -> ConsumerView:
        view = format.open_export(card, folder, split)
        name = next((name for name, labels in view.images.items() if labels), next(iter(view.images)))
        if fault == "an image more":
            view.add("other.jpg", ())
        elif fault == "an image less":
            del view.images[name]
        else:
            view.images[name].subtract([*view.images[name]][:1] or ["car"])
        return view

    monkeypatch.setattr("s2st_aug.export.find_format", lambda name: replace(format, open_export=opened))
    monkeypatch.setattr("s2st_aug.export.format_of", lambda card: find_format(card.adapter))
    with pytest.raises(CheckFailed, match="opened as"):
        export_run(tmp_path / "run", target, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"run", "bdd100k-data"}


@pytest.mark.parametrize("target", FORMATS)
def test_with_val_is_the_same_for_every_format(tmp_path, native, target):
    import shutil

    root, split = native("yolo")
    for kind in ("images", "labels"):
        shutil.copytree(root / kind / "train", root / kind / "val")
    write_run(tmp_path / "run", load_card("yolo"), root, split)
    summary = export_run(tmp_path / "run", target, tmp_path / "out", with_val=True)
    found = find_format(target).open_export(load_card(target), tmp_path / "out", "val")
    assert len(found.images) == summary.held_out == summary.real
    assert not any("night" in name for name in found.images)


def test_two_spellings_of_a_class_are_one(tmp_path):
    from trees import image, put

    for index, category in enumerate(("person", "pedestrian", "person", "my own")):
        image(tmp_path, f"data/images/100k/train/{index}.jpg")
        box = {"x1": 1, "y1": 1, "x2": 9, "y2": 9}
        frame = {"name": f"{index}.jpg", "labels": [{"id": "1", "category": category, "box2d": box}]}
        put(tmp_path, f"data/labels/100k/train/{index}.json", json.dumps(frame))
    write_run(tmp_path / "run", load_card("bdd100k"), tmp_path / "data")
    for target in ("yolo", "coco"):
        export_run(tmp_path / "run", target, tmp_path / target)
        assert json.loads((tmp_path / target / "s2st_aug.lock.json").read_bytes())["classes"] == ["person", "my own"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: /a/images/train\nval: /a/images/val # kept out\nnc: 1\n", {"train": "images/train", "nc": 1}),
        ("path: ../x\ntrain:\n  - a\n  - b\nnames: [é]\n", {"train": "images/train", "names": ["é"]}),
        ("{train: /x, val: images/val, names: [a]}", {"train": "images/train", "val": "images/val", "names": ["a"]}),
        ('"train": "/x"\r\nvalid: ../valid/images\r\nnames:\r\n  0: a\r\n', None),
    ],
)
def test_data_yaml_leads_to_the_export_whatever_its_style(text, expected):
    found = yaml.safe_load(edit_data_yaml(text.encode(), {"train": ["images/train"]}))
    expected = expected or {"train": "images/train", "valid": "../valid/images", "names": {0: "a"}}
    assert found == expected
