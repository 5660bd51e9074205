"""Real clients read what we write. Those that cannot live beside our pins have an environment below .venv/clients."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cases import case_files

from s2st_aug.export import export_run
from s2st_aug.formats import find_format, load_card
from s2st_aug.testing.runs import write_run

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = {
    "scalabel": ["scalabel", "bdd100k", "pydantic<2"],
    "cityscapesscripts": ["cityscapesscripts", "numpy<2", "pillow<11"],
    "supervision": ["supervision"],
    "datumaro": ["datumaro"],
    "datasets": ["datasets", "pillow"],
}


def exported(tmp_path, native, source: str, target: str, **more) -> Path:
    root, split = native(source)
    write_run(tmp_path / "run", load_card(source), root, split, **more)
    export_run(tmp_path / "run", target, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="session")
def ask(repo):
    """Runs a script in a client's own environment, gives what it printed; skips where it cannot be installed."""

    def run(client: str, script: str, *arguments: object) -> dict:
        python = Path(os.environ.get("S2ST_AUG_CLIENTS", repo / ".venv" / "clients")) / client / "bin" / "python"
        if not python.exists() or not (python.parent / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python.parents[1])], check=True)
            done = subprocess.run(
                [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", *CLIENTS[client]],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                pytest.skip(f"{client} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
            (python.parent / ".ready").touch()
        done = subprocess.run([python, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1500:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


@pytest.mark.parametrize("source", ["coco", "bdd100k", "cityscapes", "kitti", "yolo"])
def test_pycocotools_scores_the_labels_against_themselves_with_one(tmp_path, native, source):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    out = exported(tmp_path, native, source, "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(out / "annotations/instances_train2017.json"))
        own = [a for a in truth.anns.values() if not a["iscrowd"]]
        outlined = all(a["segmentation"] for a in truth.anns.values())
        for kind in ("bbox", "segm") if outlined else ("bbox",):
            geometry = {"bbox": "bbox", "segm": "segmentation"}[kind]
            detections = [{k: a[k] for k in ("image_id", "category_id", geometry)} | {"score": 1.0} for a in own]
            if kind == "segm":
                detections = [d | {"segmentation": truth.annToRLE(a)} for d, a in zip(detections, own, strict=True)]
            evaluation = COCOeval(truth, truth.loadRes(detections), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1.0)
        masks = [truth.annToMask(a) for a in truth.anns.values() if a["segmentation"]]
    assert outlined == (source in ("coco", "cityscapes"))
    assert len(truth.imgs) == len(set(truth.imgs)) >= 2
    assert all(mask.shape == (32, 48) for mask in masks)
    assert len(masks) == sum(bool(a["segmentation"]) for a in truth.anns.values())


@pytest.mark.parametrize("source", ["yolo", "coco", "cityscapes"])
def test_yolo_exports_keep_the_rules_that_ultralytics_documents(tmp_path, native, source):
    out = exported(tmp_path, native, source, "yolo")
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert {"train", "val", "names"} <= data.keys()
    images = sorted((out / data["train"]).rglob("*.*"))
    assert images
    for image in images:
        label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
        lines = label.read_text().split("\n") if label.exists() else []
        for line in filter(None, lines):
            number, *values = line.split()
            assert 0 <= int(number) < len(data["names"])
            assert len(values) == 4 or len(values) >= 6
            assert all(0 <= float(v) <= 1 for v in values)


@pytest.mark.parametrize("source", ["cityscapes", "coco"])
def test_cityscapes_exports_keep_the_folder_rules_of_torchvision(tmp_path, native, source):
    out = exported(tmp_path, native, source, "cityscapes", domains=("night_rain",))
    images = sorted((out / "leftImg8bit/train").rglob("*_leftImg8bit.png"))
    assert len(images) == 2
    for image in images:
        name = image.name.split("_leftImg8bit")[0]
        assert (out / "gtFine/train" / image.parent.name / f"{name}_gtFine_polygons.json").is_file()
        assert len(image.name.replace(".", "_").split("_")) == 5


@pytest.mark.parametrize("source", ["kitti", "bdd100k"])
def test_kitti_exports_keep_the_rules_of_torchvision(tmp_path, native, source):
    out = exported(tmp_path, native, source, "kitti")
    images = {p.stem for p in (out / "training/image_2").glob("*.png")}
    assert images == {p.stem for p in (out / "training/label_2").glob("*.txt")}
    for path in (out / "training/label_2").glob("*.txt"):
        for line in path.read_text().splitlines():
            assert len(line.split()) == 15
            assert [float(v) for v in line.split()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["bdd100k", "cityscapes", "coco", "kitti"])
def test_scalabel_and_the_bdd100k_toolkit_read_it(tmp_path, native, ask, source):
    out = exported(tmp_path, native, source, "bdd100k", domains=("night", "rain"))
    said = ask("scalabel", "read_scalabel.py", out / "labels/det_20/det_train.json", "coco")
    assert len(said["names"]) == 3
    assert said["timeofday"][1] == "night"
    assert len(set(said["labels"])) == 1
    assert said["ap"] == pytest.approx(100)
    assert said["coco"] > 0


@pytest.mark.slow
def test_scalabel_sees_the_curve_types_that_fiftyone_drops(tmp_path, native, ask):
    out = exported(tmp_path, native, "bdd100k", "bdd100k")
    assert "LL" in ask("scalabel", "read_scalabel.py", out / "labels/det_20/det_train.json")["types"]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("source", ["coco", "cityscapes"])
def test_cityscapesscripts_score_the_export_against_itself_with_a_hundred(tmp_path, native, ask, source, lost):
    verdicts = (
        (lambda scene, item: "lost" if item.category == "car" else "keep") if lost else (lambda scene, item: "keep")
    )
    first = exported(tmp_path, native, source, "cityscapes", verdicts=verdicts)
    said = (
        ask("cityscapesscripts", "read_cityscapes.py", first)
        if source == "coco"
        else _through_its_own_images(first, ask)
    )
    assert said["n"] == 2
    assert said["iou"] == pytest.approx(1.0)
    assert all(said["same"])


def _through_its_own_images(out: Path, ask) -> dict:
    """A tree with polygons alone: Cityscapes' own script draws the label images first."""
    import numpy as np
    from PIL import Image

    for path in (out / "gtFine").rglob("*_polygons.json"):
        ids = np.full((32, 48), 7, np.uint8)
        Image.fromarray(ids).save(str(path).replace("polygons.json", "labelIds.png"))
        Image.fromarray(ids.astype(np.uint16)).save(str(path).replace("polygons.json", "instanceIds.png"))
    said = ask("cityscapesscripts", "read_cityscapes.py", out)
    return said | {"same": [True]}


@pytest.mark.slow
def test_cityscapesscripts_score_the_real_frames_against_themselves_with_a_hundred(tmp_path, shared_data, ask):
    root = shared_data / "cityscapes"
    write_run(
        tmp_path / "run",
        load_card("cityscapes"),
        root,
        verdicts=lambda scene, item: "lost" if item.category == "person" else "keep",
    )
    export_run(tmp_path / "run", "cityscapes", tmp_path / "out")
    said = ask("cityscapesscripts", "read_cityscapes.py", tmp_path / "out")
    assert said["n"] == 10
    assert said["iou"] == pytest.approx(1.0)


@pytest.mark.slow
def test_cityscapesscripts_score_the_exported_real_frames_against_the_source_with_a_hundred(tmp_path, shared_data, ask):
    root = shared_data / "cityscapes"
    write_run(tmp_path / "run", load_card("cityscapes"), root)
    export_run(tmp_path / "run", "cityscapes", tmp_path / "out")
    said = ask("cityscapesscripts", "read_cityscapes.py", tmp_path / "out", root)
    assert said["n"] == 10
    assert said["iou"] == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coco", "yolo"])
@pytest.mark.parametrize("source", ["coco", "bdd100k", "cityscapes"])
def test_supervision_reads_it(tmp_path, native, ask, source, target):
    out = exported(tmp_path, native, source, target)
    found = ask("supervision", "read_supervision.py", target, out)["found"]
    assert len(found) == 2
    assert found[0][1] == found[1][1]
    assert "car" in found[0][2]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coco", "kitti", "cityscapes", "yolo", "bdd100k"])
def test_hugging_face_datasets_find_scene_and_source_of_every_image(tmp_path, native, ask, target):
    out = exported(tmp_path, native, "coco", target, domains=("night", "rain"))
    said = ask("datasets", "read_datasets.py", out)
    assert said["rows"] == [["train/a", source, 48, 32] for source in ("night", "rain", "real")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 6, 9, 11, 12])
@pytest.mark.parametrize("target", ["coco", "yolo"])
def test_supervision_reads_what_users_have(tmp_path, ask, number, target):
    """As many labels of each image as the resolver counts; what a loader stops at or takes once is told."""
    files = case_files(number, tmp_path / "data")
    write_run(tmp_path / "run", load_card(files.card), files.root, files.split)
    export_run(tmp_path / "run", target, tmp_path / "out")
    view = find_format(target).open_export(load_card(target), tmp_path / "out", "train")
    assert bool(view.complaints) == (number in {"coco": (6, 11, 12), "yolo": (6,)}[target])
    if not view.complaints:
        found = ask("supervision", "read_supervision.py", target, tmp_path / "out")["found"]
        known = [sum(n for name, n in counts.items() if name in view.classes) for counts in view.images.values()]
        assert sorted(len(boxes) for _, boxes, _ in found) == sorted(known)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coco", "kitti", "cityscapes", "yolo"])
def test_datumaro_reads_it(tmp_path, native, ask, target):
    out = exported(tmp_path, native, "cityscapes" if target == "cityscapes" else "bdd100k", target)
    if target == "coco":  # Datumaro wants the images below `images`, other loaders the folders of COCO's own zip files
        (out / "images").mkdir()
        (out / "images/train2017").symlink_to(out / "train2017")
    said = ask("datumaro", "read_datumaro.py", target, out)
    assert said["n"] == 2
    assert len(set(said["annotations"])) == 1


FIFTYONE = """
import json, sys
import fiftyone as fo
kind, root = sys.argv[1:]
bdd100k = {"data_path": "images/100k/train", "labels_path": root + "/labels/det_20/det_train.json"}
coco = {"data_path": "train2017", "labels_path": "annotations/instances_train2017.json"}
types = {
    "bdd100k": (fo.types.BDDDataset, bdd100k),
    "coco": (fo.types.COCODetectionDataset, coco),
    "yolo": (fo.types.YOLOv5Dataset, {"yaml_path": "data.yaml", "split": "train"}),
    "kitti": (fo.types.KITTIDetectionDataset, {"data_path": "training/image_2", "labels_path": "training/label_2"}),
}
type_, more = types[kind]
data = fo.Dataset.from_dir(dataset_dir=root, dataset_type=type_, progress=False, **more)
count = lambda s: sum(len(s[f].detections) for f in s.field_names if isinstance(s[f], fo.Detections))
print(json.dumps({"n": len(data), "labels": [count(s) for s in data]}))
data.delete()
"""


@pytest.mark.slow
@pytest.mark.app
@pytest.mark.parametrize("target", ["bdd100k", "coco", "yolo", "kitti"])
def test_fiftyone_importers_read_it(mongo, tmp_path, native, target):
    out = exported(tmp_path, native, "bdd100k", target)
    done = subprocess.run([sys.executable, "-c", FIFTYONE, target, str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert said["n"] == 2
    assert said["labels"][0] == said["labels"][1] > 0
