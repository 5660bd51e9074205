"""The plan hash: over all that decides a run's pixels, and nothing else (docs/reference/promises.md#plan).

Validation has a hash of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2st_aug.config.augment import AugmentConfig
from s2st_aug.images import sha256_bytes
from s2st_aug.validation.identity import validation_identity
from s2st_aug.validation.settings import ValidationSettings

ALGORITHM_VERSION = "1"
"""Counts up whenever the same settings would give other pixels; part of every variant_id and plan hash."""

METHOD_VERSION = "1"
"""Of S2ST itself, as each row says it."""


def plan_hash(config: AugmentConfig, model_sha256: str, profiles: Mapping[str, str]) -> str:
    """Over dataset selection, domains (by their profiles' bytes), model (by its weights), method, rng_key and image format."""
    dataset = config.dataset.model_dump(mode="json", exclude={"root"})
    dataset["format"] = Path(config.dataset.format).name  # a card's own file is the same card wherever it lies
    if not config.dataset.checks_daylight:
        del dataset["darkest_day"]  # it decides nothing
    dataset["select"] = {k: sorted(v) for k, v in dataset["select"].items()}
    return hash_of(
        {
            "dataset": dataset,
            "domains": dict(sorted(profiles.items())),
            "model": model_sha256,
            "method": method_identity(config),
            "run": config.run.model_dump(mode="json"),
            "algorithm": ALGORITHM_VERSION,
        }
    )


def method_identity(config: AugmentConfig) -> dict[str, Any]:
    """The method's settings that decide pixels: the preset's name is only where they came from."""
    return config.method.model_dump(mode="json", exclude={"preset", "compile", "checkpointing"})


def validation_hash(settings: ValidationSettings) -> str:
    """Over all that decides a verdict: thresholds, the checks' constants and networks, a detector's bytes.

    Raises ModelError where the detector's file is missing.
    """
    return hash_of(validation_identity(settings))


def hash_of(value: Any) -> str:
    """Hex SHA-256 of a JSON value, whatever the order of its keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
