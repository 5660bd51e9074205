"""One check of suite `gpu`: python -m benchmarks.gpu.checks NAME --device cuda --out FILE [--quick].

Each figure is appended to FILE as a line of JSON as soon as it is known, so that a check that is ended keeps what it
had. With `--device cpu` the same code runs at a tiny size: a dry run, whose values mean nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.figure import Figure, measured, undecided
from benchmarks.gpu.shapes import UNETS, random_model, random_unet, unet_inputs
from s2st_aug.config import load_config
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.engine.attempts import AttemptTracker
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.engine.translate import AHEAD, TranslateStage
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.errors import S2STError
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.procedural.write import write_scenes
from s2st_aug.profiles import find_profile
from s2st_aug.profiles.build import build_profile, measure
from s2st_aug.profiles.cleaning import ReferencePhotos
from s2st_aug.storage.plan import PlannedBatch, table_to_batches
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.training.compiling import compile_within
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator

DEMO = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"
HELD_OUT = 313_370
PRESETS_TIMED = ("draft", "standard", "paper")
DOMAINS = ("night", "rain")


@dataclass(frozen=True)
class Work:
    """What a check is asked."""

    device: str
    quick: bool

    @property
    def dry(self) -> bool:
        """A dry run on the CPU, at a tiny size."""
        return self.device == "cpu"

    def shape(self, name: str) -> str:
        """The backbone's shape, or a tiny one."""
        return "tiny" if self.dry else name

    def synchronize(self) -> None:
        """Wait for the device."""
        if not self.dry:
            torch.cuda.synchronize()


def parity(work: Work) -> Iterator[Figure]:
    """The same variants in bfloat16 on the device and in float32 on the CPU, and in float32 on both."""
    torch.set_num_threads(1 if work.dry else 16)
    size = (160, 96) if work.dry else (640, 360)
    photos = [_street(i, "day", size) for i in range(1 if work.dry else 2 if work.quick else 6)]
    found = {}
    for device, dtype in (("cpu", "float32"), (work.device, "bfloat16"), (work.device, "float32")):
        model = load_model("street-mini", device=device)
        settings = method_settings("draft" if work.dry else "standard", {"dtype": dtype})
        translator = Translator(model, {d: find_profile(d, model) for d in DOMAINS}, settings)
        done = translator.translate(photos, list(DOMAINS), keys=list(range(len(photos))))
        found[device, dtype] = [_image_of(row[d]) for row in done for d in DOMAINS]
        if (device, dtype) == ("cpu", "float32"):
            reference = found[device, dtype]
            continue
        values = [_psnr(a, b) for a, b in zip(reference, found[device, dtype], strict=True)]
        name = "cuda_parity" if dtype == "bfloat16" else "cuda_parity_float32"
        why = f"street-mini, standard, {len(photos)} streets to night and rain: "
        why += f"least of {len(values)}, mean {np.mean(values):.1f}"
        yield measured(name, min(values), "dB", 40, "at_least", n=len(values), why=f"{why}; {dtype} on {_device(work)}")


def evaluations(work: Work) -> Iterator[Figure]:
    """Forward passes of each backbone's shape in bfloat16, channels last, at its native size and its best batch."""
    table = []
    for name in ["tiny"] if work.dry else [n for n in UNETS if n != "tiny"]:
        unet = random_unet(name, work.device)
        rates = {batch: _rate(unet, name, batch, work) for batch in ((1, 2) if work.dry else (1, 4, 8))}
        best = max(rates, key=lambda batch: rates[batch])
        each = ", ".join(f"batch {batch} {rate:.2f}" for batch, rate in rates.items())
        side = 8 * UNETS[name]["sample_size"]
        key = name.replace("-", "_").replace(".", "")
        why = f"{name}, {side}x{side}, bfloat16: {each}; {_device(work)}"
        yield Figure(f"evals_per_second_{key}", rates[best], "1/s", None, None, 1, None, why)
        table.append(f"{name} {rates[best]:.2f}")
        chosen = rates[best]
        del unet
        if not work.dry:
            torch.cuda.empty_cache()
        if name in ("sd-2.1", "tiny"):
            headline = chosen
    yield Figure("evals_per_second", headline, "1/s", None, None, len(table), None, f"sd-2.1; all: {', '.join(table)}")


