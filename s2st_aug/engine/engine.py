"""Ray Data as the engine: pending batches -> translate (actors) -> validate -> commit (tasks) -> results, streamed.

What we rely on: Ray Data's streaming execution and back-pressure, its actor pool, and the re-execution of what was
lost with a worker or a node. What we add: one row per batch as unit of commit, our own commit marks (its
checkpointing counts a failed row as done and knows nothing of images written beside the sink), a tracker that
counts what is begun, and the drain.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from pyarrow.fs import FileSystem
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from s2st_aug.config.augment import ClusterConfig
from s2st_aug.engine.attempts import FINISHING, Seat, is_on
from s2st_aug.engine.batches import TranslatedBatch, pack, unpack
from s2st_aug.engine.commit import CommitResult
from s2st_aug.engine.context import RunContext, Sealed
from s2st_aug.engine.finish import FinishStage
from s2st_aug.engine.proof import Proof
from s2st_aug.engine.ray_session import LIGHT_CPUS, RemoteAttemptTracker, nodes_with
from s2st_aug.engine.translate import AHEAD, TranslateStage
from s2st_aug.engine.worker_log import log_to_run
from s2st_aug.storage.plan import table_to_batches

log = logging.getLogger(__name__)

ACTOR_CPUS = 0.8  # so that the light stages run beside actors on as many cores as there are actors
LISTED_AT_ONCE = 1000  # batches of a work list in one block
NO_PROGRESS_SECONDS = 24 * 3600
NEVER_SHRINK = -1.0
"""use of a pool below which Ray Data ends workers, one after the other, and starts others with the next wave of
commits: a start takes seconds of processor time, and of a translating worker the loading of its model"""
CALLS = "max_concurrent_calls_per_actor"
RELIEF_SECONDS = 300.0  # for one batch; a node without room for the worker never answers
SETTLE_SECONDS = 1.0
RECYCLED = 75  # exit code of an actor that ends itself

COMMIT_RESULT = pa.schema(
    [
        ("key", pa.string()),
        ("actor", pa.string()),
        ("statuses", pa.list_(pa.string())),
        ("causes", pa.list_(pa.list_(pa.string()))),
        ("scenes", pa.list_(pa.string())),
        ("seconds", pa.float64()),
        ("given_back", pa.bool_()),
        ("stop", pa.string()),
        ("place", pa.string()),
        ("fault", pa.string()),
        ("certain", pa.bool_()),
        ("finished", pa.string()),
    ]
)


class TranslateActor:
    """One TranslateStage per GPU of the actor (one on the CPU), and AHEAD calls under way for each.

    One call has the device while the others read their batch or finish it; a GPU never waits for another's batch.
    """

    def __init__(self, sealed: Sealed, tracker: ActorHandle) -> None:
        context, seat, remote = sealed.context, seat_here(), RemoteAttemptTracker(tracker)
        remote.enter(seat)
        devices, proof = devices_of(context.config.cluster), Proof(context)
        self._log = log_to_run(context, seat, proof)
        self._stages = [TranslateStage(context, remote, device=d, seat=seat, proof=proof) for d in devices]
        self._door = threading.Condition()

    def __call__(self, table: pa.Table) -> pa.Table:
        """PLAN_SCHEMA rows in, translated batches out.

        A process that is to be retired ends here, before anything is begun and after all that was: Ray starts another
        one for the task.
        """
        with self._door:
            while reason := next((s.retire_reason for s in self._stages if s.retire_reason), ""):
                if not self._door.wait_for(self._is_empty, timeout=SETTLE_SECONDS):
                    continue
                time.sleep(SETTLE_SECONDS)  # what the last call gave back is on its way
                log.warning("replacing this worker process: %s", reason)
                self._log.flush()
                os._exit(RECYCLED)
            stage = min(self._stages, key=lambda s: s.inside)
            stage.inside += 1
        try:
            return pack([stage(batch) for batch in table_to_batches(table)])
        finally:
            self._log.flush()
            with self._door:
                stage.inside -= 1
                self._door.notify_all()

    def _is_empty(self) -> bool:
        return not any(stage.inside for stage in self._stages)


class FinishActor:
    """Judges and commits: pixels end here. A pool that grows with what the translation actors deliver.

    `relieves`: it is no part of the pool, but works for one whose node is avoided.
    """

    def __init__(self, sealed: Sealed, tracker: ActorHandle, *, relieves: bool = False) -> None:
        cv2.setNumThreads(1)
        context, here, remote = sealed.context, seat_here(), RemoteAttemptTracker(tracker)
        remote.enter(Seat(here.name))  # where no batch is begun there is no place to translate
        proof, seat = Proof(context), Seat(here.name, f"{here.place}{FINISHING}")
        self._log = log_to_run(context, seat, proof)
        more: dict[str, Any] = {} if relieves else {"hand_over": Relief(sealed, tracker)}
        self._finish = FinishStage(context, remote, seat=seat, proof=proof, **more)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Translated batches in, commit results out. A worker that cannot gives its batch back and is replaced."""
        if self._finish.retire_reason:
            time.sleep(SETTLE_SECONDS)  # what the last call gave back is on its way
            os._exit(RECYCLED)
        results = pa.Table.from_pylist([asdict(self._finish(b)) for b in unpack(table)], schema=COMMIT_RESULT)
        self._log.flush()
        return results


