"""The record behind a run's YAML (CONTRACT, config). YAML only fills it; the method's and the gates' settings live beside their code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from s2st_aug.translation.settings import PRESETS, MethodSettings
from s2st_aug.validation.settings import ValidationSettings


class Record(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(Record):
    """Which scenes. `select` keeps those whose image attribute is one of the values; `limit` the first so many of them."""

    format: str
    root: str
    split: str = "train"
    select: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None


class RunConfig(Record):
    """What belongs to the run as a whole. `rng_key` is the random integer; the seed is something else."""

    rng_key: Annotated[int, Field(ge=0, lt=2**63)] = 0
    image_format: Literal["png", "jpeg"] = "png"


class ClusterConfig(Record):
    """How the work is spread. Nothing here changes a pixel, but for `batch_size` (50 dB), which keeps the run's first value."""

    actors: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (1, 2)  # at least, at most
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    threads_per_actor: Annotated[int, Field(ge=1)] = 1
    attempts: Annotated[int, Field(ge=1)] = 3  # of a failed sample, over all starts
    drain_seconds: Annotated[float, Field(gt=0)] = 300.0

    @model_validator(mode="after")
    def _ordered(self) -> ClusterConfig:
        if self.actors[0] > self.actors[1]:
            raise ValueError(f"actors: expected [least, most], came {list(self.actors)}")
        if self.gpus_per_actor > 1 and self.gpus_per_actor != int(self.gpus_per_actor):
            raise ValueError(f"gpus_per_actor: a share below 1 or a whole number, came {self.gpus_per_actor}")
        return self


class AugmentConfig(Record):
    """A run: a labelled dataset in, variants of it in some domains out."""

    dataset: DatasetConfig
    domains: Annotated[tuple[str, ...], Field(min_length=1)]
    model: str = "street-mini"
    method: MethodSettings = PRESETS["standard"]
    validation: ValidationSettings = ValidationSettings()
    run: RunConfig = RunConfig()
    cluster: ClusterConfig = ClusterConfig()

    @field_validator("domains")
    @classmethod
    def _no_domain_twice(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({d for d in domains if domains.count(d) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return domains
