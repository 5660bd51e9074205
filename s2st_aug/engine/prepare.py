"""All that comes before the first batch: sweep, plan or take up the plan, gather, find what is left."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import s2st_aug
from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import ALGORITHM_VERSION, method_hash, plan_hash, validation_hash
from s2st_aug.engine.context import RunContext, Witness
from s2st_aug.engine.options import Options
from s2st_aug.engine.pending import PENDING, CompletedRows, completed_rows, pending_tables
from s2st_aug.engine.planning import plan_batches
from s2st_aug.engine.proof import witness_of
from s2st_aug.engine.recheck import recheck_sources
from s2st_aug.engine.remote_dataset import with_local_root
from s2st_aug.errors import RunFolderError, UsageError, counted
from s2st_aug.formats.cards import absolute_card
from s2st_aug.formats.daylight import DarkScene
from s2st_aug.methods import MethodIdentity
from s2st_aug.records.manifest import SCHEMA_VERSION
from s2st_aug.records.scene import Scene
from s2st_aug.storage.generations import finish_replacement
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import plan_files, planned_scene_ids, table_to_batches, write_plan
from s2st_aug.storage.progress import Progress, Snapshot, read_snapshot, write_snapshot
from s2st_aug.storage.run_folder import PLAN, PROGRESS, RunFolder, RunInfo, parquet_bytes, read_part
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import TMP, LocalStore, is_remote, mask_uri

log = logging.getLogger(__name__)

LOOKED_AT = 8  # batches in which images are looked for that workers must see too
DARK_SOURCES = "logs/dark_sources.jsonl"
"""scenes that are tagged daytime and dark: skipped when the run was planned"""
ABSENT_IMAGES = "logs/absent_images.jsonl"
"""scenes whose image was not there: left out when the run was planned"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A start that is ready to compute: what the workers are told, names of the work lists, and the progress so far."""

    context: RunContext
    pending: list[str]
    progress: Progress


def with_absolute_root(config: AugmentConfig) -> AugmentConfig:
    """The config with the dataset's folder, and its card's own file, by absolute paths; an address stays as it is."""
    dataset = config.dataset
    root = dataset.root if is_remote(dataset.root) else str(Path(dataset.root).expanduser().absolute())
    places = {"root": root, "format": absolute_card(dataset.format)}
    return config.model_copy(update={"dataset": dataset.model_copy(update=places)})


def prepare(
    config: AugmentConfig,
    folder: RunFolder,
    options: Options,
    identity: MethodIdentity,
    *,
    place: str = "",
    lock: RunLock | None = None,
) -> Prepared:
    """The caller holds the run's `lock` (None: it works alone, and its workers look for none).

    `place` is the folder's address with its credentials, where it has any.
    """
    _sweep(folder)
    if folder.exists():
        finish_replacement(folder)
    resumed = folder.exists() and bool(folder.run_json().planned_scenes)
    info = _planned(folder, config, identity, options)
    config = _with_first_batch_size(config, info)
    context = RunContext.of(place if is_remote(place) else folder.place, config, identity, info)
    gather(folder)
    if options.check_sources and resumed:
        recheck_sources(folder, config.dataset)
    done = completed_rows(folder, config.cluster.attempts)
    pending = []
    for number, table in enumerate(pending_tables(folder, context.domains, done)):
        if table.num_rows:
            pending.append(f"{PENDING}/{lock.epoch if lock else 0:08d}-{number:05d}.parquet")
            folder.store.write_many({pending[-1]: parquet_bytes(table)})
    if info.validation_sha256 != context.validation_sha256:
        _with_new_validation(folder, config, info, len(done.finished), starts=bool(pending))
    if lock is not None and pending:
        context = replace(context, witness=_witness(folder, config, pending[0], lock))
    return Prepared(context, pending, Progress(folder, _first_snapshot(folder, info, len(context.domains), done)))


