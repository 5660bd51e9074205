"""A fake method that takes orders to misbehave: files in the folder S2ST_ORDERS, each obeyed by the first process to
take it.

A file's name is `WHO-WHAT-NUMBER`. WHO takes it: `translate`, `load` or `judge` (workers) or `driver`. WHAT it does:
`hang` (an hour), `device` (a CUDA error that stays), `raise` (whatever it is given), `sick` (it cannot load),
`clockN` (its clock is N seconds off from now on), `eioN` (its next N flushes to disk fail). Taken orders lie in
`taken/`, with the process's number.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from s2st_aug.arrays import Image
from s2st_aug.errors import Diverged
from s2st_aug.methods import Judge, MethodConfig, Translated, TranslatorLike
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Judgement
from s2st_aug.testing.methods import FakeMethod, FakeSettings, FakeTranslator

OBEDIENT = "benchmarks.orders:ObedientMethod"
TAKEN = "taken"
Who = Literal["translate", "load", "judge", "driver"]


def obey(who: Who) -> None:
    """Takes one order, where there is one, and does what it says."""
    folder = Path(os.environ.get("S2ST_ORDERS", "no orders"))
    for order in sorted(folder.glob(f"{who}-*")):
        try:
            order.rename(folder / TAKEN / f"{order.name}.{os.getpid()}")
        except FileNotFoundError:  # another process took it
            continue
        _do(order.name.split("-", 1)[1].rpartition("-")[0])
        return


def _do(what: str) -> None:
    word, number = re.fullmatch(r"([a-z]+)(-?\d*)", what).groups()  # type: ignore[union-attr]
    if word == "hang":
        time.sleep(3600)
    elif word in ("device", "raise"):
        os.environ["S2ST_FAKE_ILL"] = word
    elif word == "sick":
        raise RuntimeError("no kernel image is available for execution on the device")
    elif word == "clock":
        jump_clock(int(number))
    else:
        fail_flushes(int(number))


def jump_clock(seconds: int) -> None:
    """This process's clock, as Python reads it, is so many seconds off; the machine's is not touched."""
    real = time.time
    time.time = lambda: real() + seconds


def fail_flushes(count: int) -> None:
    """The next so many flushes to disk of this process fail with EIO."""
    real, left = os.fsync, [count]

    def fsync(fd: int) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error, by order")
        real(fd)

    os.fsync = fsync  # type: ignore[assignment]


class _Obedient(FakeTranslator):
    def translate(
        self,
        photos: Sequence[Image],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        obey("translate")
        return super().translate(photos, domains, objects, keys)


class ObedientMethod(FakeMethod):
    """The fake, with orders."""

    def load(self, config: MethodConfig[FakeSettings], device: str) -> TranslatorLike:
        """Nothing to load, but an order to fail at it may wait."""
        obey("load")
        return _Obedient()

    def judge(self, config: MethodConfig[FakeSettings]) -> Judge:
        """Brightness alone; orders first."""
        plain = super().judge(config)

        def judge(source: Image, variant: Image, raw: Image, objects: Sequence[SceneObject], domain: str) -> Judgement:
            obey("judge")
            return plain(source, variant, raw, objects, domain)

        return judge
