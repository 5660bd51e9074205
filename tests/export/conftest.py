from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from s2st_aug.testing.trees import write_tree


@pytest.fixture
def native(tmp_path: Path) -> Callable[[str], tuple[Path, str]]:
    """A small native tree of a format: its root and its training split."""

    def make(format: str) -> tuple[Path, str]:
        root = tmp_path / f"{format}-data"
        return root, write_tree(format, root)

    return make
