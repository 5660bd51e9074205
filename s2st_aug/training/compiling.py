"""torch.compile, if it is ready in time: a compiler that takes minutes costs more than a short training wins."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _TooLong(Exception):
    """The time given to the compiler is over."""


def compile_within(network: Any, step: Callable[[], None], seconds: float) -> str:
    """Compile `network` in place and run `step` with it; where it fails or takes longer, undo it. Says what came of it.

    For the main thread alone: the clock is a signal.
    """
    began = time.monotonic()
    try:
        with _alarm(seconds):
            network.compile()
            step()
    except Exception as error:  # compilers fail in many ways, and each means the same here
        network._compiled_call_impl = None  # what nn.Module.compile sets
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return f"not used: not ready in {seconds:.0f} s" if isinstance(error, _TooLong) else f"not used: {why}"
    return f"used, ready in {time.monotonic() - began:.1f} s"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def over(_number: int, _frame: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
