"""What every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s2st_aug.errors import DatasetError
from s2st_aug.real_data import VARIABLE, real_data

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real driving photos; a test that needs them is skipped where S2ST_AUG_DATA is unset or names no folder."""
    try:
        return real_data()
    except DatasetError as error:
        pytest.skip(str(error))


@pytest.fixture
def named_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of real photos has a name, so that configs which name it can be read; nothing need lie there."""
    monkeypatch.setenv(VARIABLE, os.environ.get(VARIABLE, "/photos"))