@torch.no_grad()
def _rate(unet: Any, name: str, batch: int, work: Work) -> float:
    """Evaluations (samples) a second, the median of several lots."""
    args, more = unet_inputs(name, batch, work.device)
    seconds = []
    for lot in range(5):
        begin = time.perf_counter()
        for _ in range(2):
            unet(*args, **more)
        work.synchronize()
        seconds += [(time.perf_counter() - begin) / 2] if lot else []
    return batch / float(np.median(seconds))


def sd21(work: Work) -> Iterator[Figure]:
    """Stable Diffusion 2.1's shape through the whole method: seconds, memory, and how busy the device is kept."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-gpu-") as folder:
        translator = _random_translator(work, Path(folder))
        size = (160, 96) if work.dry else (1280, 720)
        photo = _street(0, "day", size)
        translator.translate([photo], ["night"], keys=[0])  # warm up
        if not work.dry:
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for key in range(1 if work.quick else 4):
            begin = time.perf_counter()
            _image_of(translator.translate([photo], ["night"], keys=[key])[0]["night"])
            seconds.append(time.perf_counter() - begin)
        native = translator.model.working_size(*size)
        about = f"random weights, standard, {size[0]}x{size[1]} at {native}, bfloat16; {_device(work)}"
        count, mean = len(seconds), float(np.mean(seconds))
        yield Figure("sd21_seconds_per_variant", mean, "s", None, None, count, None, f"{about}; one variant alone")
        if work.dry:
            yield undecided("sd21_peak_gib", "GiB", None, "a dry run: no device's memory")
        else:
            peak = torch.cuda.max_memory_allocated() / 2**30
            yield Figure("sd21_peak_gib", peak, "GiB", None, None, 1, None, f"{about}; PyTorch's own count")
        yield _busy(translator, work, Path(folder), about)


def _busy(translator: Translator, work: Work, folder: Path, about: str) -> Figure:
    """Share of the time until the last batch is translated in which the device works, through the engine's own stages.

    This process reads and translates, others judge and write.
    """
    size, scenes = ((160, 96), 2) if work.dry else ((1280, 720), 16 if work.quick else 24)
    context, batches = _planned(folder, scenes, size, batch=2 if work.dry else 8, device=work.device)
    stage = TranslateStage(context, AttemptTracker(), device=work.device)
    stage._translator = translator  # the shape under test, in place of the model that the config names
    with ProcessPoolExecutor(2 if work.dry else 8, get_context("spawn")) as pool:
        list(pool.map(_finish, [None] * (1 if work.dry else 8)))  # start them before the clock does
        begin = time.perf_counter()
        with _device_watch() as shares, ThreadPoolExecutor(AHEAD) as callers:  # as many calls as a run has under way
            waiting = [pool.submit(_finish, (context, translated)) for translated in callers.map(stage, batches)]
            network = time.perf_counter() - begin
        statuses = [status for done in waiting for status in done.result()]
        seconds = time.perf_counter() - begin
    rest = f"{len(statuses)} variants ({statuses.count('failed')} failed) in {seconds:.1f} s, "
    rest += f"the last translated after {network:.1f} s"
    if not shares:
        return undecided("gpu_busy", "share", 0.85, f"the device's use cannot be read here; {rest}")
    why = f"kernels running, by NVML every 50 ms; {about}; decoding, labels, detail, checks and writing on; {rest}"
    return measured("gpu_busy", float(np.mean(shares)) / 100, "share", 0.85, "at_least", n=len(shares), why=why)


def _finish(work: Any) -> list[str]:
    """Judge and write one translated batch, as the engine's finishing processes do; gives the statuses."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if work is None:
        return []
    context, translated = work
    return list(CommitStage(context)(ValidateStage(context)(translated)).statuses)