def _witness(folder: RunFolder, config: AugmentConfig, pending: str, lock: RunLock) -> Witness:
    """What every worker must see too, by the first batches that are left."""
    first = table_to_batches(read_part(folder.store, pending, None).slice(0, LOOKED_AT))
    return witness_of(config.dataset.root, [scene for batch in first for scene in batch.scenes], lock.token)


def _sweep(folder: RunFolder) -> None:
    """Temporaries and old work lists that a kill left behind; nobody else runs, we hold the lock."""
    if isinstance(folder.store, LocalStore):
        folder.store.restore_spares()
    folder.store.delete_many([*folder.store.names(TMP), *folder.store.names(PENDING)])


def _planned(folder: RunFolder, config: AugmentConfig, identity: MethodIdentity, options: Options) -> RunInfo:
    """run.json and the plan, made, completed, extended or taken as they stand."""
    info = folder.run_json() if folder.exists() else _first_info(config, identity)
    if not info.planned_scenes:
        info = replace(info, validation_sha256=validation_hash(config.validation))
        return _plan(folder, config, info, set(), options)
    there = plan_files(folder)
    if len(there) < info.plan_files:
        raise RunFolderError(
            f"{folder.place}: found {len(there)} of {counted(info.plan_files, 'plan file')} in {PLAN}: a copy of a run"
            " needs its hidden .state too; copy that, and the same command resumes"
        )
    folder.store.delete_many(there[info.plan_files :])
    info = _resumed_info(info, config, plan_hash(config, identity, info.algorithm_version))
    if options.extend:
        known = set(planned_scene_ids(folder).to_pylist())
        return _plan(folder, _with_first_batch_size(config, info), info, known, options)
    folder.write_run_json(info)
    return info


def _plan(folder: RunFolder, config: AugmentConfig, info: RunInfo, known: set[str], options: Options) -> RunInfo:
    """Writes plan files, then counts them in run.json: a kill before that leaves no plan at all."""
    dark: list[DarkScene] = []
    absent: list[Scene] = []
    batches = plan_batches(
        with_local_root(config),
        info.plan_sha256,
        tuple(info.domains),
        without=known,
        check_sources=options.check_sources,
        on_skip=dark.append,
        on_absent=absent.append,
    )
    if not known:  # the first batch is made before run.json: a dataset that cannot be read leaves no run folder behind
        batches = chain([next(batches)], batches)
    folder.write_run_json(info)
    if folder.store.size(PROGRESS) is None:  # a long plan: `status` shows that it is being made
        now = time.time()
        write_snapshot(folder, Snapshot("running", 0, 0, 0, 0, now, now, 0.0, message="planning"))
    with collector_paused():
        files, scenes = write_plan(folder, batches, first_file=info.plan_files)
    if dark:
        _list_dark(folder, dark)
    if absent:
        _list_absent(folder, absent)
    info = replace(info, plan_files=files, planned_scenes=info.planned_scenes + scenes)
    folder.write_run_json(info)
    return info


def _list_dark(folder: RunFolder, dark: list[DarkScene]) -> None:
    """Sources that are tagged daytime and dark: a line each in the run's logs, and one warning.

    They are not planned.
    """
    lines = "".join(
        json.dumps({"scene_id": s.scene.scene_id, "image": s.scene.image, "mean_luma": round(s.luma, 1)}) + "\n"
        for s in dark
    )
    folder.store.write_many({DARK_SOURCES: lines.encode()})
    darkest = min(dark, key=lambda s: s.luma)
    log.warning(
        "skipped %s tagged daytime but dark, listed in %s; darkest: %s (mean luma %.0f); dataset.darkest_day=0 "
        "includes them",
        *(counted(len(dark), "scene"), DARK_SOURCES, darkest.scene.scene_id, darkest.luma),
    )


def _list_absent(folder: RunFolder, absent: list[Scene]) -> None:
    """Scenes without an image: a line each in the run's logs, and one warning; they are not planned."""
    lines = "".join(json.dumps({"scene_id": s.scene_id, "image": s.image}) + "\n" for s in absent)
    folder.store.write_many({ABSENT_IMAGES: lines.encode()})
    log.warning(
        "left out %s without an image, listed in %s; first: %s; dataset.absent_images=fail counts them as failed "
        "instead",
        *(counted(len(absent), "scene"), ABSENT_IMAGES, absent[0].image),
    )


