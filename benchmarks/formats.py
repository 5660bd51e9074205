"""Suite `formats`: labels carried without loss, speed of the index and of the export, fuzzing.

The suite is made of pieces (`benchmarks.pieces`); one by itself: `python -m benchmarks.formats piece NAME DIR`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import exporters, lossless
from benchmarks.exporters import Spent, spent
from benchmarks.figure import Figure, measured, undecided
from benchmarks.pieces import circumstances, folder_or, kept, wanted
from benchmarks.processes import environment, module_command
from s2st_aug.export import export_run
from s2st_aug.formats import load_card
from s2st_aug.formats.registry import FORMATS
from s2st_aug.images import encode_png
from s2st_aug.testing.runs import write_run

OBJECTS = 20
TURNS = 3
_TURN = "exported-"
_FEW = 20
_SIZE = (64, 36)
_IMAGE_BYTES = 20_000


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; quick exports fewer frames and fuzzes for half a minute, the index is the same."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-formats-") as name:
        folder = folder_or(Path(name))
        names = [name for name in pieces(folder, quick=quick) if wanted(folder, _kept_as(name, quick=quick))]
        yield from medians(figure for name in names for figure in piece(name, folder, quick=quick))
        for exported in folder.glob(f"{_TURN}*"):
            shutil.rmtree(exported)


def medians(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Figures that several pieces measured become their median, with the least and the greatest value.

    Nothing is decided where the turns disagree about the goal, or one of them could not decide.
    """
    turns: dict[str, list[Figure]] = {}
    for figure in figures:
        turns.setdefault(figure.name, []).append(figure)
    for first, *others in turns.values():
        yield _median([first, *others]) if others else first


