"""What a large run moves, asks for and costs, computed from figures measured a row and a batch.

`python -m benchmarks.scale measure FILE` measures them anew, on a small server of S3's protocol that counts its
requests; the page "Scale on paper" shows `tables` of that file. Nothing here was run at the sizes it speaks of.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import CHECKOUT
from s2st_aug.engine.augment import _finish
from s2st_aug.engine.batches import TranslatedBatch, VariantResult, pack
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.in_process import translate_and_validate
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.records.manifest import ManifestRow, rows_to_table
from s2st_aug.records.scene import Scene
from s2st_aug.records.verdicts import ObjectVerdict
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, table_to_batches
from s2st_aug.storage.run_folder import RunFolder, parquet_bytes, read_part
from s2st_aug.testing.datasets import make_config, make_dataset

SERVER = CHECKOUT / "tests/helpers/s3_server.py"
FRAME = (720, 1280, 3)  # of BDD100K
OBJECTS = 18  # boxes a BDD100K image has on average: 1.8 million in 100,000 images
IMAGE_MIB = 0.6  # a PNG at 1280x720 of twelve street photos, darkened to 0.4; undarkened they take 0.8
PRICE = {"PUT": 5e-6, "LIST": 5e-6, "POST": 0.0, "GET": 4e-7, "HEAD": 4e-7, "DELETE": 0.0}
GB_MONTH = 0.023
"""dollars, list prices of S3 Standard in us-east-1; a bulk delete and a DELETE are free"""
PUTS_A_SECOND, GETS_A_SECOND = 3500, 5500  # that S3 promises a prefix
WORKER_SECONDS = 10.0  # between two looks of a worker at the lock: one LIST and one GET
DRIVER = {"PUT": 4.2, "LIST": 1.1, "GET": 1.1}  # a second, at most: progress four times, fence once, heartbeat
SIZES = ((70_000, 8), (70_000, 64), (70_000, 512), (10_000_000, 8), (10_000_000, 64), (10_000_000, 512))
NAMES = ("PUT", "GET", "HEAD", "LIST", "DELETE", "POST")


@dataclass(frozen=True, slots=True)
class Run:
    """A run as one plans it: scenes, domains, scenes a batch, GPUs and seconds a variant on one."""

    scenes: int
    gpus: int
    domains: int = 2
    batch: int = 4
    seconds: float = 0.3

    @property
    def variants(self) -> int:
        """Rows of the manifest."""
        return self.scenes * self.domains

    @property
    def batches(self) -> int:
        """Units of work and commit."""
        return -(-self.scenes // self.batch)

    @property
    def hours(self) -> float:
        """With every GPU kept busy."""
        return self.variants * self.seconds / self.gpus / 3600

    @property
    def batches_a_second(self) -> float:
        """That the driver hears of."""
        return self.gpus / (self.seconds * self.domains * self.batch)


RUNS = tuple(Run(scenes, gpus) for scenes, gpus in SIZES)


def measure() -> dict[str, Any]:
    """Requests a batch and a run, bytes through the object store and in the manifest; all counted, nothing timed."""
    few, many = _requests(8), _requests(40)
    each = {phase: {n: (many[phase][n] - few[phase][n]) / 8 for n in NAMES} for phase in few}  # of 32 scenes: 8 batches
    once = {phase: {n: few[phase][n] - 2 * each[phase][n] for n in NAMES} for phase in few}
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "requests_a_batch": each,
        "requests_a_run": once,
        "store_mib_a_variant": _packed_mib() / 8,
        "manifest_bytes_a_row": _row_bytes(OBJECTS),
        "manifest_bytes_without_objects": _row_bytes(0),
        "cluster": _of_the_suite(),
    }


def _of_the_suite() -> dict[str, float]:
    """What docs/measured/cluster.json says of the driver, by name; its peak at no scene at all is the rest."""
    figures = {f["name"]: f["value"] for f in json.loads((CHECKOUT / "docs/measured/cluster.json").read_text())}
    names = ("plan_seconds_1m", "plan_gib_1m", "memory_plan_gib_growth", "memory_resume_gib_growth")
    found = {name: figures[name] for name in (*names, "driver_ms_per_batch") if name in figures}
    return {**found, "plan_base_gib": figures["plan_gib_1m"] - figures["memory_plan_gib_growth"]}


@contextmanager
def _server() -> Iterator[tuple[str, str]]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(SERVER), str(port)])
    try:
        for _ in range(600):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        place = f"s3://key:word@bucket/run?scheme=http&endpoint_override=127.0.0.1%3A{port}&region=eu"
        yield place, f"http://127.0.0.1:{port}/_counts"
    finally:
        server.terminate()
        server.wait(10)


def _requests(scenes: int) -> dict[str, dict[str, int]]:
    """Of a run of so many scenes by fours, by its phase: start, work, end."""
    with _server() as (place, counts), tempfile.TemporaryDirectory() as name:
        config = with_absolute_root(make_config(make_dataset(Path(name), scenes), cluster={"batch_size": 4}))
        seen = [_counted(counts)]
        folder = RunFolder(place)
        with RunLock(folder) as lock:
            ready = prepare(config, folder, PLAIN_START, identify(config), place=place, lock=lock)
            batches = [b for n in ready.pending for b in table_to_batches(read_part(folder.store, n, None))]
            seen.append(_counted(counts))
            commit = CommitStage(ready.context)
            for validated in translate_and_validate(ready.context, batches):
                commit(validated)
            seen.append(_counted(counts))
            _finish(folder, ready, "")
        seen.append(_counted(counts))
    pairs = zip(("start", "work", "end"), seen[:-1], seen[1:], strict=True)
    return {phase: {n: after.get(n, 0) - before.get(n, 0) for n in NAMES} for phase, before, after in pairs}


def _counted(address: str) -> dict[str, int]:
    with urllib.request.urlopen(address) as answer:
        return json.loads(answer.read())


def _packed_mib() -> float:
    """A translated batch of four scenes in two domains, as it passes from the GPU's process to the next."""
    scenes = tuple(PlannedScene(Scene(f"s{i}", "bdd100k", "train", f"{i}.jpg"), None, None, None) for i in range(4))
    batch = PlannedBatch("key", scenes, (("night", "rain"),) * 4, 1)
    pixels = np.zeros(FRAME, np.uint8).tobytes()
    variants = [VariantResult(i, d, 2 * i + j, FRAME[:2]) for i in range(4) for j, d in enumerate(("night", "rain"))]
    done = TranslatedBatch(batch, "a", [None] * 4, variants, [pixels] * 8, [pixels] * 8)
    return float(pack([done]).nbytes) / 2**20


