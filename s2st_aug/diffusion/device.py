"""Where networks run: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, said alike at every door."""

from __future__ import annotations

import re

import torch

from s2st_aug.errors import UsageError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def resolve_device(wanted: str = "auto") -> str:
    """A torch device that is there: `auto` is the first CUDA device, else the CPU.

    Raises UsageError for a device that is unknown or missing. MPS is taken where it is asked for: nothing here is
    written against it, and no run of ours has used it.
    """
    if not DEVICE.fullmatch(wanted):
        raise UsageError(f"device {wanted!r}: expected auto, cpu, cuda, cuda:N or mps")
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda:0" if cuda else "cpu"
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        if number >= cuda:
            why = (
                "" if cuda else f"; torch {torch.__version__} finds none; check that it was built for your CUDA version"
            )
            raise UsageError(f"device {wanted}: this machine has {cuda} CUDA devices{why}; use --device cpu")
        return f"cuda:{number}"
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device mps: torch finds no Metal device on this machine; use --device cpu")
    return wanted
