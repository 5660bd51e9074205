"""Suite `gpu`: what only a CUDA device can show. Nothing is measured yet; every figure says what it would take."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.figure import Figure, undecided

NEEDS = {
    "cuda_parity": ("dB", 40, "the same variants in bfloat16 on the device and in float32 on the CPU"),
    "gpu_busy": ("share", 0.85, "a run with decoding, labels, the detail step and writing on, and the device watched"),
    "sd21_seconds_per_variant": ("s", None, "Stable Diffusion 2.1 at full size, preset standard"),
    "sd21_peak_gib": ("GiB", None, "Stable Diffusion 2.1 at full size, preset standard"),
    "evals_per_second": ("1/s", None, "each backbone's shape with random weights"),
}


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, undecided; `quick` changes nothing as long as that is so."""
    here = "" if torch.cuda.is_available() else " (and there is no CUDA device here)"
    for name, (unit, goal, need) in NEEDS.items():
        yield undecided(name, unit, goal, f"not measured yet{here}: needs {need}")
