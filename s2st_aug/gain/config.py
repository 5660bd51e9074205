"""What a gain experiment is told: data, arms, seeds of the random numbers, training. YAML only fills it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2st_aug.config.load import apply_change, read_yaml, refuse_other_kind
from s2st_aug.errors import ConfigError, did_you_mean
from s2st_aug.export.options import UnjudgedPolicy
from s2st_aug.real_data import DataPath

ArmName = Literal[
    "real_only",
    "copies",
    "photometric",
    "weather",
    "colour_transfer",
    "histogram",
    "photometric_once",
    "weather_once",
    "colour_transfer_once",
    "histogram_once",
    "s2st_ungated",
    "s2st_gated",
    "s2st_gated_unread",
    "colour_transfer_true_lights",
    "true_render",
]
CONTROLS: tuple[ArmName, ...] = ("copies", "photometric", "weather", "colour_transfer", "histogram")
ONCE: tuple[ArmName, ...] = ("photometric_once", "weather_once", "colour_transfer_once", "histogram_once")
"""one fixed picture of each image and domain, as the S2ST arms have"""
ORACLES: tuple[ArmName, ...] = ("colour_transfer_true_lights", "true_render")
"""what nobody has outside of rendered scenes: never a control to beat, but what there is to gain"""


LEARNED_FROM = ("format", "train", "split", "classes", "void")  # of a task's data: what the first training sees


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Photos(_Record):
    """A folder of photos, with a folder of id masks of the same stems where `labels` is given.

    `first` to `last` by stem, inclusive.
    """

    images: DataPath
    labels: DataPath | None = None
    prefix: str = ""
    first: str = ""
    last: str = "\U0010ffff"


class FirstTraining(_Record):
    """On real images alone, once, before all arms: they go on from its weights."""

    steps: Annotated[int, Field(ge=1)] = 3000
    learning_rate: float = 3e-3


class Training(_Record):
    """The same for every arm: what is equal is the number of updates and of images seen."""

    first: FirstTraining | None = None
    steps: Annotated[int, Field(ge=1)] = 500
    batch: Annotated[int, Field(ge=1)] = 8
    size: tuple[int, int] = (256, 192)  # width, height
    learning_rate: float = 2e-3
    replaced: Annotated[float, Field(gt=0, le=1)] = 0.5  # probability that a drawn image is replaced by its counterpart
    widths: tuple[int, ...] = (16, 32, 64, 128)
    cell: Literal[2, 4] = 2  # detection: pixels of an output cell
    crop: tuple[int, int] | None = (
        None  # detection: updates see crops of this size, most of them around an object; tests whole images
    )


class SegmentationData(_Record):
    """Photos with id masks; test photos are native, never synthetic."""

    train: Photos
    test: Photos
    references: Photos
    classes: tuple[str, ...]
    void: int


class DetectionData(_Record):
    """Labelled datasets by format and root; each test set is reported on its own."""

    format: Literal["bdd100k", "cityscapes"] = "bdd100k"
    train: Path
    split: str = "train"
    test: dict[str, Path]
    test_split: str = "val"
    references: dict[str, Photos]
    truths: dict[str, Path] = {}  # the training images' true renders by domain, a tree of the same names; for oracles
    classes: tuple[str, ...]


class ExternalData(_Record):
    """Somebody else's trainer. `command` is run once per arm and rng_key, with {dataset}, {arm}, {rng_key} and {out}
    filled in.

    It writes `{out}/measures.json`: an object of numbers, `ap` among them. `datasets` names each arm's training set.
    """

    command: tuple[str, ...]
    datasets: dict[ArmName, Path]


class GainConfig(_Record):
    """One experiment. `run` is the run folder whose variants the S2ST arms
    use (detection: one run may hold several domains).
    """

    task: Literal["segmentation", "detection", "external"]
    domains: tuple[str, ...]
    segmentation: SegmentationData | None = None
    detection: DetectionData | None = None
    external: ExternalData | None = None
    run: Path | None = None
    arms: tuple[ArmName, ...] = ("real_only", *CONTROLS, "s2st_ungated", "s2st_gated")
    unjudged: UnjudgedPolicy = "ignore"  # labels that no check could judge, in the gated arms: void, or trained
    rng_keys: tuple[int, ...] = (0, 1, 2)
    training: Training = Training()
    cpus_per_training: Annotated[int, Field(ge=1)] = 1
    gpus_per_training: Annotated[float, Field(ge=0)] = 0
    out: Path

    @model_validator(mode="after")
    def _consistent(self) -> GainConfig:
        if getattr(self, self.task) is None:
            raise ValueError(f"task {self.task} needs a section `{self.task}`")
        if self.task != "external" and self.run is None and any(arm.startswith("s2st") for arm in self.arms):
            raise ValueError("the S2ST arms need `run`, a run folder")
        if self.external is not None and set(self.arms) - self.external.datasets.keys():
            raise ValueError("external.datasets must name a training set for every arm")
        truths = self.detection.truths if self.task == "detection" and self.detection else {}
        if set(self.arms) & set(ORACLES) and set(self.domains) - truths.keys():
            raise ValueError("the arms " + ", ".join(ORACLES) + " need detection.truths, a tree for every domain")
        if "real_only" not in self.arms:
            raise ValueError("arms must hold real_only: everything is compared with it")
        return self

    def sha256(self) -> str:
        """Hash of all that decides one training: data, domains, run, training.

        Not which arms and keys are asked for.
        """
        decide = {"task", "domains", "segmentation", "detection", "external", "training", "unjudged"}
        return hashlib.sha256(self.model_dump_json(include=decide).encode()).hexdigest()

    def first_sha256(self) -> str:
        """Hash of all that decides the weights which every arm starts from, where `training.first` is there."""
        arms_alone = {"steps": True, "learning_rate": True, "replaced": True}
        told = self.model_dump(mode="json", include={"task", "segmentation", "detection"})
        told["training"] = self.training.model_dump(mode="json", exclude=arms_alone)
        for group in ("segmentation", "detection"):
            told[group] = {k: v for k, v in (told[group] or {}).items() if k in LEARNED_FROM}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def load_config(path: Path, changes: Sequence[str] = ()) -> GainConfig:
    """A checked config, with `key=value` changes over it; raises ConfigError with every problem in one line."""
    raw = read_yaml(path)
    refuse_other_kind(raw, "`s2st-aug gain`", str(path))
    for change in changes:
        apply_change(raw, change)
    try:
        return GainConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_problem(e) for e in error.errors())) from None


def _problem(error: object) -> str:
    assert isinstance(error, dict)
    where = ".".join(str(part) for part in error["loc"])
    hint = did_you_mean(str(error["loc"][-1]), GainConfig.model_fields) if error["type"] == "extra_forbidden" else ""
    return f"{where}: {error['msg']}{hint}" if where else str(error["msg"])
