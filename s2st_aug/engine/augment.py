"""The main job: config in, run folder out. Plans or resumes, runs what is left, gathers the manifest, sums up."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import s2st_aug
from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import ALGORITHM_VERSION, METHOD_VERSION, hash_of, method_identity, plan_hash, validation_hash
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.driver import Driver
from s2st_aug.engine.kit import Identity, find_kit
from s2st_aug.engine.pending import CompletedRows, completed_rows, pending_tables
from s2st_aug.engine.planning import plan_batches
from s2st_aug.engine.recheck import recheck_sources
from s2st_aug.engine.remote_dataset import with_local_root
from s2st_aug.errors import ConfigError, PlanMismatch, UsageError
from s2st_aug.formats.cards import absolute_card
from s2st_aug.formats.daylight import DarkScene
from s2st_aug.records.manifest import SCHEMA_VERSION
from s2st_aug.storage.generations import finish_replacement
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import plan_files, planned_scene_ids, write_plan
from s2st_aug.storage.progress import Progress, Snapshot, read_snapshot
from s2st_aug.storage.run_folder import PROGRESS, STATE, RunFolder, RunInfo, parquet_bytes
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import TMP, LocalStore
from s2st_aug.storage.uri import is_remote, mask_uri

log = logging.getLogger(__name__)

PENDING = f"{STATE}/pending"
DARK_SOURCES = "logs/dark_sources.jsonl"
"""scenes that are tagged daytime and dark: skipped when the run was planned"""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a start ended; `stopped` is why it ended before its end, empty otherwise."""

    run: str
    snapshot: Snapshot
    stopped: str = ""
    sheet: str = ""

    @property
    def exit_code(self) -> int:
        """What the command ends with (docs/reference/promises.md#exit-codes)."""
        if self.stopped:
            return 4
        return 1 if self.snapshot.failed else 0


@dataclass(frozen=True, slots=True)
class Options:
    """What a start is asked beside its config. `watch` hears of every commit; `kit` names what computes."""

    address: str | None = None
    extend: bool = False
    check_sources: bool = False
    kit: str = "s2st"
    watch: Callable[[Snapshot], None] = lambda snapshot: None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A start that is ready to compute: what the workers are told, what is left, and the books so far."""

    context: RunContext
    pending: list[str]
    progress: Progress


def augment(config: AugmentConfig, run: Path | str, options: Options = Options()) -> RunSummary:
    """Run or resume; raises UsageError before anything is started, and nothing for a bad sample."""
    folder = RunFolder(run)
    config = with_absolute_root(config)
    identity = find_kit(options.kit).identify(config)
    _refuse(folder, config, identity, options)
    with RunLock(folder) as lock:
        ready = prepare(config, folder, options, identity, place=str(run))
        stopped = ""
        if ready.pending:
            stopped = Driver(ready.context, options, folder, ready.progress, lock).run(ready.pending)
        return _finish(folder, ready.progress, stopped)


def prepare(
    config: AugmentConfig, folder: RunFolder, options: Options, identity: Identity, *, place: str = ""
) -> Prepared:
    """All that comes before the first batch: sweep, plan or take up the plan, gather, find what is left. Takes no lock."""
    wanted = plan_hash(config, identity.model_sha256, identity.profiles)
    _sweep(folder)
    if folder.exists():
        finish_replacement(folder)
    resumed = folder.exists() and bool(folder.run_json().planned_scenes)
    info = _planned(folder, config, identity, wanted, options)
    config = _first_batch_size(config, info)
    context = run_context(folder, place or folder.place, config, identity, info, options.kit)
    gather(folder)
    if options.check_sources and resumed:
        recheck_sources(folder, config.dataset)
    done = completed_rows(folder, config.cluster.attempts)
    pending = _write_pending(folder, tuple(identity.profiles), done)
    return Prepared(context, pending, Progress(folder, _first_snapshot(folder, info, len(identity.profiles), done)))


def _refuse(folder: RunFolder, config: AugmentConfig, identity: Identity, options: Options) -> None:
    """Everything that a user can have got wrong, before a lock or a file is made."""
    _refuse_file(folder)
    wanted = plan_hash(config, identity.model_sha256, identity.profiles)
    if folder.exists():
        _refuse_other_plan(folder.run_json(), wanted, config, identity, options)
    _refuse_run_inside_dataset(folder, config)


def _refuse_file(folder: RunFolder) -> None:
    """A run folder is a folder, or can become one."""
    if isinstance(folder.store, LocalStore) and (
        there := next((p for p in (folder.path, *folder.path.parents) if p.exists()), None)
    ):
        if not there.is_dir():
            raise UsageError(f"--run {folder.place}: expected a folder, found the file {there}")
        if not os.access(there, os.W_OK):
            raise UsageError(f"--run {folder.place}: {there} cannot be written to")


def with_absolute_root(config: AugmentConfig) -> AugmentConfig:
    """The config with the dataset's folder, and its card's own file, by absolute paths; an address stays as it is."""
    dataset = config.dataset
    root = dataset.root if is_remote(dataset.root) else str(Path(dataset.root).expanduser().absolute())
    places = {"root": root, "format": absolute_card(dataset.format)}
    return config.model_copy(update={"dataset": dataset.model_copy(update=places)})


def run_context(
    folder: RunFolder, place: str, config: AugmentConfig, identity: Identity, info: RunInfo, kit: str
) -> RunContext:
    """What the workers are told."""
    return RunContext(
        run=place if is_remote(place) else folder.place,
        kit=kit,
        config=config,
        model_sha256=identity.model_sha256,
        profiles=dict(identity.profiles),
        plan_sha256=info.plan_sha256,
        validation_sha256=validation_hash(config.validation),
        code_version=info.code_version,
        method=info.method,
        method_version=info.method_version,
        method_sha256=info.method_sha256,
        algorithm_version=info.algorithm_version,
    )


def _refuse_other_plan(info: RunInfo, wanted: str, config: AugmentConfig, identity: Identity, options: Options) -> None:
    """Promise 4: another plan hash is refused with both shown."""
    if wanted in (info.plan_sha256, *info.same_plans):
        return
    if options.extend and _first_limit_hash(info, config, identity) == info.plan_sha256:
        return
    changed = _what_changed(info, config, identity)
    raise PlanMismatch(
        f"the run folder holds plan {info.plan_sha256[:16]}, this config is plan {wanted[:16]} ({changed} changed); "
        "use another --run folder, or the first config"
        + ("" if options.extend else " (--extend adds scenes to the same plan)")
    )


def _first_limit_hash(info: RunInfo, config: AugmentConfig, identity: Identity) -> str:
    """The plan hash with the run's first `limit`: growing it is what `--extend` is for."""
    limit = info.config.get("dataset", {}).get("limit")
    dataset = config.dataset.model_copy(update={"limit": info.config.get("first_limit", limit)})
    return plan_hash(config.model_copy(update={"dataset": dataset}), identity.model_sha256, identity.profiles)


