"""What we set of Ray is something that this version of Ray knows: it says nothing of a name that it has dropped."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest
import ray
from ray.data import DataContext

from s2st_aug.engine.engine import _settle_context
from s2st_aug.engine.ray_session import LEAN


@pytest.mark.parametrize("name", LEAN)
def test_the_processes_of_a_ray_that_is_started_here_know_what_they_read(name):
    binary = Path(ray.__file__).parent / "core/src/ray/raylet/raylet"
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert re.search(rb"\b%b\b" % name.removeprefix("RAY_").encode(), held)


def test_the_job_manager_knows_how_long_a_stopped_job_may_take():
    jobs = (Path(ray.__file__).parent / "dashboard/modules/job").glob("*.py")
    assert any("RAY_JOB_STOP_WAIT_TIME_S" in path.read_text() for path in jobs)


def test_ray_data_knows_the_settings_of_a_run():
    context = DataContext.get_current()
    known = {*vars(context), *vars(context.execution_options)}
    _settle_context()
    assert {*vars(context), *vars(context.execution_options)} == known
