"""Many independent trainings on Ray, which is imported when they start: results come back as they are done."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from s2st_aug.errors import S2STError, UsageError


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    *,
    cpus_per_task: int = 1,
    gpus_per_task: float = 0,
    address: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """(index, result) of `function(*task)` as each ends; an exception inside is raised here as what it was.

    Raises UsageError where a Ray of this machine has fewer GPUs than a task needs: it would wait for them for ever.
    """
    import ray

    started = not ray.is_initialized()
    joined = address or os.environ.get("RAY_ADDRESS")
    if started:
        _start(joined)
    try:
        if started and not joined and (gpus := ray.cluster_resources().get("GPU", 0)) < gpus_per_task:
            raise UsageError(
                f"gpus_per_training: {gpus_per_task:g}, but Ray finds {gpus:g} GPUs on this machine; "
                "--set gpus_per_training=0 trains on the CPU, --address joins a cluster"
            )
        remote = ray.remote(num_cpus=cpus_per_task, num_gpus=gpus_per_task, max_retries=2)(function)
        waiting = {remote.remote(*task): index for index, task in enumerate(tasks)}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(done[0]), _result(ray.get, done[0])
    finally:
        if started:
            ray.shutdown()


def _start(joined: str | None) -> None:
    """Ray at an address, or one of our own: without any, it would join what it finds here, somebody else's too."""
    import ray

    from s2st_aug.engine.ray_session import own_environment

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if joined:
        ray.init(address=joined, **quiet)
        return
    with own_environment():  # Ray's workers would else give way to everything, at niceness 15
        ray.init(address="local", include_dashboard=False, **quiet)


def _result(get: Callable[[Any], Any], reference: Any) -> Any:
    from ray.exceptions import RayTaskError

    try:
        return get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, S2STError):
            raise error.cause from None
        raise