def _what_changed(info: RunInfo, config: AugmentConfig, identity: Identity) -> str:
    """Names of what differs, for the message."""
    now, then = config.model_dump(mode="json"), info.config
    groups = ("dataset", "domains", "model", "method", "run")
    names = [g for g in groups if _without_root(now.get(g)) != _without_root(then.get(g))]
    if info.model_sha256 != identity.model_sha256 and "model" not in names:
        names.append("the model's weights")
    if dict(identity.profiles) != info.domains and "domains" not in names:
        names.append("a domain profile")
    return ", ".join(names) or "the algorithm's version"


def _without_root(value: object) -> object:
    return {k: v for k, v in value.items() if k != "root"} if isinstance(value, dict) else value


def _refuse_run_inside_dataset(folder: RunFolder, config: AugmentConfig) -> None:
    if is_remote(config.dataset.root):
        return
    root = Path(config.dataset.root)
    if not root.is_dir():
        raise ConfigError(f"dataset.root: folder {root} is not there")
    if "://" not in folder.place and Path(folder.place).resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"the run folder {folder.place} lies inside the dataset {root}, which is never written to; choose another --run"
        )


def _sweep(folder: RunFolder) -> None:
    """Temporaries and old work lists that a kill left behind; nobody else runs, we hold the lock."""
    if isinstance(folder.store, LocalStore):
        folder.store.restore_spares()
    for name in [*folder.store.names(TMP), *folder.store.names(PENDING)]:
        folder.store.delete(name)


def _planned(folder: RunFolder, config: AugmentConfig, identity: Identity, wanted: str, options: Options) -> RunInfo:
    """run.json and the plan, made, completed, extended or taken as they stand."""
    info = folder.run_json() if folder.exists() else _first_info(config, identity, wanted, options.kit)
    info = replace(
        info, validation_sha256=info.validation_sha256 if info.planned_scenes else validation_hash(config.validation)
    )
    if not info.planned_scenes:
        return _plan(folder, config, info, set(), options)
    for name in plan_files(folder)[info.plan_files :]:
        folder.store.delete(name)
    info = _resumed_info(info, config, wanted, options)
    if options.extend:
        return _plan(folder, _first_batch_size(config, info), info, set(planned_scene_ids(folder).to_pylist()), options)
    folder.write_run_json(info)
    return info


def _plan(folder: RunFolder, config: AugmentConfig, info: RunInfo, known: set[str], options: Options) -> RunInfo:
    """Writes plan files, then counts them in run.json: a kill before that leaves no plan at all."""
    dark: list[DarkScene] = []
    batches = plan_batches(
        with_local_root(config),
        info.plan_sha256,
        tuple(info.domains),
        without=known,
        check_sources=options.check_sources,
        on_skip=dark.append,
    )
    first = _peek(batches) if not known else batches
    folder.write_run_json(info)
    with collector_paused():
        files, scenes = write_plan(folder, first, first_file=info.plan_files)
    _list_dark(folder, dark)
    info = replace(info, plan_files=files, planned_scenes=info.planned_scenes + scenes)
    folder.write_run_json(info)
    return info


