"""A finished run folder over any data set without a model: what tests and benchmarks export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import s2st_aug
from s2st_aug.errors import LabelError, UnreadableImage
from s2st_aug.formats import Card, frame_of, read_objects, read_scenes
from s2st_aug.formats.label_images import stored_size
from s2st_aug.images import encode_png, read_photo
from s2st_aug.records.manifest import SCHEMA_VERSION, ManifestRow, rows_to_table
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.records.verdicts import Cause, FailureKind, ObjectVerdict, VerdictKind
from s2st_aug.storage.naming import image_name, variant_id
from s2st_aug.storage.run_folder import RunFolder, RunInfo

Verdicts = Callable[[Scene, SceneObject], VerdictKind]
_CAUSES: dict[VerdictKind, Cause | None] = {"keep": None, "ignore": "hidden", "lost": "vanished"}
_MADE = datetime(2026, 1, 1, tzinfo=UTC)


def keep_all(scene: Scene, item: SceneObject) -> VerdictKind:
    """Every label still holds."""
    return "keep"


def write_run(
    run: Path,
    card: Card,
    root: Path,
    split: str = "train",
    *,
    domains: tuple[str, ...] = ("night",),
    verdicts: Verdicts = keep_all,
) -> RunFolder:
    """A run folder with one `ok` row and one small dark PNG a scene and domain.

    A scene without an image, or whose labels cannot be read, has a `failed` row.
    """
    folder = RunFolder(run)
    (run / "manifest").mkdir(parents=True)
    folder.write_run_json(_info(card, root, split, domains))
    rows = [row for scene in read_scenes(card, root, split) for row in _rows(run, card, root, scene, domains, verdicts)]
    pq.write_table(rows_to_table(rows), run / "manifest/part-0.parquet")
    return folder


def _info(card: Card, root: Path, split: str, domains: tuple[str, ...]) -> RunInfo:
    dataset: dict[str, Any] = {"format": card.name, "root": str(root), "split": split, "select": {}, "limit": None}
    config: dict[str, Any] = {"dataset": dataset | ({"rescale_labels": True} if card.rescale_labels else {})}
    config |= {"domains": list(domains), "model": "street-mini"}
    return RunInfo(
        SCHEMA_VERSION, s2st_aug.__version__, "f" * 64, "e" * 64, "street-mini", "d" * 64, str(root.resolve()), config
    )


def _rows(
    run: Path, card: Card, root: Path, scene: Scene, domains: tuple[str, ...], verdicts: Verdicts
) -> Iterator[ManifestRow]:
    data = _readable(root / scene.image)
    failure: FailureKind | None = None if data is not None and _opens(data) else "unreadable_image"
    objects: tuple[SceneObject, ...] = ()
    size = (0, 0)
    if data is not None:
        try:
            objects = read_objects(card, root, scene)
            size = frame_of(card, root, scene, objects).size
        except LabelError as error:
            objects, failure = (), error.failure
    judged = tuple(
        ObjectVerdict(o.object_id, o.kind, o.category, o.bbox, verdict := verdicts(scene, o), cause=_CAUSES[verdict])
        if o.unsound is None
        else ObjectVerdict(o.object_id, o.kind, o.category, o.bbox, "ignore", o.unsound, cause="unsound")
        for o in objects
    )
    for domain in domains:
        image = None if failure else _image(run, scene, domain, size)
        yield _row(scene, domain, data, judged, size, image or failure)


def _readable(path: Path) -> bytes | None:
    try:
        stored_size(path)
    except LabelError:
        return None
    return path.read_bytes()


def _opens(data: bytes) -> bool:
    try:
        read_photo(data)
    except UnreadableImage:
        return False
    return True


def _row(
    scene: Scene,
    domain: str,
    data: bytes | None,
    judged: tuple[ObjectVerdict, ...],
    size: tuple[int, int],
    made: tuple[str, str] | FailureKind | None,
) -> ManifestRow:
    """`made` is the image's name and hash, or why there is none."""
    name, sha256 = made if isinstance(made, tuple) else (None, None)
    return ManifestRow(
        variant_id=variant_id(scene.scene_id, domain),
        scene_id=scene.scene_id,
        dataset=scene.dataset,
        split=scene.split,
        domain=domain,
        status="ok" if name else "failed",
        reasons=() if name else (str(made),),
        failure=None if isinstance(made, tuple) else made,
        attempts=1,
        source_image=scene.image,
        source_sha256=None if data is None else hashlib.sha256(data).hexdigest(),
        image=name,
        image_sha256=sha256,
        width=None if name is None else size[0],
        height=None if name is None else size[1],
        label_file=scene.label_file,
        label_sha256=None,
        label_key=str(scene.label_key) if scene.label_key else None,
        objects=judged,
        hallucinations=(),
        structure=0.9,
        structure_raw=0.9,
        strength=0.7,
        **_MODEL,
    )


def _image(run: Path, scene: Scene, domain: str, size: tuple[int, int]) -> tuple[str, str]:
    """A flat dark image of the source's size, turned as its labels are, as the run would have stored it."""
    shade = 16 + int(hashlib.sha256(scene.scene_id.encode()).hexdigest()[:2], 16) // 8
    png = encode_png(np.full((size[1], size[0], 3), shade, np.uint8))
    name = image_name(domain, scene.scene_id, "png")
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(png)
    return name, hashlib.sha256(png).hexdigest()


_MODEL: dict[str, Any] = {
    "method": "s2st",
    "method_version": "1",
    "method_sha256": "b" * 64,
    "model": "street-mini",
    "model_sha256": "d" * 64,
    "profile_sha256": "c" * 64,
    "plan_sha256": "f" * 64,
    "validation_sha256": "e" * 64,
    "code_version": s2st_aug.__version__,
    "rng_key": 0,
    "inversion_steps": 10,
    "st_iterations": 4,
    "to_iterations": 4,
    "forward_evals": 30.0,
    "backward_evals": 0.0,
    "seconds": 1.0,
    "created_at": _MADE,
}
