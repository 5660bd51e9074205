"""Ray itself: started quietly on this machine, or joined; the tracker where workers announce what they begin."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import psutil
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from s2st_aug.config.augment import ClusterConfig
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.engine.attempts import NOWHERE, AttemptTracker, Seat
from s2st_aug.errors import UsageError

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 2 << 30
STARTS = 3
SPARE_CPUS = 2  # logical ones, for the light stages beside the actors
LIGHT_CPUS = 0.1  # of a light stage's worker
LEAN = {
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_worker_maximum_startup_concurrency": "16",
    "RAY_worker_niceness": "0",
    "RAY_health_check_timeout_ms": "60000",  # slow is not dead: a raylet that counts as dead ends its driver silently
}
"""what the processes of a Ray that is started here read from their environment"""
TOKEN = secrets.token_hex(32)  # of the Ray that this process starts for itself
QUIET = ("ray", "ray.data", "ray.util.state", "ray._private")


@contextmanager
def ray_session(
    cluster: ClusterConfig,
    address: str | None,
    *,
    num_gpus: int | None = None,
    model: str = "",
    ship: Sequence[Path] = (),
) -> Iterator[None]:
    """Joins the Ray that runs here already or at `address`, else starts one on this machine and ends it.

    `num_gpus` are logical ones (None: those that are found); the weights of the embedded `model` are shipped with the
    package to a Ray that is joined, and so are the packages and modules of `ship`.

    Raises UsageError where Ray, or the GPUs asked for, are missing.
    """
    if ray.is_initialized():
        yield
        return
    _be_quiet()
    joined = address or os.environ.get("RAY_ADDRESS")
    with nullcontext() if joined else own_environment():
        _start(cluster, joined, num_gpus, model, ship)
        try:
            _need_gpus(cluster, address)
            yield
        finally:
            ray.shutdown()


@contextmanager
def own_environment() -> Iterator[None]:
    """What the processes of the Ray that is started here inherit; the user's own values go before, and all come back.

    Part of it is a token, where the user has none: without one Ray writes ~/.ray/auth_token, and from then on every
    head that the user starts asks its clients for it.
    """
    auth = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    has_token = any(name in os.environ for name in auth) or Path("~/.ray/auth_token").expanduser().exists()
    before = {name: os.environ.get(name) for name in (*LEAN, *auth)}
    given = LEAN if has_token else {**LEAN, "RAY_AUTH_TOKEN": TOKEN}
    os.environ.update({name: value for name, value in given.items() if before.get(name) is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(cluster: ClusterConfig, joined: str | None, num_gpus: int | None, model: str, ship: Sequence[Path]) -> None:
    try:
        with _silent_stderr():
            if joined:
                _join(joined, model, ship)
            else:
                _start_here(cluster, num_gpus)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        first = " ".join(str(error).split())[:300]
        hint = ""
        if "auth" in first.lower() or "token" in first.lower():
            hint = "; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the head's token file (docs/cluster.md)"
        raise UsageError(f"Ray cannot be reached at {joined or 'this machine'}: {first}{hint}") from None


def _join(address: str, model: str, ship: Sequence[Path]) -> None:
    """Ships the packages, never the data; nothing where a submitted job has shipped them already."""
    refuse_deaf(address)
    shipped: dict[str, Any] | None = None
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        packages = [str(path) for path in (Path(__file__).parents[1], *ship)]
        others = [f"weights/{name}" for name in EMBEDDED if name != model and name != "street-mini"]
        shipped = {"py_modules": packages, "excludes": ["__pycache__", *others]}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=shipped)


def refuse_deaf(address: str) -> None:
    """Raises OSError where nobody listens at `host:port` or `ray://host:port`.

    Ray itself would try for minutes, and in silence.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _start_here(cluster: ClusterConfig, num_gpus: int | None) -> None:
    for again in range(STARTS):
        try:
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, cluster.actors[1]) + SPARE_CPUS,
                num_gpus=num_gpus,
                object_store_memory=min(OBJECT_STORE_BYTES, int(psutil.virtual_memory().total * 0.3)),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # Ray raises a bare Exception where a busy machine starts it too slowly
            ray.shutdown()
            if "timed out" not in str(error) or again == STARTS - 1:
                raise RuntimeError(str(error)) from None


def _need_gpus(cluster: ClusterConfig, address: str | None) -> None:
    """Ray would wait for ever; an autoscaling cluster may still get them, so there it is only said."""
    there = ray.cluster_resources().get("GPU", 0.0)
    if there >= cluster.gpus_per_actor:
        return
    message = f"cluster.gpus_per_actor is {cluster.gpus_per_actor:g}, Ray has {there:g} GPUs"
    if address is None:
        raise UsageError(f"{message}; --set cluster.gpus_per_actor=0 computes on the CPU")
    log.warning("%s so far; waiting for the cluster to grow", message)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's C++ core writes a line of its own about the log level it was given."""
    sys.stderr.flush()
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def _be_quiet() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


class RemoteAttemptTracker:
    """The tracker as a worker sees it."""

    def __init__(self, handle: ActorHandle) -> None:
        self._handle = handle

    def enter(self, seat: Seat) -> None:
        """As AttemptTracker.enter, of the actor that this is, without waiting."""
        self._handle.enter.remote(seat, ray.get_runtime_context().current_actor)

    def begin(self, what: str, seat: Seat = NOWHERE) -> int:
        """As AttemptTracker.begin, over Ray."""
        return cast(int, ray.get(self._handle.begin.remote(what, seat)))

    def passed(self, what: str, seat: Seat) -> list[str]:
        """As AttemptTracker.passed, over Ray."""
        return cast(list[str], ray.get(self._handle.passed.remote(what, seat)))

    def end(self, whats: list[str]) -> None:
        """As AttemptTracker.end, without waiting."""
        self._handle.end.remote(whats)


def nodes_with(needs: Mapping[str, float]) -> list[str]:
    """The ids of the living nodes that have so much of each resource, used or not."""
    return [
        str(node["NodeID"])
        for node in ray.nodes()
        if node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in needs.items())
    ]


@contextmanager
def open_tracker() -> Iterator[ActorHandle]:
    """A tracker on the driver's own node: it lives and dies with the run.

    Killed, it starts anew and knows of nothing. Workers are made with its handle, which to Ray is one that it cannot
    count: it would keep the process for as long as the session.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(AttemptTracker)
    tracker = cast(ActorHandle, actor.options(scheduling_strategy=here).remote())
    try:
        yield tracker
    finally:
        try:
            ray.kill(tracker)
        except (RayError, RuntimeError, ValueError) as error:  # Ray itself is gone: so is the tracker
            log.debug("the tracker is not ended: %s", error)
