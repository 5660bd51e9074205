"""What a start is asked beside its config, and what it says at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s2st_aug.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_STOPPED
from s2st_aug.storage.progress import Snapshot


@dataclass(frozen=True, slots=True)
class Options:
    """`address` of a running Ray (None: one on this machine); `watch` hears of commits, `waiting` while none comes."""

    address: str | None = None
    extend: bool = False
    check_sources: bool = False
    watch: Callable[[Snapshot], None] = lambda snapshot: None
    waiting: Callable[[Snapshot], None] = lambda snapshot: None


PLAIN_START = Options()


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a start ended; `stopped` is why it ended before its end, empty otherwise."""

    run: str
    snapshot: Snapshot
    stopped: str = ""
    sheet: str = ""

    @property
    def exit_code(self) -> int:
        """What the command ends with (docs/reference/promises.md#exit-codes)."""
        if self.stopped:
            return EXIT_STOPPED
        return EXIT_SOME_FAILED if self.snapshot.failed else EXIT_OK
