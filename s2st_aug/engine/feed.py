"""Rows that are read where they are needed, as a Ray Data set: the Ray half of `s2st_aug.feed.ray_form`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def rows_to_dataset(count: int, read: Callable[[int], dict[str, Any]]) -> Any:
    """A `ray.data.Dataset` of `read(0)` to `read(count - 1)`, in order, read lazily and in parallel."""
    import ray.data

    return ray.data.range(count).map(_Row(read), num_cpus=1)


class _Row:
    def __init__(self, read: Callable[[int], dict[str, Any]]):
        self.read = read

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.read(int(row["id"]))