def _list_dark(folder: RunFolder, dark: list[DarkScene]) -> None:
    """Sources that are tagged daytime and dark: a line each in the run's logs, and one warning; they are not planned."""
    if not dark:
        return
    listed = "".join(
        json.dumps({"scene_id": s.scene.scene_id, "image": s.scene.image, "mean_luma": round(s.luma, 1)}) + "\n"
        for s in dark
    )
    folder.store.write_many({DARK_SOURCES: listed.encode()})
    darkest = min(dark, key=lambda s: s.luma)
    log.warning(
        "%d scenes are tagged daytime and dark: skipped, listed in %s; the darkest: %s (mean luma %.0f); dataset.darkest_day=0 takes them",
        *(len(dark), DARK_SOURCES, darkest.scene.scene_id, darkest.luma),
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


def _peek(batches: Iterator) -> Iterator:
    """The same stream, with its first batch made already: a dataset that cannot be read leaves no run folder behind."""
    first = next(batches)

    def again() -> Iterator:
        yield first
        yield from batches

    return again()


def _first_info(config: AugmentConfig, identity: Identity, wanted: str, kit: str) -> RunInfo:
    return RunInfo(
        schema_version=SCHEMA_VERSION,
        package_version=s2st_aug.__version__,
        plan_sha256=wanted,
        validation_sha256=validation_hash(config.validation),
        model=config.model,
        model_sha256=identity.model_sha256,
        model_files=dict(identity.model_files),
        model_commit=identity.model_commit,
        dataset_root=mask_uri(config.dataset.root),
        config=_masked(config),
        domains=dict(identity.profiles),
        batch_size=config.cluster.batch_size,
        method=kit,
        method_version=METHOD_VERSION,
        method_sha256=hash_of(method_identity(config)),
        algorithm_version=ALGORITHM_VERSION,
        label_aware=config.method.label_aware,
        rng_key=config.run.rng_key,
        code_version=s2st_aug.__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _resumed_info(info: RunInfo, config: AugmentConfig, wanted: str, options: Options) -> RunInfo:
    """What may change on resume: places, cluster, validation; and, with `--extend`, the limit."""
    plans = info.same_plans if wanted in (info.plan_sha256, *info.same_plans) else (*info.same_plans, wanted)
    masked = _masked(config)
    masked["first_limit"] = info.config.get("first_limit", info.config.get("dataset", {}).get("limit"))
    masked["cluster"]["batch_size"] = info.batch_size
    return replace(info, dataset_root=mask_uri(config.dataset.root), config=masked, same_plans=plans)


def _masked(config: AugmentConfig) -> dict:
    raw = config.model_dump(mode="json")
    raw["dataset"]["root"] = mask_uri(raw["dataset"]["root"])
    raw["model"] = mask_uri(raw["model"])
    return raw


def _first_batch_size(config: AugmentConfig, info: RunInfo) -> AugmentConfig:
    if config.cluster.batch_size == info.batch_size:
        return config
    log.warning("batch_size stays %d, as the run began; %d is ignored", info.batch_size, config.cluster.batch_size)
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"batch_size": info.batch_size})})


def _write_pending(folder: RunFolder, domains: tuple[str, ...], done: CompletedRows) -> list[str]:
    """The work list of this start, as files that Ray Data reads; their names."""
    names = []
    for number, table in enumerate(pending_tables(folder, domains, done)):
        if table.num_rows:
            names.append(f"{PENDING}/{number:05d}.parquet")
            folder.store.write_many({names[-1]: parquet_bytes(table)})
    return names


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
    return replace(fresh, started=last.started, busy_seconds=last.busy_seconds, reasons=last.reasons)


def _finish(folder: RunFolder, progress: Progress, stopped: str) -> RunSummary:
    """The manifest from the shards, then the sheet; the run is finished when progress.json says so."""
    gather(folder)
    torn = () if stopped else folder.store.names(TMP)  # of a worker that was killed while it wrote; now nobody writes
    for name in [*folder.store.names(PENDING), *torn]:
        folder.store.delete(name)
    sheet = "" if stopped else _draw_sheet(folder)
    snapshot = progress.write("stopped" if stopped else "finished", stopped)
    return RunSummary(folder.place, snapshot, stopped, sheet)


def _draw_sheet(folder: RunFolder) -> str:
    """The sheet's path. It is a convenience: whatever is wrong with it is logged and ends nothing."""
    if not isinstance(folder.store, LocalStore):
        return ""
    try:
        from s2st_aug.report.contact_sheet import write_contact_sheet

        return str(write_contact_sheet(folder.path))
    except Exception as error:
        log.warning("no contact sheet: %s", error)
        return ""
