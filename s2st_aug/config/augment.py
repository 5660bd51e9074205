"""The record behind a run's YAML (docs/reference/config.md).

YAML only fills it; each method's and the gates' settings live beside their code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from s2st_aug.diffusion.model_choice import ModelChoice, spell_choice
from s2st_aug.errors import wrong_values
from s2st_aug.formats.daylight import DARK, DAYTIME
from s2st_aug.formats.yaml_text import flags_as_numbers
from s2st_aug.methods.protocol import MethodConfig
from s2st_aug.methods.registry import find_method
from s2st_aug.validation.settings import ValidationSettings


class Record(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _as_list(value: object) -> object:
    """A single value stands for a list of it: `timeofday: daytime`."""
    return (value,) if isinstance(value, str | int | float) else value


def _as_names(value: object) -> object:
    """As `_as_list`; a string may hold several names: `night,rain`."""
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _as_range(value: object) -> object:
    """A single number is both ends: `actors: 2`."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Values = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Count = Annotated[int, Field(ge=1)]


class DatasetConfig(Record):
    """Which scenes to translate: those that `select` names, at most `limit` of them."""

    format: str
    """a dataset card: its name (bdd100k, cityscapes, coco, yolo, kitti, ...) or a YAML file"""
    root: str
    """the dataset's folder; read-only, not in the plan hash"""
    split: str = "train"
    """a split that the card lists"""
    select: dict[str, Values] = Field(default_factory=dict)
    """image attribute and the values to include, for example `timeofday: [daytime]`; a single value needs no list"""
    limit: Annotated[int, Field(ge=1)] | None = None
    """maximum number of scenes, taken from the start; null: all [scenes]"""
    darkest_day: Annotated[float, Field(ge=0, le=255)] = DARK
    """with `select` for `timeofday: daytime`: images with a lower mean luma are skipped and listed; 0: keep all
    [grey levels]"""
    absent_images: Literal["skip", "fail"] = "skip"
    """what happens to a scene whose image file is missing. skip: it is left out (before `limit` is applied) and listed
    in logs/absent_images.jsonl; fail: it becomes a failed row"""
    rescale_labels: bool = False
    """scale the labels if they were drawn on an image of another size with the same proportions"""

    @property
    def checks_daylight(self) -> bool:
        """Whether the selection asks for day images, whose brightness then decides too."""
        return DAYTIME in self.select.get("timeofday", ()) and self.darkest_day > 0


class MethodChoice(Record):
    """The method and its settings, in one group of the YAML: `method: {name: s2st, preset: draft}`."""

    name: str = "s2st"
    """s2st, histogram, reinhard, gamma, ddib, sdedit, ledits, one of an installed package, or package.module:Class"""
    settings: BaseModel
    """the method's own record; its keys stand beside `name`"""

    @model_serializer
    def _one_group(self, info: SerializationInfo) -> dict[str, Any]:
        return {"name": self.name, **self.settings.model_dump(mode=info.mode)}


class RunConfig(Record):
    """Settings of the run as a whole. Users write `seed`; the code says `rng_key`, because its seed is z_T."""

    rng_key: Annotated[int, Field(ge=0, lt=2**63, validation_alias=AliasChoices("seed", "rng_key"))] = 0
    """random seed: the same number gives the same pixels; former name `run.rng_key` [any integer]"""
    image_format: Literal["png", "jpeg"] = "png"
    """png is lossless; jpeg is quality 95 without chroma subsampling"""


