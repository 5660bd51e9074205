"""What must hold for every form of labels: read lazily, and whatever files look like in the wild."""

from __future__ import annotations

import ast
import os
import shutil

import pytest
from PIL import Image

from s2st_aug.errors import DatasetError
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.formats.registry import BUILT_IN
from s2st_aug.testing.trees import VARIETIES


def scenes_of(name, root, split=None):
    return list(read_scenes(load_card(VARIETIES[name].card), root, split or VARIETIES[name].split))


def objects_of(name, root):
    card = load_card(VARIETIES[name].card)
    return [[(o.kind, o.category, o.bbox) for o in read_objects(card, root, s)] for s in scenes_of(name, root)]


@pytest.fixture
def tree(tmp_path, request):
    """The tree of the variety that the test is parametrised with."""
    name = request.node.callspec.params["name"]
    VARIETIES[name].write(tmp_path / "data")
    return tmp_path / "data"


def text_files(root):
    return [p for p in root.rglob("*") if p.suffix in (".json", ".txt", ".yaml") and p.is_file()]


@pytest.mark.parametrize("name", VARIETIES)
def test_scenes_are_listed_without_opening_an_image(tree, name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", refuse)
    assert scenes_of(name, tree)


@pytest.mark.parametrize("name", VARIETIES)
def test_byte_order_marks_and_windows_line_ends_change_nothing(tree, name):
    before = objects_of(name, tree)
    for path in text_files(tree):
        text = (
            path.read_bytes().replace(b", ", b",\r\n ")
            if path.suffix == ".json"
            else path.read_bytes().replace(b"\n", b"\r\n")
        )
        path.write_bytes(b"\xef\xbb\xbf" + text)
    assert objects_of(name, tree) == before


@pytest.mark.parametrize("name", VARIETIES)
def test_a_tree_of_links_in_a_folder_with_spaces_and_umlauts_reads_the_same(tree, name, tmp_path):
    linked = tmp_path / "Straße bei Nacht"
    shutil.copytree(tree, linked, copy_function=os.symlink)
    (tmp_path / "ein Link").symlink_to(linked, target_is_directory=True)
    for root in (linked, tmp_path / "ein Link"):
        assert [s.scene_id for s in scenes_of(name, root)] == [s.scene_id for s in scenes_of(name, tree)]
        assert objects_of(name, root) == objects_of(name, tree)


@pytest.mark.parametrize("name", VARIETIES)
def test_a_split_that_is_not_there_is_one_clear_line(tree, name):
    for split in set(load_card(VARIETIES[name].card).splits) - {VARIETIES[name].split, "train", "training"}:
        if VARIETIES[name].card in ("yolo", "zod", "comma10k") or name == "kitti-halves":
            continue  # these name the split's files, or have one
        with pytest.raises(DatasetError) as error:
            scenes_of(name, tree, split)
        assert "\n" not in str(error.value)


NAMES = {
    "bdd100k": ("a", "b c ü"),
    "coco": ("a", "b c ü"),
    "yolo": ("a", "b c ü"),
    "kitti": ("000000", "b c ü"),
    "cityscapes": ("bonn_000000_000001", "bonn_ü 0_000001"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_with_spaces_and_umlauts(tree, name):
    old, new = NAMES[name]
    before = objects_of(name, tree)
    for path in text_files(tree):
        path.write_bytes(path.read_bytes().replace(f'"{old}.jpg"'.encode(), f'"{new}.jpg"'.encode()))
    for path in [p for p in tree.rglob("*") if p.is_file() and p.name.startswith((f"{old}.", f"{old}_"))]:
        path.rename(path.with_name(path.name.replace(old, new)))
    assert {s.scene_id.rpartition("/")[2] for s in scenes_of(name, tree)} >= {new}
    assert all((tree / s.image).is_file() for s in scenes_of(name, tree))
    assert objects_of(name, tree) == before


@pytest.mark.parametrize("name", ["bdd100k", "coco", "cityscapes", "kitti"])
def test_images_without_labels_are_not_used_where_others_have_some(tree, name):
    (scene,) = scenes_of(name, tree)
    path, old = tree / scene.image, scene.scene_id.rpartition("/")[2]
    shutil.copyfile(path, path.with_name(path.name.replace(old, old[:-1] + "9")))
    assert scenes_of(name, tree) == [scene]


@pytest.mark.parametrize("name", ["bdd100k", "coco", "cityscapes", "kitti", "yolo"])
def test_a_folder_of_images_alone_is_scenes_without_objects(tree, name):
    images = [s.image for s in scenes_of(name, tree)]
    for path in text_files(tree):
        path.unlink()
    assert [s.image for s in scenes_of(name, tree)] == images
    assert objects_of(name, tree) == [[] for _ in images]


@pytest.mark.parametrize("name", ["bdd100k", "coco"])
def test_an_image_that_is_listed_and_absent_is_still_a_scene(tree, name):
    (scene,) = scenes_of(name, tree)
    (tree / scene.image).unlink()
    assert scenes_of(name, tree) == [scene]


def test_nobody_outside_of_a_formats_folder_compares_its_name(repo):
    """What differs is asked of its DatasetFormat: a comparison of names is a silent default for every other format."""
    own = {repo / "s2st_aug/formats" / name for name in BUILT_IN}
    found = []
    for path in (p for folder in ("s2st_aug", "benchmarks", "pipelines") for p in (repo / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())) if path.parent not in own else ():
            if isinstance(node, ast.Compare | ast.MatchValue):
                words = {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
                found += [f"{path.relative_to(repo)}:{node.lineno}"] if words & BUILT_IN.keys() else []
    assert found == []


def test_everything_of_a_cityscapes_frame_is_referenced(tmp_path):
    VARIETIES["cityscapes-images"].write(tmp_path)
    (scene,) = scenes_of("cityscapes-images", tmp_path)
    everything = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {scene.image, scene.label_file, *scene.extra_files} == everything
    assert len(everything) == 11
