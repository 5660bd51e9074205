"""What every test shares; which tests run in one process where several run at once (`make test`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2st_aug.errors import DatasetError
from s2st_aug.real_data import VARIABLE, real_data

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file's tests stay in one process. So do all on Ray, which begin first as they take longest, and all on mongod."""
    if config.getoption("dist", "no") != "loadgroup":
        return
    shared = {"ray": [], "app": [], "": []}
    for item in items:
        fixtures = item.fixturenames  # type: ignore[attr-defined]
        on_ray = "ray_here" in fixtures or item.get_closest_marker("ray")
        group = "ray" if on_ray else "app" if "mongo" in fixtures or item.get_closest_marker("app") else ""
        item.add_marker(pytest.mark.xdist_group(group or item.path.relative_to(ROOT).as_posix()))
        shared[group].append(item)
    items[:] = [*shared["ray"], *shared["app"], *shared[""]]


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray with four logical CPUs and GPUs for every test that computes."""
    from s2st_aug.config.augment import ClusterConfig
    from s2st_aug.engine.ray_session import ray_session

    with ray_session(ClusterConfig(actors=(1, 4)), None, num_gpus=4):
        yield


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
