"""What a run computes with: how to identify it in the driver, and how to build it in a worker. A literal-dict registry."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from s2st_aug.arrays import Image
from s2st_aug.config import AugmentConfig
from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Judgement


class TranslatorLike(Protocol):
    """What the engine needs of `translation.Translator`."""

    def translate(
        self,
        photos: Sequence[Image],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None,
        keys: Sequence[int],
    ) -> list[dict[str, Any]]:
        """One dict per photo, domain -> `translation.Translated` or what has its fields."""
        ...


Judge = Callable[[Image, Image, Image, Sequence[SceneObject], str], Judgement]
"""(source, variant, raw, objects, domain) -> Judgement"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the driver must know before a worker exists: hashes and names.

    `profiles`: domain -> sha256; `model_files`: weight file -> sha256; `model_commit`: of a model from the hub.
    """

    model_sha256: str
    profiles: Mapping[str, str]
    evals_per_scene: tuple[float, float] = (0.0, 0.0)  # forward, backward, all domains together
    native_size: tuple[int, int] = (0, 0)
    model_files: Mapping[str, str] = field(default_factory=dict)
    model_commit: str = ""


@dataclass(frozen=True, slots=True)
class Kit:
    """How one method is identified, loaded and judged; functions of the config alone."""

    identify: Callable[[AugmentConfig], Identity]
    translator: Callable[[AugmentConfig, str], TranslatorLike]  # config, torch device
    judge: Callable[[AugmentConfig], Judge]


KITS: dict[str, str] = {
    "s2st": "s2st_aug.engine.s2st",
    "fake": "s2st_aug.testing.methods",
    "judged": "s2st_aug.testing.judged",
}


def find_kit(name: str) -> Kit:
    """The kit of that name; a worker imports only its own. Raises UsageError for an unknown one."""
    if name not in KITS:
        raise UsageError(f"no kit named {name!r}{did_you_mean(name, KITS)}")
    return importlib.import_module(KITS[name]).KIT
