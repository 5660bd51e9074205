"""Run folders made by hand: a plan, rows and images as the engine writes them."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from s2st_aug.images import encode_png, sha256_bytes
from s2st_aug.records.manifest import SCHEMA_VERSION, ManifestRow, rows_to_table
from s2st_aug.records.scene import Scene
from s2st_aug.storage.naming import image_name, variant_id
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, batch_key, write_plan
from s2st_aug.storage.run_folder import RunFolder, RunInfo
from s2st_aug.storage.shards import Shard, commit_shard, gather

DOMAINS = {"night": "p-night", "rain": "p-rain"}


class Made:
    """A run of `count` scenes, one batch each, with helpers that break it."""

    def __init__(self, place: Path, data: Path, count: int = 4) -> None:
        self.run = RunFolder(place)
        self.scenes = [Scene(f"train/s{i}", "bdd100k", "train", f"s{i}.png") for i in range(count)]
        self.sources = [encode_png(np.full((8, 8, 3), i, np.uint8)) for i in range(count)]
        for scene, source in zip(self.scenes, self.sources, strict=True):
            (data / scene.image).write_bytes(source)
        info = RunInfo(
            SCHEMA_VERSION,
            "0",
            "plan",
            "val",
            "m",
            "m-sha",
            str(data),
            {},
            DOMAINS,
            method="fake",
            method_version="1",
            method_sha256="method",
            algorithm_version="1",
        )
        planned = [PlannedScene(s, None, len(b), 0) for s, b in zip(self.scenes, self.sources, strict=True)]
        self.batches = [PlannedBatch(batch_key("plan", [p]), (p,), (tuple(DOMAINS),)) for p in planned]
        files, scenes = write_plan(self.run, self.batches)
        self.run.write_run_json(
            RunInfo(**{**{f: getattr(info, f) for f in info.__slots__}, "plan_files": files, "planned_scenes": scenes})
        )

    def commit(self, number: int, *, status: str = "ok", attempt: int = 1) -> Shard:
        """The rows and images of one batch."""
        rows = [replace(self.row(number, domain, status), attempts=attempt) for domain in DOMAINS]
        files = {r.image: self.pixels(number, r.domain) for r in rows if r.image}
        self.run.store.write_many(files)
        shard = Shard(self.batches[number].key, attempt)
        commit_shard(self.run.store, shard, rows_to_table(rows))
        return shard

    def pixels(self, number: int, domain: str) -> bytes:
        return encode_png(np.full((8, 8, 3), number * 2 + len(domain), np.uint8))

    def row(self, number: int, domain: str, status: str = "ok") -> ManifestRow:
        scene, source, failed = self.scenes[number], sha256_bytes(self.sources[number]), status == "failed"
        image = None if failed else image_name(domain, scene.scene_id, "png")
        identity = variant_id(scene.scene_id, domain, source, "", DOMAINS[domain], "method", "m-sha", "1", "0")
        return ManifestRow(
            variant_id=identity, scene_id=scene.scene_id, dataset="bdd100k", split="train", domain=domain,
            status=status, reasons=("UnreadableImage: x",) if failed else (), attempts=1,
            failure="unreadable_image" if failed else None, source_image=scene.image, source_sha256=source, image=image,
            image_sha256=None if failed else sha256_bytes(self.pixels(number, domain)), width=8, height=8,
            label_file=None, label_sha256=None, label_key=None, structure=1.0, structure_raw=1.0, strength=1.0,
            method="fake", method_version="1", method_sha256="method", model="m", model_sha256="m-sha",
            profile_sha256=DOMAINS[domain], plan_sha256="plan", validation_sha256="val", code_version="0", rng_key=0,
            inversion_steps=1, st_iterations=1, to_iterations=1, forward_evals=1.0, backward_evals=0.0, seconds=0.1,
            created_at=datetime.now(UTC),
        )  # fmt: skip


@pytest.fixture
def made(tmp_path) -> Made:
    """A run of four scenes, nothing done yet."""
    (tmp_path / "data").mkdir()
    return Made(tmp_path / "run", tmp_path / "data")


@pytest.fixture
def finished(made) -> Made:
    """The same, all done and gathered."""
    for number in range(4):
        made.commit(number)
    gather(made.run)
    return made


@pytest.fixture
def no_replacing(monkeypatch):
    """A server that renames onto free names only, as some do."""
    real = Path.replace

    def replace(self, target):
        if Path(target).exists():
            raise OSError(errno.EEXIST, "File exists")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
