"""Suite `gpu`: what only a CUDA device can show (docs/reference/figures.md#gpu). Each check is a process."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.figure import Figure, undecided
from benchmarks.processes import environment, module_command

log = logging.getLogger(__name__)
NO_DEVICE = "no CUDA device here"


@dataclass(frozen=True, slots=True)
class Check:
    """One process of `benchmarks.gpu.checks`: what it measures, and how long it may take, quick and in full."""

    figures: dict[str, tuple[str, float | None]]  # name -> unit, goal
    seconds: tuple[float, float]


CHECKS: dict[str, Check] = {  # in the order of what one would miss most
    "parity": Check({"cuda_parity": ("dB", 40)}, (60, 240)),
    "evaluations": Check({"evals_per_second": ("1/s", None)}, (60, 240)),
    "sd21": Check(
        {
            "gpu_busy": ("share", 0.85),
            "sd21_seconds_per_variant": ("s", None),
            "sd21_peak_gib": ("GiB", None),
        },
        (90, 400),
    ),
    "memory": Check({"oom_survived": ("share", 1)}, (60, 120)),
    "presets": Check({f"sd21_seconds_{p}": ("s", None) for p in ("draft", "standard", "paper")}, (120, 400)),
    "compile": Check({"compile_speedup": ("ratio", None)}, (75, 300)),
}


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure; undecided where there is no CUDA device."""
    yield from run_checks(quick=quick, device="cuda", seconds=float("inf"))


def run_checks(*, quick: bool, device: str, seconds: float, names: Collection[str] = tuple(CHECKS)) -> Iterator[Figure]:
    """These checks in their order while `seconds` last; one that fails or takes too long leaves its figures undecided.

    `device` cpu is for a dry run: the same code at a tiny size, whose values mean nothing.
    """
    until = time.monotonic() + seconds
    for name, check in CHECKS.items():
        limit = min(check.seconds[0 if quick else 1], until - time.monotonic())
        if device == "cuda" and not torch.cuda.is_available():
            found, why = list[Figure](), NO_DEVICE
        elif name not in names:
            found, why = [], "not asked for in this call"
        elif limit < 5:
            found, why = [], f"no time was left of the {seconds:.0f} s for all checks"
        else:
            found, why = _measure(name, device, limit, quick=quick)
        yield from (
            f if device == "cuda" else undecided(f.name, f.unit, f.goal, f"a dry run: {f.value}; {f.why}")
            for f in found
        )
        measured = {f.name for f in found}
        yield from (undecided(n, unit, goal, why) for n, (unit, goal) in check.figures.items() if n not in measured)


def _measure(name: str, device: str, limit: float, *, quick: bool) -> tuple[list[Figure], str]:
    """What one check's process wrote before it ended or was ended, and why there is not more."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-gpu-") as folder:
        out = Path(folder) / "figures.jsonl"
        out.touch()
        words = ["--device", device, "--out", out, *(["--quick"] if quick else [])]
        command = module_command("benchmarks.gpu.checks", name, *words)
        why = "the check did not measure it"
        try:
            done = subprocess.run(
                command, env=environment(), capture_output=True, text=True, timeout=limit, check=False
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
                why = f"check {name} failed: {lines[-1][:300]}"
                log.warning("%s\n%s", why, done.stderr[-3000:])
        except subprocess.TimeoutExpired:
            why = f"check {name} was ended after {limit:.0f} s"
            log.warning("%s", why)
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    for row in rows:
        row["interval"] = tuple(row["interval"]) if row["interval"] else None
    return [Figure(**row) for row in rows], why
