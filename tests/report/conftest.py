"""A run folder made by hand: a BDD100K-like source, two domains, every status and verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from s2st_aug.images import encode_png
from s2st_aug.records.manifest import SCHEMA_VERSION, ManifestRow, rows_to_table
from s2st_aug.records.scene import LabelKey
from s2st_aug.records.verdicts import Hallucination, ObjectVerdict
from s2st_aug.storage.run_folder import RunFolder, RunInfo, parquet_bytes

SIZE = (64, 36)  # w, h
CATEGORIES = ("car", "pedestrian", "traffic light", "lane/single white")


def picture(seed: int, gain: float = 1.0) -> np.ndarray:
    """A gradient with a bright block: enough to tell sheets apart."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(0, 1, SIZE[1]))
    image = np.stack([x, y, 1 - x], -1) * 200 * gain
    at = rng.integers(4, 24, 2)
    image[at[0] : at[0] + 8, at[1] : at[1] + 10] = 250 * gain
    return image.astype(np.uint8)


def verdicts(i: int) -> tuple[ObjectVerdict, ...]:
    """One object of each verdict and a lane."""
    boxes = [(4.0, 4.0, 20.0, 16.0), (30.0, 10.0, 40.0, 30.0), (50.0, 2.0, 54.0, 8.0), (0.0, 20.0, 64.0, 34.0)]
    kinds = ["keep", "ignore" if i % 3 else "keep", "lost" if i % 4 == 3 else "keep", "keep"]
    return tuple(
        ObjectVerdict(
            str(n),
            "polyline" if n == 3 else "box",
            CATEGORIES[n],
            boxes[n],
            kinds[n],
            None if kinds[n] == "keep" else "signal",
            0.8,
            0.7,
            cause=None if kinds[n] == "keep" else "signal_changed",
        )
        for n in range(4)
    )


def manifest_row(i: int, domain: str, source: bytes) -> ManifestRow:
    """Row `i`: every fourth rejected, the last scene's night failed."""
    status = "failed" if i == 7 and domain == "night" else "rejected" if i % 4 == 3 else "ok"
    reasons = {"ok": (), "rejected": ("lost: traffic light",), "failed": ("UnreadableImage: <truncated> & torn",)}[
        status
    ]
    made = status != "failed"
    return ManifestRow(
        variant_id=f"{i:02x}{domain.encode().hex()}", scene_id=f"train/s{i:03}", dataset="bdd100k", split="train",
        domain=domain, status=status, reasons=reasons, failure=None if made else "unreadable_image", attempts=1,
        rejected_by=("lost",) if status == "rejected" else (), source_image=f"images/100k/train/s{i:03}.png",
        source_sha256="0" * 64, image=f"images/{domain}/train/s{i:03}.png" if made else None,
        image_sha256="1" * 64 if made else None, width=SIZE[0], height=SIZE[1],
        label_file="labels/det_20/det_train.json", label_sha256="2" * 64,
        label_key=str(LabelKey(0, 10, "3" * 64)), objects=verdicts(i) if made else (),
        hallucinations=(Hallucination((1.0, 1.0, 5.0, 5.0), "lamp", 0.7),) if i % 5 == 0 and made else (),
        structure=0.5 + 0.05 * i if made else None, structure_raw=0.5 if made else None,
        strength=0.1 * i if made else None, method="s2st", method_version="1", method_sha256="8" * 64,
        model="street-mini", model_sha256="4" * 64,
        profile_sha256="5" * 64, plan_sha256="6" * 64, validation_sha256="7" * 64, code_version="0.1.0", rng_key=0,
        inversion_steps=20, st_iterations=10, to_iterations=10, forward_evals=62.0, backward_evals=4.0, seconds=1.25,
        created_at=datetime(2026, 11, 22, 15, 0, i % 60, tzinfo=UTC),
    )  # fmt: skip


def make_run(root: Path, scenes: int = 8) -> Path:
    """A finished run of `scenes` scenes to night and rain under `root`; returns the run folder."""
    run, data = root / "run", root / "data"
    rows = []
    for i in range(scenes):
        source = data / f"images/100k/train/s{i:03}.png"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(encode_png(picture(i)))
        for domain, gain in (("night", 0.3), ("rain", 0.7)):
            row = manifest_row(i, domain, source.read_bytes())
            rows.append(row)
            if row.image:
                (run / row.image).parent.mkdir(parents=True, exist_ok=True)
                (run / row.image).write_bytes(encode_png(picture(i, gain)))
    folder = RunFolder(run)
    config = {
        "dataset": {"format": "bdd100k", "split": "train"},
        "domains": ["night", "rain"],
        "method": {"preset": "draft"},
    }
    folder.write_run_json(
        RunInfo(
            SCHEMA_VERSION,
            "0.1.0",
            "6" * 64,
            "7" * 64,
            "street-mini",
            "4" * 64,
            str(data),
            json.loads(json.dumps(config)),
        )
    )
    folder.store.write_many({"manifest/00000000.parquet": parquet_bytes(rows_to_table(rows))})
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Eight scenes, two domains."""
    return make_run(tmp_path)


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[[int], Path]:
    """Runs of other sizes."""
    return lambda scenes: make_run(tmp_path, scenes)