def _row_bytes(objects: int, rows: int = 2000) -> float:
    """Of the manifest's Parquet, with measures that are random and so do not compress."""
    dice = np.random.default_rng(0)
    table = rows_to_table([_row(dice, number, objects) for number in range(rows)])
    return len(parquet_bytes(table)) / rows


def _row(dice: np.random.Generator, number: int, objects: int) -> ManifestRow:
    digest = dice.bytes(32).hex
    verdicts = tuple(
        ObjectVerdict(f"{number}-{i}", "box", "car", tuple(dice.uniform(0, 1280, 4)), "keep", None, *dice.random(4))
        for i in range(objects)
    )
    return ManifestRow(
        variant_id=digest(),
        scene_id=f"train/{dice.bytes(8).hex()}-{dice.bytes(4).hex()}",
        dataset="bdd100k",
        split="train",
        domain="night",
        status="ok",
        reasons=(),
        failure=None,
        attempts=1,
        source_image=f"images/100k/train/{dice.bytes(8).hex()}.jpg",
        source_sha256=dice.bytes(32).hex(),
        image=f"images/night/train/{dice.bytes(8).hex()}.png",
        image_sha256=dice.bytes(32).hex(),
        width=1280,
        height=720,
        label_file="labels/det_20/det_train.json",
        label_sha256=dice.bytes(32).hex(),
        label_key=str(number),
        objects=verdicts,
        hallucinations=(),
        structure=float(dice.random()),
        structure_raw=float(dice.random()),
        strength=float(dice.random()),
        method="s2st",
        method_version="1",
        method_sha256="b" * 64,
        model="sd21",
        model_sha256="d" * 64,
        profile_sha256="c" * 64,
        plan_sha256="f" * 64,
        validation_sha256="e" * 64,
        code_version="1",
        rng_key=0,
        inversion_steps=10,
        st_iterations=4,
        to_iterations=4,
        forward_evals=30.0,
        backward_evals=0.0,
        seconds=float(dice.random()),
        created_at=datetime.now(UTC),
    )