def _median(turns: list[Figure]) -> Figure:
    values = sorted(f.value for f in turns if f.value is not None)
    if not values:
        return turns[0]
    middle = next(f for f in turns if f.value == values[len(values) // 2])
    found = {f.holds for f in turns}
    if len(found) == 1:
        why = f"median of {len(values)} turns: {middle.why}"
    else:
        reached = sum(f.holds is True for f in turns)
        why = f"undecided: {reached} of {len(turns)} turns reach the goal; median: {middle.why}"
    return replace(
        middle,
        value=median(values),
        holds=found.pop() if len(found) == 1 else None,
        interval=(values[0], values[-1]),
        why=why,
    )


def piece(name: str, folder: Path, *, quick: bool = False) -> list[Figure]:
    """A piece's figures: those that are kept, or made now and kept."""

    def make() -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="s2st_aug-formats-") as work:
            return [asdict(figure) for figure in pieces(folder, quick=quick)[name](Path(work) / "piece")]

    return [Figure(**raw) for raw in kept(folder, _kept_as(name, quick=quick), make)]


def _kept_as(name: str, *, quick: bool) -> str:
    return f"{name}-quick" if quick else name


def pieces(shared: Path, *, quick: bool) -> dict[str, Callable[[Path], Iterator[Figure]]]:
    """The suite in pieces of a few minutes, each in its own folder, for a machine that is shared.

    Exports come first: on ext4, files take up to seven times as long to create soon after thousands were deleted. What
    they have in common lies in `shared`.
    """

    def exports(turn: int, _: Path) -> Iterator[Figure]:
        yield export_figure(shared, turn=turn, frames=1500 if quick else 100_000)

    def lossless(name: str, folder: Path) -> Iterator[Figure]:
        yield lossless_figure(name, folder, records=100 if quick else 1000)

    found: dict[str, Callable[[Path], Iterator[Figure]]] = {
        f"export-{turn}": partial(exports, turn) for turn in range(TURNS)
    }
    found["others"] = lambda folder: against_others(folder, frames=500 if quick else 5000)
    found |= {f"lossless-{name}": partial(lossless, name) for name in FORMATS}
    for name in (name for name, index in _INDEXED.items() if not (quick and index.mark)):
        found[f"index-{name}"] = partial(index_figures, name=name, frames=100_000)
    found["fuzz"] = lambda folder: fuzz_figures(count=100_000, seconds=40.0 if quick else 3600.0)
    return found


def against_others(folder: Path, *, frames: int) -> Iterator[Figure]:
    """FiftyOne's exporter and Datumaro's over the same frames as ours."""
    prepare_export(folder, frames)
    yield exporters.against_fiftyone(folder, frames)
    yield from (exporters.against_datumaro(folder, target, frames) for target in exporters.DATUMARO)


def lossless_figure(name: str, folder: Path, *, records: int) -> Figure:
    """Share of exported records that are the source's, spelling included, but for docs/reference/promises.md#labels."""
    try:
        kept, total = lossless.measure(name, folder, records)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return measured(
        f"lossless_{name}", kept / total, "share", 1.0, "at_least", n=total, why="generated records with hostile fields"
    )


def write_frames(root: Path, frames: int, *, images: bool) -> Path:
    """A BDD100K tree of `frames` frames with `OBJECTS` boxes each; the images are bytes that nobody decodes."""
    path = root / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True)
    rng = random.Random(0)
    blocks = [",".join(_label(rng, index) for index in range(OBJECTS)) for _ in range(64)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("[\n")
        for index in range(frames):
            name = f"{index:08x}-{index * 7919 % 65536:08x}.png"
            head = f'{{"name": "{name}", "attributes": {{"weather": "clear", "timeofday": "daytime"}}'
            frame = f'{head}, "timestamp": 10000, "labels": [{blocks[index % 64]}]}}'
            file.write(("" if index == 0 else ",\n") + frame)
        file.write("\n]\n")
    if images:
        _write_images(root / "images/100k/train", frames)
    return path


def _label(rng: random.Random, index: int) -> str:
    x, y = rng.uniform(0, _SIZE[0] - 9), rng.uniform(0, _SIZE[1] - 9)  # labels beside their image are refused
    box = {"x1": x, "y1": y, "x2": x + rng.uniform(1, 8), "y2": y + rng.uniform(1, 8)}
    attributes = {"occluded": False, "truncated": False, "trafficLightColor": "NA"}
    return json.dumps(
        {"id": str(index), "attributes": attributes, "category": rng.choice(["car", "pedestrian", "bus"]), "box2d": box}
    )


def _write_images(folder: Path, frames: int) -> None:
    """Small PNG headers with a tail of noise: what a copy sees."""

    folder.mkdir(parents=True)
    head, rng = encode_png(np.zeros((_SIZE[1], _SIZE[0], 3), np.uint8)), random.Random(1)
    for index in range(frames):
        (folder / f"{index:08x}-{index * 7919 % 65536:08x}.png").write_bytes(head + rng.randbytes(_IMAGE_BYTES))


_INDEX = """
import json, resource, sys, time
from pathlib import Path
from s2st_aug.formats import load_card, read_scenes
card, start = load_card(sys.argv[2]), time.perf_counter()
n = sum(1 for _ in read_scenes(card, Path(sys.argv[1]), "train"))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([n, time.perf_counter() - start, usage.ru_maxrss / 2**20, usage.ru_utime + usage.ru_stime]))
"""


def index_figures(folder: Path, name: str, *, frames: int) -> Iterator[Figure]:
    """Time and peak memory of a process that indexes the frames; BDD100K's have the goals, the others stand beside."""
    write, mark = _INDEXED[name]
    size = write(folder, frames)
    command = [sys.executable, "-c", _INDEX, str(folder), name]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    count, seconds, gib, cpu = json.loads(done.stdout)
    shutil.rmtree(folder)
    why = f"{name}, {size / 1e6:.0f} MB of labels, {OBJECTS} objects a frame"
    why += f"; {cpu:.1f} s of processor time, imports included"
    yield measured(f"index_seconds_100k{mark}", seconds * 100_000 / count, "s", 30, "at_most", n=count, why=why)
    yield measured(f"index_gib_100k{mark}", gib, "GiB", 1, "at_most", n=count, why=f"whole process; {why}")


def _bdd_to_index(folder: Path, frames: int) -> int:
    return write_frames(folder, frames, images=False).stat().st_size


def _coco_to_index(folder: Path, frames: int) -> int:
    """One instances file, its annotations in another order than its images."""
    path = folder / "annotations/instances_train2017.json"
    path.parent.mkdir(parents=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            '{"images": ['
            + ",\n".join(
                f'{{"id": {i}, "file_name": "{i:012d}.jpg", "width": 640, "height": 480}}' for i in range(frames)
            )
        )
        file.write('],\n"annotations": [\n')
        for number in range(frames * OBJECTS):
            box = f'"bbox": [{number % 600}.25, 3.5, 20.75, 30.5], "area": 632.875, "iscrowd": 0, "segmentation": []'
            image = number * 7919 % frames
            file.write(
                f'{"," if number else ""}{{"id": {number}, "image_id": {image}, "category_id": {number % 3 + 1}, '
                f"{box}}}\n"
            )
        file.write(
            '],\n"categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}, {"id": 3, "name": "person"}]}'
        )
    return path.stat().st_size


def _yolo_to_index(folder: Path, frames: int) -> int:
    """A label file and an (empty) image file a frame."""
    for kind in ("images", "labels"):
        (folder / kind / "train").mkdir(parents=True)
    (folder / "data.yaml").write_text("train: images/train\nnames: [car, bus, person]\n")
    text = "".join(f"{i % 3} 0.{i + 10} 0.5 0.0125 0.025\n" for i in range(OBJECTS))
    for index in range(frames):
        (folder / f"images/train/{index:08d}.jpg").touch()
        (folder / f"labels/train/{index:08d}.txt").write_text(text)
    return len(text) * frames


class _Indexed(NamedTuple):
    """What is indexed: `write` makes the labels and gives their bytes, `mark` ends the names of its figures."""

    write: Callable[[Path, int], int]
    mark: str


_INDEXED = {
    "bdd100k": _Indexed(_bdd_to_index, ""),
    "coco": _Indexed(_coco_to_index, "_coco"),
    "yolo": _Indexed(_yolo_to_index, "_yolo"),
}


def export_figure(folder: Path, *, turn: int, frames: int) -> Figure:
    """Our export against a plain json + shutil loop over the same frames and variants, files copied.

    The frames stay in the folder, and what both sides write (7 GB for 100,000 frames) until the suite has every turn.
    Each second turn begins with the loop, and a few frames go first, so that neither side pays for imports.
    """
    few, prepared = folder / f"frames-{_FEW}", folder / f"frames-{frames}"
    prepare_export(few, _FEW)
    prepare_export(prepared, frames)
    sides = ("ours", "loop") if turn % 2 == 0 else ("loop", "ours")
    _turn(few, Path(tempfile.mkdtemp(prefix=_TURN, dir=folder)), sides)
    took = _turn(prepared, Path(tempfile.mkdtemp(prefix=_TURN, dir=folder)), sides)
    ours, loop = took["ours"], took["loop"]
    why = f"ours with hashing {ours}, loop {loop}, {sides[0]} first; {frames} frames of {OBJECTS} objects, as many"
    why += f" variants; {circumstances()}"
    return measured("export_vs_loop", loop.wall / ours.wall, "ratio", 1, "at_least", n=frames, why=why)


def prepare_export(folder: Path, frames: int) -> None:
    """The frames with their images, and a finished run over them."""
    if not (folder / "run/manifest").is_dir():
        write_frames(folder / "data", frames, images=True)
        write_run(folder / "run", load_card("bdd100k"), folder / "data")


def _turn(folder: Path, out: Path, sides: tuple[str, str]) -> dict[str, Spent]:
    """Both sides once, in this order; what one wrote is on the disk before the other begins."""
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: export_run(folder / "run", "bdd100k", out / "ours"),
        "loop": lambda: plain_loop(folder / "data", folder / "run", out / "loop"),
    }
    took = {}
    for side in sides:
        os.sync()
        took[side] = spent(work[side])
    return took


