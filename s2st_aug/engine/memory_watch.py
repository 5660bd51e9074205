"""Does a worker's memory creep? Its level after the first batches is what it needs; what comes on top later leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil

WARM_UP = 3  # batches that may still raise the level: caches, kernels, the largest shapes


class MemoryWatch:
    """Watches one worker's memory, batch by batch: the host's, and on a GPU that one's too."""

    def __init__(self, device: str, allowed: int, levels: Callable[[str], Sequence[int]] | None = None) -> None:
        self._device, self._allowed = device, allowed
        self._levels = levels or memory_levels
        self._base: Sequence[int] = ()
        self._batches = 0

    def after_batch(self) -> int:
        """Bytes above what is allowed, of the memory that is furthest above; 0 while all is well."""
        now = self._levels(self._device)
        self._batches += 1
        if self._batches <= WARM_UP:
            self._base = [max(pair) for pair in zip(self._base or now, now, strict=True)]
            return 0
        return max(0, *(level - base - self._allowed for level, base in zip(now, self._base, strict=True)))


def memory_levels(device: str) -> Sequence[int]:
    """Bytes that this process holds: its resident set, and of a GPU what torch has reserved."""
    host = int(psutil.Process().memory_info().rss)
    if device.startswith("cuda"):
        import torch

        return host, int(torch.cuda.memory_reserved(device))
    return (host,)
