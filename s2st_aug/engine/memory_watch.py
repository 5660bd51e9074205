"""Does a worker's memory creep? Its level after the first batches is what it needs; what comes on top later leaks."""

from __future__ import annotations

from collections.abc import Callable

import psutil

WARM_UP = 3  # batches that may still raise the level: caches, kernels, the largest shapes


class MemoryWatch:
    """Watches one worker's memory, batch by batch."""

    def __init__(self, device: str, allowed: int, level: Callable[[str], int] | None = None) -> None:
        self._device, self._allowed = device, allowed
        self._level = level or memory_level
        self._base = 0
        self._batches = 0

    def after_batch(self) -> int:
        """Bytes above what is allowed; 0 while all is well."""
        now = self._level(self._device)
        self._batches += 1
        if self._batches <= WARM_UP:
            self._base = max(self._base, now)
            return 0
        return max(now - self._base - self._allowed, 0)


def memory_level(device: str) -> int:
    """Bytes that this process holds: of the GPU's memory as torch has reserved it, else its resident set."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_reserved(device))
    return int(psutil.Process().memory_info().rss)
