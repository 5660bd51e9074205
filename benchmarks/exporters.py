"""Other people's exporters over the frames of suite `formats`: FiftyOne's, and Datumaro's for its formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figure import Figure, measured, undecided
from benchmarks.processes import environment
from s2st_aug.errors import MissingDependency
from s2st_aug.export import export_run

DATUMARO: dict[str, str] = {"coco": "coco_instances", "yolo": "yolo", "kitti": "kitti_detection"}
"""our format -> Datumaro's; it has no BDD100K, and its Cityscapes holds label images alone"""
_FIFTYONE = """
import json, sys, time
from pathlib import Path
import fiftyone as fo
root, run, out = map(Path, sys.argv[1:])
samples = []
for frame in json.loads((root / "labels/det_20/det_train.json").read_bytes()):
    boxes = [
        fo.Detection(label=l["category"], bounding_box=[0.1, 0.1, 0.2, 0.2], **l["attributes"]) for l in frame["labels"]
    ]
    stem = frame["name"].removesuffix(".png")
    for path in (root / "images/100k/train" / frame["name"], run / "images/night/train" / (stem + ".png")):
        metadata = fo.ImageMetadata(width=64, height=36)
        samples.append(fo.Sample(str(path), metadata=metadata, detections=fo.Detections(detections=boxes)))
data = fo.Dataset()
data.add_samples(samples, progress=False)
start, cpu = time.perf_counter(), time.process_time()
options = {"label_field": "detections", "export_media": True, "progress": False}
data.export(export_dir=str(out), dataset_type=fo.types.BDDDataset, **options)
print(json.dumps([len(data), time.perf_counter() - start, time.process_time() - cpu]))
data.delete()
"""
_DATUMARO = """
import json, sys, time
from pathlib import Path
from datumaro.components.annotation import Bbox
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
root, run, out, kind = *map(Path, sys.argv[1:4]), sys.argv[4]
names = ["car", "pedestrian", "bus"]
items = []
for frame in json.loads((root / "labels/det_20/det_train.json").read_bytes()):
    boxes = [
        Bbox(b["x1"], b["y1"], b["x2"] - b["x1"], b["y2"] - b["y1"], names.index(l["category"]), i + 1, l["attributes"])
        for i, l in enumerate(frame["labels"])
        for b in [l["box2d"]]
    ]
    stem = frame["name"].removesuffix(".png")
    real, night = root / "images/100k/train" / frame["name"], run / "images/night/train" / (stem + ".png")
    for path, name in ((real, stem), (night, stem + "__night")):
        media = Image.from_file(path=str(path), size=(36, 64))
        items.append(DatasetItem(name, subset="train", media=media, annotations=boxes))
data = Dataset.from_iterable(items, categories=names)
start, cpu = time.perf_counter(), time.process_time()
data.export(str(out), kind, save_media=True)
print(json.dumps([len(items), time.perf_counter() - start, time.process_time() - cpu]))
"""


def against_fiftyone(folder: Path, frames: int) -> Figure:
    """FiftyOne's own exporter over the same files, its data set already loaded; its export's time alone is taken."""
    from benchmarks.feed import mongod

    try:
        import fiftyone  # noqa: F401

        with ExitStack() as stack:
            stack.enter_context(mongod(folder / "db"))
            count, theirs = _ask(Path(sys.executable), _FIFTYONE, folder, "fiftyone")
    except (ImportError, MissingDependency, OSError, RuntimeError) as error:
        return undecided("export_vs_fiftyone", "ratio", 3, f"FiftyOne cannot be run here: {error}")
    ours = _ours(folder, "bdd100k")
    why = f"ours from label file on, with hashing, {ours}; FiftyOne from its data set {theirs}, mongod aside"
    why += f"; {count} images copied"
    return measured(
        "export_vs_fiftyone", theirs.wall / ours.wall * (2 * frames / count), "ratio", 3, "at_least", n=count, why=why
    )


def against_datumaro(folder: Path, target: str, frames: int) -> Figure:
    """Datumaro's exporter from its own data set in memory; ours reads BDD100K labels, converts and hashes meanwhile."""
    name = f"export_vs_datumaro_{target}"
    python = Path(os.environ.get("S2ST_AUG_CLIENTS", Path(sys.prefix) / "clients")) / "datumaro/bin/python"
    if not python.exists():
        return Figure(
            name,
            None,
            "ratio",
            None,
            None,
            0,
            None,
            "Datumaro is not here: `make test-long` gives it an environment of its own",
        )
    try:
        count, theirs = _ask(python, _DATUMARO, folder, f"datumaro-{target}", DATUMARO[target])
    except (OSError, RuntimeError) as error:
        return Figure(name, None, "ratio", None, None, 0, None, f"Datumaro's exporter failed: {error}")
    ours = _ours(folder, target)
    why = f"ours from BDD100K's label file on, with hashing, {ours}; Datumaro from its data set in memory {theirs}"
    why += f"; {count} images copied"
    return Figure(name, theirs.wall / ours.wall * (2 * frames / count), "ratio", None, None, count, None, why)


class Spent(NamedTuple):
    """What a piece of work took, of the clock and of the processor, in seconds."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of processor time)"


def spent(work: Callable[[], Any]) -> Spent:
    """Wall and processor time of this process for some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _ours(folder: Path, target: str) -> Spent:
    """The better of two exports; both stay, as deleting files makes creating others slow for a while."""
    return min(spent(partial(export_run, folder / "run", target, folder / f"ours-{target}-{i}")) for i in range(2))


def _ask(python: Path, script: str, folder: Path, out: str, *more: str) -> tuple[int, Spent]:
    """What another Python printed last: images, seconds, processor seconds; raises RuntimeError with its last line."""
    command = [str(python), "-c", script, *(str(folder / name) for name in ("data", "run", out)), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(FIFTYONE_DO_NOT_TRACK="1"))
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1][:200])
    count, wall, cpu = json.loads(done.stdout.strip().splitlines()[-1])
    return int(count), Spent(wall, cpu)
