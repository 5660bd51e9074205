"""Suite `formats`: labels carried without loss, speed of the index and of the export, fuzzing."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from s2st_aug.adapters import load_card
from s2st_aug.benchmarks import lossless
from s2st_aug.benchmarks.figure import Figure, measured, undecided
from s2st_aug.errors import MissingDependency
from s2st_aug.export import export_run
from s2st_aug.export.fakes import write_run

OBJECTS = 20
_IMAGE_BYTES = 20_000


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; quick exports 1,500 frames and fuzzes for a minute, the index is whole in both."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-formats-") as folder:
        base = Path(folder)
        yield from (lossless_figure(name, base / f"lossless-{name}", records=100 if quick else 1000) for name in lossless.FORMATS)
        yield from index_figures(base / "index", frames=100_000)
        yield from export_figures(base / "export", frames=1500 if quick else 20_000)
    yield from fuzz_figures(count=100_000, seconds=45.0 if quick else 3600.0)


def lossless_figure(name: str, folder: Path, *, records: int) -> Figure:
    """Share of exported records whose every field is the source's, spelling included, but for what the contract names."""
    try:
        kept, total = lossless.measure(name, folder, records)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return measured(f"lossless_{name}", kept / total, "share", 1.0, "at_least", n=total, why="generated records with hostile fields")


def write_frames(root: Path, frames: int, *, images: bool) -> Path:
    """A BDD100K tree of `frames` frames with `OBJECTS` boxes each; the images are bytes that nobody decodes."""
    path = root / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True)
    rng = random.Random(0)
    blocks = [",".join(_label(rng, index) for index in range(OBJECTS)) for _ in range(64)]
    with open(path, "w") as file:
        file.write("[\n")
        for index in range(frames):
            file.write(("" if index == 0 else ",\n") + _frame(index, blocks[index % 64]))
        file.write("\n]\n")
    if images:
        _write_images(root / "images/100k/train", frames)
    return path


def _label(rng: random.Random, index: int) -> str:
    x, y = rng.uniform(0, 1200), rng.uniform(0, 680)
    box = {"x1": x, "y1": y, "x2": x + rng.uniform(5, 80), "y2": y + rng.uniform(5, 40)}
    attributes = {"occluded": False, "truncated": False, "trafficLightColor": "NA"}
    return json.dumps({"id": str(index), "attributes": attributes, "category": rng.choice(["car", "pedestrian", "bus"]), "box2d": box})


def _frame(index: int, labels: str) -> str:
    head = f'{{"name": "{index:08x}-{index * 7919 % 65536:08x}.png", "attributes": {{"weather": "clear", "timeofday": "daytime"}}'
    return f'{head}, "timestamp": 10000, "labels": [{labels}]}}'


def _write_images(folder: Path, frames: int) -> None:
    """Small PNG headers with a tail of noise: what a copy sees."""
    import numpy as np

    from s2st_aug.images import encode_png

    folder.mkdir(parents=True)
    head, rng = encode_png(np.zeros((36, 64, 3), np.uint8)), random.Random(1)
    for index in range(frames):
        (folder / f"{index:08x}-{index * 7919 % 65536:08x}.png").write_bytes(head + rng.randbytes(_IMAGE_BYTES))


_INDEX = """
import json, resource, sys, time
from pathlib import Path
from s2st_aug.adapters import load_card, read_scenes
card, start = load_card("bdd100k"), time.perf_counter()
n = sum(1 for _ in read_scenes(card, Path(sys.argv[1]), "train"))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([n, time.perf_counter() - start, usage.ru_maxrss / 2**20, usage.ru_utime + usage.ru_stime]))
"""


def index_figures(folder: Path, *, frames: int) -> Iterator[Figure]:
    """Time and peak memory of a process that indexes the frames."""
    size = write_frames(folder, frames, images=False).stat().st_size
    done = subprocess.run([sys.executable, "-c", _INDEX, str(folder)], capture_output=True, text=True, check=True)
    count, seconds, gib, cpu = json.loads(done.stdout)
    shutil.rmtree(folder)
    why = f"one label file of {size / 1e6:.0f} MB, {OBJECTS} objects a frame; {cpu:.1f} s of processor time, imports included"
    yield measured("index_seconds_100k", seconds * 100_000 / count, "s", 30, "at_most", n=count, why=why)
    yield measured("index_gib_100k", gib, "GiB", 1, "at_most", n=count, why=f"whole process; {why}")


