"""A small run folder without a model: BDD100K frames of plain colour, variants, verdicts, for trying the review."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.images import encode_png, sha256_bytes, sha256_file
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.manifest import SCHEMA_VERSION, ManifestRow, rows_to_table
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.records.verdicts import Hallucination, ObjectVerdict, VerdictKind
from s2st_aug.storage import RunFolder
from s2st_aug.storage.run_folder import RunInfo, parquet_bytes

_CLASSES = ("car", "pedestrian", "traffic light", "traffic sign")
_VERDICTS: tuple[VerdictKind, ...] = ("keep", "keep", "keep", "ignore", "lost")
PLAN = hashlib.sha256(b"a plan").hexdigest()


@dataclass(frozen=True, slots=True)
class FakeRun:
    """What to make: `status` cycles over the variants; every scene has `boxes` boxes and one lane."""

    scenes: int = 4
    domains: tuple[str, ...] = ("night", "rain")
    boxes: int = 5
    size: tuple[int, int] = (128, 72)
    statuses: tuple[str, ...] = ("ok", "ok", "ok", "rejected", "failed")
    split: str = "train"
    one_image: bool = False  # all photos share their bytes: quick to make by the ten thousand


def make_run(folder: Path, what: FakeRun = FakeRun()) -> RunFolder:
    """A dataset in `<folder>-scenes/day` and a finished run over it in `folder`."""
    root = folder.with_name(folder.name + "-scenes") / "day"
    make_dataset(root, what)
    card = load_card("bdd100k")
    run = RunFolder(folder)
    config = {"dataset": {"format": "bdd100k", "root": str(root), "split": what.split}, "domains": list(what.domains)}
    run.write_run_json(RunInfo(SCHEMA_VERSION, "0", PLAN, "b" * 64, "fake", "c" * 64, str(root.resolve()), config))
    scenes = list(read_scenes(card, root, what.split))
    rows = [
        _row(run, what, i, scene, read_objects(card, root, scene), d)
        for i, scene in enumerate(scenes)
        for d in what.domains
    ]
    run.store.write_many({"manifest/part-0.parquet": parquet_bytes(rows_to_table(rows))})
    return run


def make_dataset(root: Path, what: FakeRun) -> None:
    """Frames of plain colour with rectangles where the labels say, in BDD100K's det_20 form."""
    images = root / "images" / "100k" / what.split
    images.mkdir(parents=True, exist_ok=True)
    frames = []
    for number in range(what.scenes):
        frame = _frame(what, number)
        frames.append(frame)
        (images / frame["name"]).write_bytes(_picture(what, number, 160, frame["labels"]))
    labels = root / "labels" / "det_20"
    labels.mkdir(parents=True, exist_ok=True)
    (labels / f"det_{what.split}.json").write_text(json.dumps(frames), encoding="utf-8")


def _frame(what: FakeRun, number: int) -> dict[str, Any]:
    rng = numpy_generator(0, "fake", str(number))
    labels: list[dict[str, Any]] = []
    for index in range(what.boxes):
        x, y = int(rng.integers(what.size[0] - 20)), int(rng.integers(what.size[1] - 20))
        box = {"x1": x, "y1": y, "x2": x + int(rng.integers(6, 20)), "y2": y + int(rng.integers(6, 20))}
        labels.append(
            {
                "id": f"{number:05}{index:02}",
                "category": _CLASSES[index % 4],
                "box2d": box,
                "attributes": {"occluded": False},
            }
        )
    lane = [{"vertices": [[10.0, what.size[1] - 1.0], [60.0, what.size[1] / 2]], "types": "LL", "closed": False}]
    labels.append({"id": f"{number:05}99", "category": "lane/single white", "poly2d": lane})
    attributes = {"timeofday": "daytime", "weather": "clear", "scene": "city street"}
    return {"name": f"{number:05}.png", "attributes": attributes, "labels": labels}


def _picture(what: FakeRun, number: int, grey: int, labels: list[dict[str, Any]]) -> bytes:
    image = np.full((what.size[1], what.size[0], 3), grey, np.uint8)
    if not what.one_image:
        for index, label in enumerate(labels[: what.boxes]):
            box = label["box2d"]
            image[box["y1"] : box["y2"], box["x1"] : box["x2"]] = [40 * index % 200, number * 37 % 200, grey // 2]
    return encode_png(image, text={})


def _row(
    run: RunFolder, what: FakeRun, number: int, scene: Scene, objects: tuple[SceneObject, ...], domain: str
) -> ManifestRow:
    variant_id = hashlib.sha256(f"{scene.scene_id}/{domain}".encode()).hexdigest()[:32]
    status = what.statuses[(number * len(what.domains) + what.domains.index(domain)) % len(what.statuses)]
    image, digest = (None, None) if status == "failed" else _variant_file(run, what, number, scene, domain)
    verdicts = () if status == "failed" else tuple(_verdict(o, i + number) for i, o in enumerate(objects))
    return ManifestRow(
        variant_id=variant_id,
        scene_id=scene.scene_id,
        dataset=scene.dataset,
        split=scene.split,
        domain=domain,
        status=status,  # type: ignore[arg-type]
        reasons=() if status == "ok" else ("made up by a fake",),
        failure="error" if status == "failed" else None,
        rejected_by=("ignored",) if status == "rejected" else (),
        attempts=1,
        source_image=scene.image,
        source_sha256=sha256_file(run.dataset_root() / scene.image),
        image=image,
        image_sha256=digest,
        width=what.size[0],
        height=what.size[1],
        label_file=scene.label_file,
        label_sha256="e" * 64,
        label_key=str(scene.label_key) if scene.label_key else None,
        objects=verdicts,
        hallucinations=(Hallucination((5.0, 5.0, 20.0, 20.0), "lamp", 0.4),) if number % 2 else (),
        structure=0.8,
        structure_raw=0.6,
        strength=0.5 + 0.01 * (number % 40),
        method="fake",
        method_version="1",
        method_sha256="d" * 64,
        model="fake",
        model_sha256="c" * 64,
        profile_sha256="f" * 64,
        plan_sha256=PLAN,
        validation_sha256="b" * 64,
        code_version="0",
        rng_key=0,
        inversion_steps=1,
        st_iterations=1,
        to_iterations=1,
        forward_evals=1.5,
        backward_evals=0.0,
        seconds=0.1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _variant_file(run: RunFolder, what: FakeRun, number: int, scene: Scene, domain: str) -> tuple[str, str]:
    grey = 30 if "night" in domain else 90
    data = _picture(what, number, grey, _frame(what, number)["labels"])
    name = f"images/{domain}/{Path(scene.image).stem}.png"
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name, sha256_bytes(data)


def _verdict(one: SceneObject, number: int) -> ObjectVerdict:
    verdict = _VERDICTS[number % len(_VERDICTS)]
    reason = None if verdict == "keep" else "made up by a fake"
    return ObjectVerdict(
        one.object_id,
        one.kind,
        one.category,
        one.bbox,
        verdict,
        reason,
        0.9 - 0.1 * (number % 7),
        0.5,
        3.0,
        0.2,
        cause=None if verdict == "keep" else "hidden",
    )
