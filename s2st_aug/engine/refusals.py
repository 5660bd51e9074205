"""Everything that a user can have got wrong about a start, found before a lock or a file is made."""

from __future__ import annotations

import os
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import plan_hash
from s2st_aug.containment import refuse_unwritable
from s2st_aug.engine.options import Options
from s2st_aug.errors import ConfigError, PlanMismatch, UsageError
from s2st_aug.methods import MethodIdentity
from s2st_aug.storage.run_folder import RunFolder, RunInfo
from s2st_aug.storage.store import LocalStore, is_remote


def refuse(folder: RunFolder, config: AugmentConfig, identity: MethodIdentity, options: Options) -> None:
    """Raises UsageError for a place that cannot be a run folder, another plan than the run's, a run in its dataset."""
    refuse_place(folder, config)
    if config.cluster.device not in ("auto", "cpu") and options.address is None and "RAY_ADDRESS" not in os.environ:
        from s2st_aug.diffusion.device import resolve_device  # torch: most starts do without

        resolve_device(config.cluster.device)  # a cluster's nodes may have what this machine lacks
    if folder.exists():
        _refuse_other_plan(folder.run_json(), config, identity, options)


def refuse_place(folder: RunFolder, config: AugmentConfig) -> None:
    """The part of it that needs no model: raises UsageError for a place that cannot be this config's run folder."""
    if isinstance(folder.store, LocalStore):
        refuse_unwritable(folder.path, "--run")
    folder.refuse_links_out()
    if not is_remote(config.dataset.root):
        root = Path(config.dataset.root)
        if not root.is_dir():
            raise ConfigError(f"dataset.root: folder not found: {root}")
        if not is_remote(folder.place) and Path(folder.place).resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"the run folder {folder.place} is inside the dataset {root}, which must not be written to; "
                "choose another --run"
            )


def _refuse_other_plan(info: RunInfo, config: AugmentConfig, identity: MethodIdentity, options: Options) -> None:
    """A changed plan is never mixed in silently.

    It is refused with both hashes shown (docs/reference/promises.md#plan).
    """
    wanted = plan_hash(config, identity, info.algorithm_version)
    if (info.method, info.method_version) == (identity.name, identity.version):
        if wanted in (info.plan_sha256, *info.same_plans):
            return
        if options.extend:  # growing `limit` is what it is for: is this the run's plan but for that?
            limit = info.config.get("first_limit", info.config.get("dataset", {}).get("limit"))
            first = config.model_copy(update={"dataset": config.dataset.model_copy(update={"limit": limit})})
            if plan_hash(first, identity, info.algorithm_version) == info.plan_sha256:
                return
    raise PlanMismatch(
        f"the run folder was started with plan {info.plan_sha256[:16]}, this config gives plan {wanted[:16]} "
        f"({_what_changed(info, config, identity)} changed); use another --run folder, or the config of its first start"
        + ("" if options.extend else " (--extend adds scenes to the same plan)")
    )


def _what_changed(info: RunInfo, config: AugmentConfig, identity: MethodIdentity) -> str:
    """Names of what differs, for the message."""
    now = config.model_dump(mode="json")
    then = {**info.config, "method": {"name": info.method, **info.config.get("method", {})}}

    def without_root(value: object) -> object:
        return {k: v for k, v in value.items() if k != "root"} if isinstance(value, dict) else value

    groups = ("dataset", "domains", "model", "method", "run")
    names = [g for g in groups if without_root(now.get(g)) != without_root(then.get(g))]
    if "method" not in names and info.method_version != identity.version:
        names.append("the method's version")
    if info.model_sha256 != identity.model_sha256 and "model" not in names:
        names.append("the model's weights")
    if dict(identity.profiles) != info.domains and "domains" not in names:
        names.append("a domain profile")
    return ", ".join(names) or "the algorithm's version"