class Relief:
    """A finishing worker on another node, started for one whose node is avoided: Ray Data moves no worker."""

    def __init__(self, sealed: Sealed, tracker: ActorHandle) -> None:
        self._sealed, self._tracker = sealed, tracker
        self._worker: Any = None  # its handle
        self._avoided: list[str] = []

    def __call__(self, translated: TranslatedBatch, avoided: list[str]) -> CommitResult | None:
        """What that worker says of the batch; None without another node, or where that worker was lost."""
        if self._worker is None or avoided != self._avoided:
            selector = elsewhere(avoided, {"CPU": LIGHT_CPUS})
            if selector is None:
                return None
            start = ray.remote(FinishActor).options(num_cpus=LIGHT_CPUS, label_selector=selector)
            self._worker, self._avoided = start.remote(self._sealed, self._tracker, relieves=True), avoided
        try:
            table = ray.get(self._worker.__call__.remote(pack([translated])), timeout=RELIEF_SECONDS)
        except RayError as error:
            log.warning("batch %s was lost on its way to another node: %s", translated.batch.key, error)
            self._worker = None
            return None
        result = CommitResult(**table.to_pylist()[0])
        self._worker = None if result.fault else self._worker
        return result


def seat_here() -> Seat:
    """This process as the driver names it: node, GPUs and process."""
    here = ray.get_runtime_context()
    node = f"{ray.util.get_node_ip_address()}/{here.get_node_id()[:8]}"
    gpus = ",".join(str(g) for g in here.get_accelerator_ids().get("GPU", []))
    return Seat(f"{ray.util.get_node_ip_address()}:{os.getpid()}", f"{node} GPU {gpus}" if gpus else node)


def replicas_of(cluster: ClusterConfig) -> int:
    """Of the model, in each actor."""
    return 1 if cluster.spread_model else max(int(cluster.gpus_per_actor), 1)


def most_finishers(cluster: ClusterConfig) -> int:
    """How many processes may judge and write at once: what keeps up with a GPU, times GPUs."""
    return max(cluster.actors[1] * replicas_of(cluster), 2)


def devices_of(cluster: ClusterConfig) -> list[str]:
    """One per replica of the model, `cluster.device` of them all where it names one.

    `auto` falls back to the CPU: Ray's logical GPUs may have no CUDA behind them. Raises UsageError for a device that
    is asked for and missing.
    """
    replicas = replicas_of(cluster)
    if cluster.device == "auto" and not cluster.gpus_per_actor:
        return ["cpu"] * replicas
    from s2st_aug.diffusion.device import resolve_device  # torch is slow to start: workers without GPUs do without

    if (first := resolve_device(cluster.device)) == "cuda:0" and cluster.device in ("auto", "cuda"):
        return [resolve_device(f"cuda:{i}") for i in range(replicas)]
    return [first] * replicas