def memory(work: Work) -> Iterator[Figure]:
    """A batch that does not fit on the device is split, and every scene of it comes out."""
    if work.dry:
        yield undecided("oom_survived", "share", 1, "a dry run: no device's memory")
        return
    with tempfile.TemporaryDirectory(prefix="s2st_aug-gpu-") as folder:
        count = 8
        context, batches = _planned(Path(folder), count, (640, 360), batch=count, device=work.device)
        stage = TranslateStage(context, AttemptTracker(), device=work.device)
        photos = [_street(i, "day", (640, 360)) for i in range(count)]
        peaks = [_peak(stage.load(), photos[:n]) for n in (1, count)]
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(0.5 * sum(peaks) / total)
        done = stage(batches[0])
        whole = [v for v in done.variants if v.image_index is not None]
        split = sum(v.oom_split for v in done.variants)
        share = len(whole) / (count * len(DOMAINS))
        needs = ", ".join(f"{peak / 2**20:.0f}" for peak in peaks)
        why = f"a batch of {count}, given half-way between what 1 and {count} need ({needs} MiB)"
        why += f"; {split} of {len(done.variants)} variants from split batches; {_device(work)}"
        if not split:
            yield undecided("oom_survived", "share", 1, f"nothing ran out of memory: {why}")
        else:
            yield measured("oom_survived", share, "share", 1, "at_least", n=len(done.variants), why=why)


def _peak(translator: Any, photos: list[np.ndarray]) -> int:
    """Bytes in use at most for one batch; what is reserved counts holes, which a tight limit fills."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    translator.translate(photos, list(DOMAINS), [()] * len(photos), list(range(len(photos))))
    return int(torch.cuda.max_memory_allocated())


def presets(work: Work) -> Iterator[Figure]:
    """Seconds a variant of Stable Diffusion 2.1's shape by preset and batch; each preset's figure is its best batch."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-gpu-") as folder:
        translator = _random_translator(work, Path(folder))
        size = (160, 96) if work.dry else (1280, 720)
        photos = [_street(i, "day", size) for i in range(2 if work.dry else 4 if work.quick else 8)]
        for preset in PRESETS_TIMED:
            settings = method_settings(preset, {"dtype": "bfloat16", **({"steps": 3} if work.dry else {})})
            timed = Translator(translator.model, translator.profiles, settings)
            if preset == PRESETS_TIMED[0]:  # warm up
                _seconds(timed, photos[:1])
                _seconds(timed, photos)
            seconds = {n: _seconds(timed, photos[:n]) for n in (1, len(photos))}
            each = ", ".join(f"batch {n} {value:.3f}" for n, value in seconds.items())
            why = f"random weights, {preset}, {size[0]}x{size[1]}, bfloat16: {each}; {_device(work)}"
            yield Figure(f"sd21_seconds_{preset}", min(seconds.values()), "s", None, None, len(seconds), None, why)


def _seconds(translator: Translator, photos: list[np.ndarray]) -> float:
    """Of one variant in a batch of these photos."""
    began = time.perf_counter()
    for row in translator.translate(photos, ["night"], keys=list(range(len(photos)))):
        _image_of(row["night"])
    return (time.perf_counter() - began) / len(photos)


def compiling(work: Work) -> Iterator[Figure]:
    """Evaluations a second with torch.compile over those without, Stable Diffusion 2.1's shape, batch 4."""
    name = work.shape("sd-2.1")
    unet = random_unet(name, work.device)
    plain = _rate(unet, name, 4, work)
    args, more = unet_inputs(name, 4, work.device)

    def step() -> None:
        with torch.no_grad():
            unet(*args, **more)
        work.synchronize()

    limit = 1 if work.dry else 60 if work.quick else 240
    came = compile_within(unet, step, limit)
    if not came.startswith("used"):
        yield undecided("compile_speedup", "ratio", None, f"torch.compile {came}; without {plain:.2f} evaluations/s")
        return
    rate = _rate(unet, name, 4, work)
    why = f"torch.compile {came}: {rate:.2f} evaluations/s against {plain:.2f}; "
    why += f"{name}, batch 4, bfloat16; {_device(work)}"
    yield Figure("compile_speedup", rate / plain, "ratio", None, None, 1, None, why)


