"""The record behind a run's YAML (docs/reference/config.md).

YAML only fills it; each method's and the gates' settings live beside their code.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from s2st_aug.formats.daylight import DARK, DAYTIME
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
    """Which scenes.

    `select` keeps those whose image attribute is one of the values; `limit` the first so many of them.
    """

    format: str
    """a dataset card: its name (bdd100k, cityscapes, coco, yolo, kitti, ...) or a YAML file"""
    root: str
    """the dataset's folder; read-only, not in the plan hash"""
    split: str = "train"
    """one of the card's splits"""
    select: dict[str, Values] = Field(default_factory=dict)
    """image attribute to the values that are taken, e.g. `timeofday: [daytime]`; one value may stand
    alone"""
    limit: Annotated[int, Field(ge=1)] | None = None
    """take only the first so many scenes; null: all [scenes]"""
    darkest_day: Annotated[float, Field(ge=0, le=255)] = DARK
    """an image that is selected as `timeofday: daytime` and has a lower mean luma is listed and skipped; 0 takes
    all [grey levels]"""
    absent_images: Literal["skip", "fail"] = "skip"
    """what becomes of a scene whose image file is missing. skip: it is left out of the plan, before `limit`, and
    listed in logs/absent_images.jsonl; fail: a failed row each"""
    rescale_labels: bool = False
    """scale labels to the image file where they were drawn on an image of another size of the same proportions"""

    @property
    def checks_daylight(self) -> bool:
        """Whether the selection asks for day images, whose brightness then decides too."""
        return DAYTIME in self.select.get("timeofday", ()) and self.darkest_day > 0


class MethodChoice(Record):
    """The translator and its own settings. In YAML they are one group: `method: {name: s2st, preset: draft}`."""

    name: str = "s2st"
    """s2st, histogram, one that an installed package offers, or a class as package.module:Class"""
    settings: BaseModel
    """the method's own record; its keys stand beside `name`"""

    @model_serializer
    def _one_group(self, info: SerializationInfo) -> dict[str, Any]:
        return {"name": self.name, **self.settings.model_dump(mode=info.mode)}


class RunConfig(Record):
    """What belongs to the run as a whole. Users write `seed`; inside it is `rng_key`, for the seed is z_T there."""

    rng_key: Annotated[int, Field(ge=0, lt=2**63, validation_alias=AliasChoices("seed", "rng_key"))] = 0
    """the run's random integer: the same one gives the same pixels; `run.rng_key` is its former name [any
    integer]"""
    image_format: Literal["png", "jpeg"] = "png"
    """png is lossless; jpeg is quality 95 without chroma subsampling"""


class ClusterConfig(Record):
    """How the work is spread.

    Nothing here changes a pixel, but for `batch_size` (50 dB), which keeps the run's first value.
    """

    actors: Annotated[tuple[Count, Count], BeforeValidator(_as_range)] = (1, 2)
    """fewest and most workers, each with its own copy of the model; one number is both [workers]"""
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    """GPUs of a worker. 0: CPU; a share below 1 lets workers share a GPU [GPUs]"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto: the GPUs that gpus_per_actor gives an actor, else the CPU; cpu, cuda, cuda:N or mps: that one, also where
    gpus_per_actor is 0 (mps has not been run by us)"""
    spread_model: bool = False
    """true: the GPUs of an actor hold one model together, for a model that does not fit on one; else each holds its
    own"""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    """scenes translated at once; a resumed run keeps its first value [scenes]"""
    threads_per_actor: Annotated[int, Field(ge=1)] = 1
    """CPU threads of a worker; another number may move single pixels [threads]"""
    attempts: Annotated[int, Field(ge=1)] = 3
    """how often a failing sample is tried, over all starts of the run [attempts]"""
    creep_gib: Annotated[float, Field(gt=0)] = 2.0
    """a worker whose memory has grown by so much since its first batches is ended and started anew [GiB]"""
    hang_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """a batch that has been at a worker for so long, and for ten times as long as the slowest so far, has hung: its
    worker is ended, and the batch goes to another [s]"""
    share_seconds: Annotated[float, Field(gt=0)] = 60.0
    """how long a worker waits at its start to see the driver's lock in the run folder: shares may show it late
    [s]"""
    drain_seconds: Annotated[float, Field(gt=0)] = 300.0
    """how long Ctrl-C or TERM waits for batches under way [s]"""

    @model_validator(mode="after")
    def _ordered(self) -> ClusterConfig:
        if self.actors[0] > self.actors[1]:
            raise ValueError(f"actors: expected [least, most], got {list(self.actors)}")
        if self.gpus_per_actor > 1 and self.gpus_per_actor != int(self.gpus_per_actor):
            raise ValueError(f"gpus_per_actor: a share below 1 or a whole number, got {self.gpus_per_actor}")
        if self.spread_model and self.gpus_per_actor < 2:
            raise ValueError(f"spread_model: needs gpus_per_actor of 2 or more, got {self.gpus_per_actor:g}")
        return self


class AugmentConfig(Record):
    """A run: a labelled dataset in, variants of it in some domains out."""

    dataset: DatasetConfig
    domains: Annotated[tuple[str, ...], BeforeValidator(_as_names), Field(min_length=1)]
    """shipped profiles by name (night, rain, dusk, fog, night_rain), or paths of built ones"""
    model: str = "street-mini"
    """street-mini, street-photo, a folder in Stable Diffusion format, or a hub id (`owner/name@revision`); or a group:
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
            return spell_choice(ModelChoice.model_validate(model))
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg'][:1].lower()}{e['msg'][1:]}" for e in error.errors())
            raise ValueError("; ".join(wrong)) from None

    @field_validator("domains")
    @classmethod
    def _no_domain_twice(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({d for d in domains if domains.count(d) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
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
