"""The plan hash: over all that decides a run's pixels, and nothing else (docs/reference/promises.md#plan).

Validation has a hash of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s2st_aug.config.augment import AugmentConfig
from s2st_aug.images import sha256_bytes
from s2st_aug.methods.protocol import MethodIdentity
from s2st_aug.validation.identity import validation_identity
from s2st_aug.validation.settings import ValidationSettings

ALGORITHM_VERSION = "3"
"""Counts up whenever the same settings would give other pixels, or are hashed in another way; part of every variant_id
and plan hash."""


def plan_hash(config: AugmentConfig, identity: MethodIdentity, algorithm: str = ALGORITHM_VERSION) -> str:
    """Over dataset selection, domains and model (by their bytes), method, random integer and image format.

    `algorithm` is the version that a run began with: version 1 knew the method's settings alone, not its name.
    """
    dataset = config.dataset.model_dump(mode="json", exclude={"root"})
    dataset["format"] = Path(config.dataset.format).name  # a card's own file is the same card wherever it lies
    if not config.dataset.checks_daylight:
        del dataset["darkest_day"]  # it decides nothing
    if dataset["absent_images"] == "skip":
        del dataset["absent_images"]  # the plan says which scenes were there; runs of before knew no such key
    if not dataset["rescale_labels"]:
        del dataset["rescale_labels"]
    dataset["select"] = {k: sorted(v) for k, v in dataset["select"].items()}
    return hash_of(
        {
            "dataset": dataset,
            "domains": dict(sorted(identity.profiles.items())),
            "model": identity.model_sha256,
            "method": dict(identity.settings) if algorithm == "1" else method_hash(identity),
            "run": config.run.model_dump(mode="json"),
            "algorithm": algorithm,
        }
    )


def method_hash(identity: MethodIdentity) -> str:
    """Over the method's name, its version and those of its settings that decide pixels: a row's part of the plan."""
    return hash_of({"name": identity.name, "version": identity.version, "settings": dict(identity.settings)})


def validation_hash(settings: ValidationSettings) -> str:
    """Over all that decides a verdict: thresholds, the checks' constants and networks, a detector's bytes.

    Raises ModelError where the detector's file is missing.
    """
    return hash_of(validation_identity(settings))


def hash_of(value: Any) -> str:
    """Hex SHA-256 of a JSON value, whatever the order of its keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