class ClusterConfig(Record):
    """How the work is distributed.

    Nothing here changes pixels, except `batch_size` (single pixels, 50 dB), which keeps the run's first value.
    """

    actors: Annotated[tuple[Count, Count], BeforeValidator(_as_range)] = (1, 2)
    """minimum and maximum number of workers, each with a copy of the model; a single number sets both [workers]"""
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    """GPUs per worker. 0: CPU; below 1: workers share a GPU [GPUs]"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto: the GPUs from gpus_per_actor, or the CPU if that is 0; cpu, cuda, cuda:N or mps: this device, even if
    gpus_per_actor is 0 (mps is untested)"""
    spread_model: bool = False
    """true: spread one model over the GPUs of a worker, if it does not fit on one; false: a copy on each GPU"""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    """scenes per batch; a resumed run keeps its first value [scenes]"""
    threads_per_actor: Annotated[int, Field(ge=1)] = 1
    """CPU threads per worker; another number may change single pixels [threads]"""
    attempts: Annotated[int, Field(ge=1)] = 3
    """maximum attempts for a failing sample, over all starts of the run [attempts]"""
    creep_gib: Annotated[float, Field(gt=0)] = 2.0
    """a worker is restarted if its memory has grown by this much since its first batches [GiB]"""
    hang_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """a batch is considered hung after this time, if it has also taken ten times as long as the slowest so far: its
    worker is ended, and the batch is given to another [s]"""
    share_seconds: Annotated[float, Field(gt=0)] = 60.0
    """how long a starting worker waits until it sees the driver's lock in the run folder; network shares may show it
    late [s]"""
    drain_seconds: Annotated[float, Field(gt=0)] = 300.0
    """after Ctrl-C or TERM, how long to wait for batches in progress [s]"""

    @model_validator(mode="after")
    def _ordered(self) -> ClusterConfig:
        if self.actors[0] > self.actors[1]:
            raise ValueError(f"actors: expected [least, most], got {list(self.actors)}")
        if self.gpus_per_actor > 1 and self.gpus_per_actor != int(self.gpus_per_actor):
            raise ValueError(f"gpus_per_actor: a share below 1 or a whole number, got {self.gpus_per_actor}")
        if self.spread_model and self.gpus_per_actor < 2:
            raise ValueError(f"spread_model: needs gpus_per_actor of 2 or more, got {self.gpus_per_actor:g}")
        return self


NO_DOMAINS = frozenset({"real", "source"})
"""what exports and reviews call the images that were not translated"""


class AugmentConfig(Record):
    """A run: which labelled dataset to translate, to which domains, and how."""

    dataset: DatasetConfig
    domains: Annotated[tuple[str, ...], BeforeValidator(_as_names), Field(min_length=1)]
    """target domains: night, rain, dusk, fog, night_rain, or paths of profiles that you built"""
    model: str = "street-mini"
    """street-mini, street-photo, a folder in diffusers' format, or a hub id (`owner/name@revision`); or a group:
    `{base: NAME, loras: [{path: FILE, weight: 1}], vae: NAME}`"""
    method: MethodChoice = Field(default_factory=lambda: MethodChoice(settings=find_method("s2st").settings()))
    validation: ValidationSettings = ValidationSettings()
    run: RunConfig = RunConfig()
    cluster: ClusterConfig = ClusterConfig()

    @field_validator("model", mode="before")
    @classmethod
    def _one_string(cls, model: object) -> object:
        """A group becomes the string that models are named by everywhere; what is wrong in it is one line."""
        if not isinstance(model, Mapping):
            return model
        try:
            choice = ModelChoice.model_validate(model)
        except ValidationError as error:
            raise ValueError(wrong_values(error.errors())) from None
        if flags := [*flags_as_numbers(model, choice)]:
            raise ValueError("; ".join(flags))
        return spell_choice(choice)

    @field_validator("domains")
    @classmethod
    def _no_domain_twice(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({d for d in domains if domains.count(d) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        for taken in sorted(NO_DOMAINS & {Path(d).stem for d in domains}):
            raise ValueError(
                f"{taken!r} stands for your own images in exports and reviews; give the domain another name"
            )
        return domains

    def for_method(self) -> MethodConfig[Any]:
        """What the method is told of all this."""
        return MethodConfig(
            name=self.method.name,
            settings=self.method.settings,
            model=self.model,
            domains=self.domains,
            validation=self.validation,
            threads=self.cluster.threads_per_actor,
            gpus=int(self.cluster.gpus_per_actor) if self.cluster.spread_model else 1,
        )
