"""What every worker of a run is told: plain values, no handles, shipped once per stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import validation_hash
from s2st_aug.diffusion.model_choice import with_absolute_paths
from s2st_aug.formats import Card, dataset_card
from s2st_aug.methods import MethodConfig, MethodIdentity, find_method
from s2st_aug.randomness import sample_key
from s2st_aug.records.profile import SUFFIX
from s2st_aug.storage.naming import variant_id
from s2st_aug.storage.run_folder import RunInfo
from s2st_aug.storage.store import mask_uri
from s2st_aug.validation.detectors import SHIPPED


def identify(config: AugmentConfig) -> MethodIdentity:
    """The config's method with hashes of all that decides its pixels; raises UsageError for what could not run."""
    if config.validation.detector:
        from s2st_aug.validation.detectors import load_detector  # its runtime is an optional extra

        load_detector(config.validation.detector)  # a wrong path must end the start, not fail every sample
    return find_method(config.method.name).identify(config.for_method())


def method_for_workers(config: AugmentConfig) -> MethodConfig[Any]:
    """What the method is told, with absolute paths: workers start in other folders than the driver."""
    method, validation = config.for_method(), config.validation
    given = {name: getattr(method.settings, name) for name in find_method(config.method.name).files}
    own = {name: _absolute_paths(value) for name, value in given.items()}
    if validation.detector and validation.detector not in SHIPPED:
        validation = validation.model_copy(update={"detector": _absolute(validation.detector)})
    return replace(
        method,
        model=with_absolute_paths(config.model),
        domains=tuple(_absolute(d) if "/" in d or d.endswith(SUFFIX) else d for d in config.domains),
        settings=method.settings.model_copy(update=own),
        validation=validation,
    )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _absolute_paths(value: Any) -> Any:
    """A setting that names a file or folder, or a list or a table (domain -> file) of them; what is unset stays so."""
    if isinstance(value, Mapping):
        return {key: _absolute_paths(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_absolute_paths, value))
    return _absolute(str(value)) if value else value


@dataclass(frozen=True, slots=True)
class Witness:
    """What the driver saw at its start and every worker must see: its lock's token, images of the dataset by size."""

    driver: str
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run's place, config and identity. `method_sha256` and `algorithm_version` are those that the run began with.

    The card travels whole, the files that the method reads by absolute paths: a worker may run in another folder, as
    another user, from a package that was shipped without the checkout around it.
    """

    run: str  # path or URI of the run folder; empty where nothing is committed
    config: AugmentConfig
    card: Card
    method: MethodConfig[Any]
    identity: MethodIdentity
    plan_sha256: str
    method_sha256: str
    algorithm_version: str
    validation_sha256: str
    code_version: str
    witness: Witness | None = None  # None: there is no driver whose folder workers could miss

    @classmethod
    def of(cls, place: str, config: AugmentConfig, identity: MethodIdentity, info: RunInfo) -> RunContext:
        """Of a run that is planned, with this start's config."""
        return cls(
            run=place,
            config=config,
            card=dataset_card(config.dataset.model_dump()),
            method=method_for_workers(config),
            identity=identity,
            plan_sha256=info.plan_sha256,
            method_sha256=info.method_sha256,
            algorithm_version=info.algorithm_version,
            validation_sha256=validation_hash(config.validation),
            code_version=info.code_version,
        )

    @property
    def domains(self) -> list[str]:
        """As the manifest names them."""
        return list(self.identity.profiles)

    @property
    def model(self) -> str:
        """As the config names it; empty for a method without one."""
        return self.config.model if self.identity.model_sha256 else ""

    def key(self, scene_id: str) -> int:
        """The random key of a scene, the same on any worker."""
        return sample_key(self.config.run.rng_key, scene_id)

    def variant_id(self, scene_id: str, domain: str, source_sha256: str | None, label_sha256: str | None) -> str:
        """The variant's hash (docs/reference/promises.md#same-result).

        Its label's record counts where the method reads it.
        """
        return variant_id(
            scene_id,
            domain,
            source_sha256 or "missing",
            (label_sha256 or "") if self.identity.label_aware else "",
            self.identity.profiles[domain],
            self.method_sha256,
            self.identity.model_sha256,
            self.algorithm_version,
            str(self.config.run.rng_key),
        )


class Sealed:
    """A context on its way to the workers: Ray shows, logs and exports what actors are made with, by `str` or by field.

    Addresses in the context may hold credentials; sealed, it is a run folder's masked name.
    """

    __slots__ = ("_context",)

    def __init__(self, context: RunContext) -> None:
        self._context = context

    @property
    def context(self) -> RunContext:
        """The context, in a worker."""
        return self._context

    def __repr__(self) -> str:
        return f"Sealed({mask_uri(self._context.run)})"
