"""Processes that run a module of this folder, which is not installed: found from any working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def module_command(module: str, *words: object) -> list[str]:
    """The command line that runs `module` (`benchmarks.million`) as a script with these words."""
    return [sys.executable, "-m", module, *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """This process's environment with `more`, and the checkout first on the path of Python there."""
    path = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(path)}