@contextmanager
def collector_paused() -> Iterator[None]:
    """Planning makes millions of small records and no cycles: searching them for cycles takes a fifth of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _first_info(config: AugmentConfig, identity: MethodIdentity) -> RunInfo:
    return RunInfo(
        schema_version=SCHEMA_VERSION,
        package_version=s2st_aug.__version__,
        plan_sha256=plan_hash(config, identity),
        validation_sha256=validation_hash(config.validation),
        model=config.model if identity.model_sha256 else "",
        model_sha256=identity.model_sha256,
        model_files=dict(identity.model_files),
        model_commit=identity.model_commit,
        dataset_root=mask_uri(config.dataset.root),
        config=_masked(config),
        domains=dict(identity.profiles),
        batch_size=config.cluster.batch_size,
        method=identity.name,
        method_version=identity.version,
        method_settings=dict(identity.settings),
        method_sha256=method_hash(identity),
        algorithm_version=ALGORITHM_VERSION,
        label_aware=identity.label_aware,
        rng_key=config.run.rng_key,
        code_version=s2st_aug.__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _resumed_info(info: RunInfo, config: AugmentConfig, wanted: str) -> RunInfo:
    """What may change on resume: places, cluster; with `--extend` the limit; `_with_new_validation` does the rest."""
    plans = info.same_plans if wanted in (info.plan_sha256, *info.same_plans) else (*info.same_plans, wanted)
    masked = _masked(config)
    masked["first_limit"] = info.config.get("first_limit", info.config.get("dataset", {}).get("limit"))
    masked["cluster"]["batch_size"] = info.batch_size
    masked["validation"] = info.config.get("validation", masked["validation"])
    return replace(info, dataset_root=mask_uri(config.dataset.root), config=masked, same_plans=plans)


def _with_new_validation(
    folder: RunFolder, config: AugmentConfig, info: RunInfo, finished: int, *, starts: bool
) -> None:
    """Other thresholds on resume hold for what is left to do; with nothing left, run.json keeps the earlier ones."""
    if starts:
        changed = {**info.config, "validation": config.validation.model_dump(mode="json")}
        folder.write_run_json(replace(info, config=changed, validation_sha256=validation_hash(config.validation)))
    if finished:
        log.warning(
            "validation changed: %d variants keep the verdicts of other thresholds; "
            "`s2st-aug rescore %s --config FILE` judges all by the new ones",
            finished,
            folder.place,
        )


def _masked(config: AugmentConfig) -> dict[str, Any]:
    """The config as JSON values, without the credentials of its addresses."""
    raw = config.model_dump(mode="json")
    raw["dataset"]["root"] = mask_uri(raw["dataset"]["root"])
    raw["model"] = mask_uri(raw["model"])
    return raw


def _with_first_batch_size(config: AugmentConfig, info: RunInfo) -> AugmentConfig:
    if config.cluster.batch_size == info.batch_size:
        return config
    log.warning(
        "this run was started with batch_size %d and keeps it; %d is ignored",
        info.batch_size,
        config.cluster.batch_size,
    )
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"batch_size": info.batch_size})})


def _first_snapshot(folder: RunFolder, info: RunInfo, domains: int, done: CompletedRows) -> Snapshot:
    """Counts come from the manifest, tables of reasons and busy time from the last progress.json."""
    total = info.planned_scenes * domains
    fresh = Snapshot("running", total, done.ok, done.rejected, done.failed, 0.0, datetime.now(UTC).timestamp(), 0.0)
    if folder.store.size(PROGRESS) is None:
        return fresh
    try:
        last = read_snapshot(folder)
    except UsageError:
        return fresh
    failures = last.failures if fresh.done == total else {}  # those that are tried again are counted again
    fresh = replace(fresh, reasons=last.reasons, failures=failures)
    return replace(fresh, started=last.started, busy_seconds=last.busy_seconds)