def requests_of(run: Run, found: Mapping[str, Any]) -> dict[str, float]:
    """Of all of a run on S3, its dataset there too: a GET and a HEAD a source image."""
    total = dict.fromkeys(NAMES, 0.0)
    for phase, each in found["requests_a_batch"].items():
        for name in NAMES:
            total[name] += each[name] * run.batches + found["requests_a_run"][phase][name]
    seconds, workers = run.hours * 3600, 2 * run.gpus
    for name, often in DRIVER.items():
        total[name] += often * seconds
    for name in ("LIST", "GET"):
        total[name] += workers * seconds / WORKER_SECONDS
    total["GET"] += run.scenes
    total["HEAD"] += run.scenes
    return total


def cost_of(requests: Mapping[str, float]) -> float:
    """Dollars."""
    return sum(PRICE[name] * often for name, often in requests.items())


def driver_of(run: Run, cluster: Mapping[str, float]) -> dict[str, float]:
    """Plan and memory by the line through what a million scenes took (suite `cluster`); busy: of one core."""
    millions = run.scenes / 1e6
    return {
        "plan_seconds": cluster["plan_seconds_1m"] * millions,
        "plan_gib": cluster["plan_base_gib"] + cluster["memory_plan_gib_growth"] * millions,
        "resume_gib": cluster["plan_base_gib"] + cluster["memory_resume_gib_growth"] * millions,
        "busy": run.batches_a_second * cluster.get("driver_ms_per_batch", math.nan) / 1000,
    }


def runs_of(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Header and rows: hours, requests, dollars, manifest and images by scenes and GPUs."""
    yield (
        "scenes",
        "GPUs",
        "hours",
        "GPU hours",
        "S3 requests",
        "of them PUT",
        "dollars",
        "manifest",
        "images",
        "a month",
    )
    for run in RUNS:
        asked = requests_of(run, found)
        images = run.variants * IMAGE_MIB / 1024
        yield (
            f"{run.scenes:,}",
            str(run.gpus),
            f"{run.hours:,.1f}",
            f"{run.hours * run.gpus:,.0f}",
            _millions(sum(asked.values())),
            _millions(asked["PUT"]),
            f"{cost_of(asked):,.2f}",
            f"{run.variants * found['manifest_bytes_a_row'] / 2**30:,.2f} GiB",
            f"{images:,.0f} GiB",
            f"{images * 1.0737 * GB_MONTH:,.0f} dollars",
        )


def driver_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Header and rows: the driver's plan, memory and load."""
    yield "scenes", "GPUs", "plan", "memory, planning", "memory, resuming", "batches a second", "busy", "PUTs a second"
    for run in RUNS:
        driver = driver_of(run, found["cluster"])
        yield (
            f"{run.scenes:,}",
            str(run.gpus),
            f"{driver['plan_seconds']:.0f} s",
            f"{driver['plan_gib']:.2f} GiB",
            f"{driver['resume_gib']:.2f} GiB",
            f"{run.batches_a_second:.1f}",
            "not measured" if math.isnan(driver["busy"]) else f"{driver['busy']:.2f}",
            f"{run.batches_a_second * found['requests_a_batch']['work']['PUT']:.0f}",
        )


def network_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Header and rows: bytes through the object store."""
    yield "scenes", "GPUs", "through the object store", "MiB/s in all", "MiB/s a machine of eight"
    for run in RUNS:
        rate = run.gpus / run.seconds * found["store_mib_a_variant"]
        all_of_it = run.variants * found["store_mib_a_variant"] / 2**20
        yield f"{run.scenes:,}", str(run.gpus), f"{all_of_it:,.1f} TiB", f"{rate:,.0f}", f"{rate / run.gpus * 8:,.0f}"


def _millions(number: float) -> str:
    return f"{number / 1e6:,.2f} million"


def main(words: list[str]) -> None:
    """`measure FILE`: the figures, as JSON."""
    assert words[0] == "measure", words
    Path(words[1]).write_text(json.dumps(measure(), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
