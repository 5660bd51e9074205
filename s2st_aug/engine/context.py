"""What every worker of a run is told: plain values, no handles, shipped once per stage."""

from __future__ import annotations

from dataclasses import dataclass

from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import validation_hash
from s2st_aug.methods import MethodIdentity, find_method
from s2st_aug.randomness import sample_key
from s2st_aug.storage.naming import variant_id
from s2st_aug.storage.run_folder import RunInfo


def identify(config: AugmentConfig) -> MethodIdentity:
    """The config's method with hashes of all that decides its pixels; raises UsageError for what could not run."""
    if config.validation.detector:
        from s2st_aug.validation.detectors import load_detector  # its runtime is an optional extra

        load_detector(config.validation.detector)  # a wrong path must end the start, not fail every sample
    return find_method(config.method.name).identify(config.for_method())


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run's place, config and identity. `method_sha256` and `algorithm_version` are those that the run began with."""

    run: str  # path or URI of the run folder; empty where nothing is committed
    config: AugmentConfig
    identity: MethodIdentity
    plan_sha256: str
    method_sha256: str
    algorithm_version: str
    validation_sha256: str
    code_version: str

    @classmethod
    def of(cls, place: str, config: AugmentConfig, identity: MethodIdentity, info: RunInfo) -> RunContext:
        """Of a run that is planned, with this start's config."""
        return cls(
            run=place,
            config=config,
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
