"""What one epoch yielded, on this rank and over all ranks of a distributed training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch.distributed as dist

from s2st_aug.errors import CheckFailed
from s2st_aug.feed.mix import Tag

T = TypeVar("T")
End = Literal[
    "open",  # not known yet
    "complete",  # as many batches as the loader has
    "limit",  # as many batches as an epoch was limited to
    "early",  # broken off, and training said so
    "broken off",  # and nobody said so
]


@dataclass(slots=True)
class Epoch:
    """What one epoch yielded; `ranks` are the images of each rank once they are known."""

    images: Counter[str] = field(default_factory=Counter)  # by sample id
    domains: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)  # domain -> images by class
    batches: int = 0
    end: End = "open"
    ranks: tuple[int, ...] = ()

    def add(self, sample_id: str, tag: Tag) -> None:
        """Count one yielded image."""
        self.images[sample_id] += 1
        self.domains[tag.domain] += 1
        self.classes.setdefault(tag.domain, Counter()).update(tag.classes)

    def told(self) -> dict[str, Any]:
        """The epoch as plain values."""
        return {
            "images": self.total,
            "distinct": len(self.images),
            "domains": dict(self.domains),
            "classes": {domain: dict(counts) for domain, counts in self.classes.items()},
            "batches": self.batches,
            "ranks": list(self.ranks),
            "end": self.end,
            "finished": self.end in ("complete", "limit"),
        }

    @property
    def total(self) -> int:
        """Images yielded."""
        return sum(self.domains.values())


def merged(epochs: Sequence[Epoch]) -> Epoch:
    """Several epochs, or one epoch's parts, counted as one."""
    out = Epoch(end="complete")
    for epoch in epochs:
        out.images.update(epoch.images)
        out.domains.update(epoch.domains)
        for domain, counts in epoch.classes.items():
            out.classes.setdefault(domain, Counter()).update(counts)
        out.batches += epoch.batches
        out.end = out.end if epoch.end == "complete" else epoch.end
    return out


def over_ranks(mine: Epoch) -> Epoch:
    """The epoch of all ranks together, the same on each; every rank must call it. Alone, the epoch itself.

    Raises CheckFailed on every rank where one of them calls `on_any_rank` meanwhile.
    """
    parts = _of_each_rank(mine)
    whole = merged(parts)
    whole.ranks = tuple(part.total for part in parts)
    return whole


def on_any_rank(mine: bool) -> bool:  # noqa: FBT001 - the value itself
    """True where it is true on one of the ranks; every rank must call it."""
    return any(_of_each_rank(mine))


def ranks() -> int:
    """Processes that train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first_rank() -> bool:
    """True on the process that writes files."""
    return ranks() == 1 or dist.get_rank() == 0


def _of_each_rank(mine: T) -> list[T]:
    out = [mine] * ranks()
    if len(out) > 1:
        dist.all_gather_object(out, mine, group=_group())
    if len({type(part) for part in out}) > 1:
        raise CheckFailed(
            "feed receipt: one rank ended an epoch while another began one; expected as many batches on each rank"
        )
    return out


_groups: dict[Any, Any] = {}


def _group() -> Any:
    """Counts lie in main memory: on GPUs they travel by gloo, in a group beside the gradients' own."""
    if dist.get_backend() == "gloo":
        return None
    whole = dist.group.WORLD
    if whole not in _groups:
        _groups.clear()  # of a training that has ended
        _groups[whole] = dist.new_group(backend="gloo")
    return _groups[whole]
