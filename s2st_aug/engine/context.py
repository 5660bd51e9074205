"""What every worker of a run is told: plain values, no handles, shipped once per stage."""

from __future__ import annotations

from dataclasses import dataclass

from s2st_aug.config import AugmentConfig
from s2st_aug.randomness import sample_key
from s2st_aug.storage.naming import variant_id


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run's identity and places; `domains` maps the manifest's domain names to their profiles' hashes."""

    run: str  # path or URI of the run folder
    kit: str
    config: AugmentConfig
    model_sha256: str
    profiles: dict[str, str]
    plan_sha256: str
    validation_sha256: str
    code_version: str
    method: str
    method_version: str
    method_sha256: str  # over the settings that decide pixels, dtype among them
    algorithm_version: str  # the run's own: part of every variant_id

    def key(self, scene_id: str) -> int:
        """The random key of a scene, the same on any worker."""
        return sample_key(self.config.run.rng_key, scene_id)

    def variant_id(self, scene_id: str, domain: str, source_sha256: str | None, label_sha256: str | None) -> str:
        """The variant's hash (docs/reference/promises.md#same-result); its label record counts where the method reads it."""
        label = (label_sha256 or "") if self.config.method.label_aware else ""
        source, rng_key = source_sha256 or "missing", str(self.config.run.rng_key)
        return variant_id(
            scene_id,
            domain,
            source,
            label,
            self.profiles[domain],
            self.method_sha256,
            self.model_sha256,
            self.algorithm_version,
            rng_key,
        )