def stream_results(
    context: RunContext,
    pending: list[str],
    tracker: ActorHandle,
    filesystem: FileSystem | None = None,
    *,
    shun: Collection[str] = (),
    most: int | None = None,
) -> Generator[CommitResult, None, None]:
    """Runs every pending batch; results come in the order of commits. Leaving the iterator ends the execution.

    Nodes of the places in `shun` get none where others are there; `most` is how many batches there are, where known.
    """
    _settle_context()
    cluster = context.config.cluster
    gpus, least = cluster.gpus_per_actor, min(cluster.actors[0], most or cluster.actors[0])
    compute, threads = _threaded_pool(cluster, least)
    needs = {"GPU": gpus} if gpus else {"CPU": ACTOR_CPUS}
    dataset = (
        ray.data.from_items(pending)
        .map_batches(
            partial(_read_list, filesystem), batch_size=1, batch_format="numpy", num_cpus=0, label_selector=_here()
        )
        .repartition(target_num_rows_per_block=1)
        .map_batches(
            TranslateActor,
            batch_size=1,
            batch_format="pyarrow",
            compute=compute,
            fn_constructor_kwargs={"sealed": Sealed(context), "tracker": tracker},
            num_gpus=gpus or None,
            num_cpus=None if gpus else ACTOR_CPUS,
            label_selector=elsewhere([p for p in shun if not p.endswith(FINISHING)], needs),
            **threads,
        )
        .map_batches(
            FinishActor,
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=1, max_size=most_finishers(cluster), max_tasks_in_flight_per_actor=2),
            fn_constructor_kwargs={"sealed": Sealed(context), "tracker": tracker},
            num_cpus=LIGHT_CPUS,
            label_selector=_to_finish_elsewhere(shun),
        )
    )
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        assert isinstance(table, pa.Table)
        yield from (CommitResult(**row) for row in table.to_pylist())


def _read_list(filesystem: FileSystem | None, names: dict[str, Any]) -> Iterator[pa.Table]:
    """The batches of a work list, a few at a time."""
    for name in names["item"]:
        table = pq.read_table(str(name), filesystem=filesystem, partitioning=None)
        yield from (table.slice(i, LISTED_AT_ONCE) for i in range(0, len(table), LISTED_AT_ONCE))


def elsewhere(places: Collection[str], needs: Mapping[str, float]) -> dict[str, str] | None:
    """Any node but those of these places; None where no other one has what is needed."""
    able = nodes_with(needs)
    shunned = [node for node in able if any(is_on(place, node) for place in places)]
    if not shunned or len(shunned) == len(able):
        return None
    return {"ray.io/node-id": f"!in({','.join(shunned)})"}


def _to_finish_elsewhere(places: Collection[str]) -> dict[str, str] | None:
    """A node of none of these places; where there is none, one that has not failed to judge and commit."""
    needs = {"CPU": LIGHT_CPUS}
    return elsewhere(places, needs) or elsewhere([p for p in places if p.endswith(FINISHING)], needs)


def _here() -> dict[str, str]:
    """The driver's own node, which sees the work lists; another one may lack the run's share."""
    return {"ray.io/node-id": ray.get_runtime_context().get_node_id()}


def _threaded_pool(cluster: ClusterConfig, least: int) -> tuple[ActorPoolStrategy, dict[str, Any]]:
    """The pool of translation actors, and what `map_batches` is told of their threads by versions before Ray 2.60."""
    calls = AHEAD * replicas_of(cluster)
    size: dict[str, Any] = {"min_size": least, "max_size": cluster.actors[1]}
    size |= {"max_tasks_in_flight_per_actor": calls, "enable_true_multi_threading": True}
    if CALLS in inspect.signature(ActorPoolStrategy.__init__).parameters:
        size[CALLS] = calls
        return ActorPoolStrategy(**size), {}
    return ActorPoolStrategy(**size), {"max_concurrency": calls}


def _settle_context() -> None:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_SECONDS
    context.autoscaling_config.actor_pool_util_downscaling_threshold = NEVER_SHRINK
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