# --- what they share


def _street(index: int, condition: Any, size: tuple[int, int]) -> np.ndarray:
    drawn = draw_street(sample_street(HELD_OUT, index, size))
    return render_drawn(drawn, surfaces(drawn), condition)


def _image_of(result: Any) -> np.ndarray:
    if isinstance(result, Exception):
        raise result
    return result.image


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    """In dB; two equal images count as 99."""
    error = float(np.square(a.astype(float) - b).mean())
    return min(99.0, 10 * float(np.log10(255**2 / max(error, 1e-12))))


def _device(work: Work) -> str:
    return "CPU, a dry run" if work.dry else f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"


def _random_translator(work: Work, folder: Path) -> Translator:
    """SD 2.1's shape with a night profile built on rendered streets."""
    size, model = (160, 96) if work.dry else (640, 360), random_model(work.shape("sd-2.1"), work.device)
    for condition in ("day", "night"):
        (folder / condition).mkdir()
        for index in range(10):
            image = _street(500 + index, condition, size)
            cv2.imwrite(str(folder / condition / f"{index:04d}.png"), image[..., ::-1])
    day = measure(model, [ReferencePhotos(folder / "day")], "day", "a street by day")
    night = build_profile(model, "night", "a street at night", [ReferencePhotos(folder / "night")], {"day": day})
    profiles = {"night": night, "rain": replace(night, name="rain")}
    return Translator(model, profiles, method_settings("standard", {"dtype": "bfloat16"}))


def _planned(
    folder: Path, scenes: int, size: tuple[int, int], *, batch: int, device: str
) -> tuple[Any, list[PlannedBatch]]:
    """A run of the demo's config over fresh scenes, planned: what the stages are told, and its batches."""
    write_scenes(folder / "scenes", scenes, "bdd100k", ("day",), size, HELD_OUT, val_share=0.0)  # a run is of `train`
    changes = [
        f"dataset.root={folder / 'scenes' / 'day'}",
        f"domains=[{', '.join(DOMAINS)}]",
        f"cluster.batch_size={batch}",
        "method.dtype=bfloat16",
    ]
    config = with_absolute_root(load_config(DEMO, changes))
    run = RunFolder(folder / "run")
    ready = prepare(config, run, PLAIN_START, identify(config), place=str(folder / "run"))
    tables = [pq.read_table(pa.BufferReader(run.store.read(name))) for name in ready.pending]
    return ready.context, [b for table in tables for b in table_to_batches(table)]


@contextmanager
def _device_watch() -> Iterator[list[float]]:
    """Per cent of the last moments in which a kernel ran, every 50 ms; empty where no such device can be asked."""
    shares: list[float] = []
    ended = threading.Event()

    def watch(read: Callable[[], float]) -> None:
        while not ended.wait(0.05):
            shares.append(read())

    thread = None
    if torch.cuda.is_available():
        torch.cuda.utilization()  # raises here where NVML's Python module is missing
        thread = threading.Thread(target=watch, args=(torch.cuda.utilization,), daemon=True)
        thread.start()
    try:
        yield shares
    finally:
        ended.set()
        if thread:
            thread.join()


FUNCTIONS: dict[str, Callable[[Work], Iterator[Figure]]] = {
    "parity": parity,
    "evaluations": evaluations,
    "sd21": sd21,
    "memory": memory,
    "presets": presets,
    "compile": compiling,
}


def main() -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=FUNCTIONS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise S2STError("no CUDA device here")
    for figure in FUNCTIONS[arguments.name](Work(arguments.device, arguments.quick)):
        with arguments.out.open("a") as file:
            file.write(json.dumps(asdict(figure)) + "\n")


if __name__ == "__main__":
    main()