def plain_loop(root: Path, run: Path, out: Path) -> None:
    """What one writes in an afternoon, as fast as json goes: no hashes, numbers as Python spells them."""
    images = out / "images/100k/train"
    images.mkdir(parents=True)
    with open(root / "labels/det_20/det_train.json", encoding="utf-8") as file:
        frames = json.load(file)
    result = []
    for frame in frames:
        stem = frame["name"].removesuffix(".png")
        shutil.copyfile(root / "images/100k/train" / frame["name"], images / frame["name"])
        shutil.copyfile(run / "images/night/train" / f"{stem}.png", images / f"{stem}__night.png")
        attributes = {**frame["attributes"], "timeofday_source": frame["attributes"]["timeofday"], "timeofday": "night"}
        result += [frame, {**frame, "name": f"{stem}__night.png", "attributes": attributes}]
    (out / "labels/det_20").mkdir(parents=True)
    (out / "labels/det_20/det_train.json").write_text(
        json.dumps(result)
    )  # in C; json.dump to a file takes nearly three times as long


def fuzz_figures(*, count: int, seconds: float) -> Iterator[Figure]:
    """Damaged trees of every format in a process of 1 GiB: tracebacks and hangs, and paths outside of the folder."""
    command = module_command("benchmarks.fuzz", count, 3, seconds)
    done = subprocess.run(command, capture_output=True, text=True, env=environment(OMP_NUM_THREADS="1"))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
        yield from (
            undecided(name, "count", 0, f"the fuzzer itself ended: {last}")
            for name in ("fuzz_tracebacks", "fuzz_escapes")
        )
    else:
        yield from told(json.loads(done.stdout))


def told(found: dict[str, Any]) -> Iterator[Figure]:
    """What a run of the fuzzer (or several, added up) found, as figures."""
    slowest, peak = f"slowest {found['slowest']:.1f} s", f"peak {found['peak_mib']:.0f} MiB of 1 GiB"
    why = f"{found['exports']} of them through an export to all five formats; {found['refused']} refused"
    why += f"; {slowest}, {peak}"
    bad = found["tracebacks"] + found["hangs"]
    yield measured(
        "fuzz_tracebacks", len(bad), "count", 0, "at_most", n=found["inputs"], why="; ".join([why, *bad[:3]])
    )
    yield measured(
        "fuzz_escapes",
        len(found["escapes"]),
        "count",
        0,
        "at_most",
        n=found["inputs"],
        why="; ".join([why, *found["escapes"][:3]]),
    )


def main(words: list[str]) -> None:
    """`piece NAME DIR`: one piece, kept in DIR."""
    assert words[0] == "piece", words
    sys.stdout.writelines(f"{figure}\n" for figure in piece(words[1], Path(words[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