def export_figures(folder: Path, *, frames: int) -> Iterator[Figure]:
    """Our export against a plain json + shutil loop and against FiftyOne's exporter, the same frames and variants, files copied."""
    write_frames(folder / "data", frames, images=True)
    write_run(folder / "run", load_card("bdd100k"), folder / "data")
    rounds = 3
    ours, loop, cpu = [], [], [0.0, 0.0]
    for number in range(rounds):  # in turn, so that both see the same machine
        start = time.process_time()
        ours.append(_timed(lambda n=number: export_run(folder / "run", "bdd100k", folder / f"ours{n}")))
        middle = time.process_time()
        loop.append(_timed(lambda n=number: plain_loop(folder / "data", folder / "run", folder / f"loop{n}")))
        cpu = [cpu[0] + middle - start, cpu[1] + time.process_time() - middle]
        for name in (f"ours{number}", f"loop{number}"):
            shutil.rmtree(folder / name)
    ratios = sorted(b / a for a, b in zip(ours, loop, strict=True))
    times = (
        f"ours {min(ours):.2f} s with hashing ({cpu[0] / rounds:.2f} s of processor time), loop {min(loop):.2f} s ({cpu[1] / rounds:.2f} s)"
    )
    why = f"median of {rounds} turns; {times}, {frames} frames and as many variants"
    yield measured("export_vs_loop", ratios[rounds // 2], "ratio", 1, "at_least", n=frames, interval=(ratios[0], ratios[-1]), why=why)
    yield _against_fiftyone(folder, min(ours), frames)


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain_loop(root: Path, run: Path, out: Path) -> None:
    """What one writes in an afternoon: no hashes, numbers as Python spells them."""
    images = out / "images/100k/train"
    images.mkdir(parents=True)
    with open(root / "labels/det_20/det_train.json") as file:
        frames = json.load(file)
    result = []
    for frame in frames:
        stem = frame["name"].removesuffix(".png")
        shutil.copyfile(root / "images/100k/train" / frame["name"], images / frame["name"])
        shutil.copyfile(run / "images/night/train" / f"{stem}.png", images / f"{stem}__night.png")
        attributes = {**frame["attributes"], "timeofday_source": frame["attributes"]["timeofday"], "timeofday": "night"}
        result += [frame, {**frame, "name": f"{stem}__night.png", "attributes": attributes}]
    (out / "labels/det_20").mkdir(parents=True)
    with open(out / "labels/det_20/det_train.json", "w") as file:
        json.dump(result, file)


_FIFTYONE = """
import json, sys, time
from pathlib import Path
import fiftyone as fo
root, run, out = map(Path, sys.argv[1:])
samples = []
for frame in json.loads((root / "labels/det_20/det_train.json").read_bytes()):
    boxes = [fo.Detection(label=l["category"], bounding_box=[0.1, 0.1, 0.2, 0.2], **l["attributes"]) for l in frame["labels"]]
    stem = frame["name"].removesuffix(".png")
    for path in (root / "images/100k/train" / frame["name"], run / "images/night/train" / (stem + ".png")):
        metadata = fo.ImageMetadata(width=64, height=36)
        samples.append(fo.Sample(str(path), metadata=metadata, detections=fo.Detections(detections=boxes)))
data = fo.Dataset()
data.add_samples(samples, progress=False)
start = time.perf_counter()
data.export(export_dir=str(out), dataset_type=fo.types.BDDDataset, label_field="detections", export_media=True, progress=False)
print(json.dumps([len(data), time.perf_counter() - start]))
data.delete()
"""


def _against_fiftyone(folder: Path, ours: float, frames: int) -> Figure:
    """FiftyOne's own exporter over the same files, its data set already loaded; its time alone is taken."""
    from s2st_aug.benchmarks.feed import mongod

    try:
        import fiftyone  # noqa: F401

        with ExitStack() as stack:
            stack.enter_context(mongod(folder / "db"))
            command = [sys.executable, "-c", _FIFTYONE, *(str(folder / name) for name in ("data", "run", "fiftyone"))]
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"FIFTYONE_DO_NOT_TRACK": "1"})
    except (ImportError, MissingDependency, OSError) as error:
        return undecided("export_vs_fiftyone", "ratio", 3, f"FiftyOne cannot be run here: {error}")
    if done.returncode:
        return undecided("export_vs_fiftyone", "ratio", 3, f"FiftyOne's exporter failed: {done.stderr.strip().splitlines()[-1][:200]}")
    count, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    why = f"ours {ours:.2f} s with hashing, FiftyOne {seconds:.2f} s, copying; Datumaro has no BDD100K to stand beside"
    return measured("export_vs_fiftyone", seconds / ours * (2 * frames / count), "ratio", 3, "at_least", n=count, why=why)


def fuzz_figures(*, count: int, seconds: float) -> Iterator[Figure]:
    """Damaged trees of every format in a process of 1 GiB: tracebacks and hangs, and paths outside of the folder."""
    command = [sys.executable, "-m", "s2st_aug.benchmarks.fuzz", str(count), "3", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
        yield from (undecided(name, "count", 0, f"the fuzzer itself ended: {last}") for name in ("fuzz_tracebacks", "fuzz_escapes"))
        return
    found = json.loads(done.stdout)
    slowest, peak = f"slowest {found['slowest']:.1f} s", f"peak {found['peak_mib']:.0f} MiB of 1 GiB"
    why = f"{found['exports']} of them exported to all five formats; {slowest}, {peak}"
    bad = found["tracebacks"] + found["hangs"]
    yield measured("fuzz_tracebacks", len(bad), "count", 0, "at_most", n=found["inputs"], why="; ".join([why, *bad[:3]]))
    yield measured(
        "fuzz_escapes", len(found["escapes"]), "count", 0, "at_most", n=found["inputs"], why="; ".join([why, *found["escapes"][:3]])
    )
