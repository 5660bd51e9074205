"""What we set of Ray is something that this version of Ray knows: it says nothing of a name that it has dropped."""

from __future__ import annotations

import inspect
import mmap
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray._private import internal_api, utils
from ray._private.node import Node
from ray.cluster_utils import Cluster
from ray.data import DataContext
from ray.data._internal.actor_autoscaler.default_actor_autoscaler import DefaultActorAutoscaler

from s2st_aug.engine import ray_session
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


def test_ray_knows_what_is_set_of_its_environment_and_read_of_it():
    """A name that a version drops would be set, and do nothing."""
    named = set(re.findall(r'"(RAY_[A-Z_]+)"', Path(ray_session.__file__).read_text(encoding="utf-8"))) - set(LEAN)
    assert {"RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"} <= named
    assert _unknown(named) == []


def test_ray_knows_what_the_launchers_and_their_tests_set(repo):
    files = [*(repo / "configs/cluster").iterdir(), *(repo / "tests/helpers").glob("*.py"), repo / "docs/cluster.md"]
    texts = (path.read_text(encoding="utf-8") for path in files)
    named = {name for text in texts for name in re.findall(r"\b(RAY_\w+)(?:=|\"?: |, value: )", text)}
    assert {"RAY_AUTH_MODE", "RAY_JOB_STOP_WAIT_TIME_S", "RAY_health_check_timeout_ms"} <= named
    assert _unknown(named - {"RAY_IP"}) == []  # KubeRay's operator sets that one


def _unknown(named):
    """Names that neither Ray's Python nor its binaries hold; settings of the latter are there without RAY_."""
    folder = Path(ray.__file__).parent
    unknown = set(named)
    for path in folder.rglob("*.py"):
        if path.stat().st_size < 1 << 20:
            text = path.read_bytes()
            unknown = {name for name in unknown if name.encode() not in text}
    for binary in (folder / "_raylet.so", folder / "core/src/ray/raylet/raylet"):
        with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            spelled = {name: name if name.isupper() else name.removeprefix("RAY_") for name in unknown}
            unknown = {name for name in unknown if not re.search(rb"\b%b\b" % spelled[name].encode(), held)}
    return sorted(unknown)


def test_ray_data_knows_the_settings_of_a_run():
    context = DataContext.get_current()
    parts = (context, context.execution_options, context.autoscaling_config)
    known = [set(vars(part)) for part in parts]
    _settle_context()
    assert [set(vars(part)) for part in parts] == known


def test_a_pool_is_not_made_smaller_while_there_is_work():
    """Commits come in waves: between two of them workers were ended that the next one started again."""
    _settle_context()
    pool = SimpleNamespace(
        current_size=lambda: 8,
        min_size=lambda: 1,
        max_size=lambda: 64,
        get_pool_util=lambda: 0.0,
        num_pending_actors=lambda: 0,
    )
    operator = SimpleNamespace(
        has_completed=lambda: False, _inputs_complete=False, metrics=SimpleNamespace(num_inputs_received=9)
    )
    resources = SimpleNamespace(get_allocation=lambda op: None, get_op_usage=lambda op: None)
    scaler = DefaultActorAutoscaler({}, resources, config=DataContext.get_current().autoscaling_config)
    assert scaler._derive_target_scaling_config(pool, operator, None).delta == 0


def test_what_the_benchmarks_use_of_rays_private_parts_is_there():
    assert callable(internal_api.get_memory_info_reply) and callable(internal_api.get_state_from_address)
    assert callable(utils.set_sigterm_handler)  # chaos adds nodes from a thread, which may set no handler
    assert "wait" in inspect.signature(Cluster.add_node).parameters
    assert "allow_graceful" in inspect.signature(Cluster.remove_node).parameters
    assert "self.all_processes" in inspect.getsource(Node)
