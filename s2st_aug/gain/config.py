"""What a gain experiment is told: data, arms, seeds of the random numbers, training. YAML only fills it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2st_aug.config.load import apply_change, read_yaml, refuse_other_kind
from s2st_aug.errors import ConfigError, wrong_values
from s2st_aug.export.options import UnjudgedPolicy
from s2st_aug.formats.yaml_text import keys_of, refuse_flags
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
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Photos(_Record):
    """A folder of photos, with a folder of id masks of the same stems where `labels` is given.

    `first` to `last` by stem, inclusive.
    """

    images: DataPath
    """folder of photos"""
    labels: DataPath | None = None
    """folder of id masks of the same stems"""
    prefix: str = ""
    """only photos whose names begin with it"""
    first: str = ""
    """the first photo by stem, inclusive; empty: from the beginning"""
    last: str = "\U0010ffff"
    """the last photo by stem, inclusive; by default the end"""


class FirstTraining(_Record):
    """On real images alone, once, before all arms: they go on from its weights."""

    steps: Annotated[int, Field(ge=1)] = 3000
    """how many [updates]"""
    learning_rate: float = 3e-3
    """Adam's [rate]"""


class Training(_Record):
    """The same for every arm: what is equal is the number of updates and of images seen."""

    first: FirstTraining | None = None
    """a training on real images alone, once, from whose weights all arms go on; null: every arm begins from
    nothing"""
    steps: Annotated[int, Field(ge=1)] = 500
    """updates of an arm [updates]"""
    batch: Annotated[int, Field(ge=1)] = 8
    """images of an update [images]"""
    size: tuple[int, int] = (256, 192)
    """width and height at which images are trained on [px]"""
    learning_rate: float = 2e-3
    """Adam's [rate]"""
    replaced: Annotated[float, Field(gt=0, le=1)] = 0.5
    """probability that a drawn image is replaced by its variant [share]"""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """channels of the network's levels, from the finest [channels]"""
    cell: Literal[2, 4] = 2
    """detection: side of an output cell [px]"""
    crop: tuple[int, int] | None = None
    """detection: width and height of crops that updates see, most of them around an object, while tests see whole
    images; null: whole images [px]"""


class SegmentationData(_Record):
    """Photos with id masks; test photos are native, never synthetic."""

    train: Photos
    """day photos to train on"""
    test: Photos
    """photos of the target domain to test on, native ones, never synthetic"""
    references: Photos
    """photos of the target domain that the controls take colours from"""
    classes: tuple[str, ...]
    """names of the ids 0, 1, ... of the masks"""
    void: int
    """id of pixels that count neither in training nor in the test [no unit]"""


class DetectionData(_Record):
    """Labelled datasets by format and root; each test set is reported on its own."""

    format: Literal["bdd100k", "cityscapes"] = "bdd100k"
    """how the trees are laid out"""
    train: Path
    """root of the dataset to train on"""
    split: str = "train"
    """its split"""
    test: dict[str, Path]
    """name of a test set to the root of a dataset; each is reported on its own"""
    test_split: str = "val"
    """split of the test sets"""
    references: dict[str, Photos]
    """domain to photos of it that the controls take colours from"""
    truths: dict[str, Path] = {}
    """domain to the training images' true renders, a tree of the same file names; needed by the arms that know the
    truth"""
    classes: tuple[str, ...]
    """categories that are trained and tested"""


class ExternalData(_Record):
    """Somebody else's trainer. `command` is run once per arm and rng_key, with {dataset}, {arm}, {rng_key} and {out}
    filled in.

    It writes `{out}/measures.json`: an object of numbers, `ap` among them. `datasets` names each arm's training set.
    """

    command: tuple[str, ...]
    """your own trainer with its arguments; {dataset}, {arm}, {rng_key} and {out} are filled in, and it writes
    `{out}/measures.json`"""
    datasets: dict[ArmName, Path]
    """arm to its training set"""


class GainConfig(_Record):
    """One experiment. `run` is the run folder whose variants the S2ST arms
    use (detection: one run may hold several domains).
    """

    task: Literal["segmentation", "detection", "external"]
    """what is trained: a small U-Net, a small CenterNet, or your own trainer; the group of the same name says on
    what"""
    domains: tuple[str, ...]
    """domains whose variants take part"""
    segmentation: SegmentationData | None = None
    detection: DetectionData | None = None
    external: ExternalData | None = None
    run: Path | None = None
    """run folder whose variants the S2ST arms use; for detection it may hold several domains"""
    arms: tuple[ArmName, ...] = ("real_only", *CONTROLS, "s2st_ungated", "s2st_gated")
    """what is compared; `real_only` must be among them"""
    unjudged: UnjudgedPolicy = "ignore"
    """labels that no check could judge, in the gated arms: left out of the training (`ignore`), or trained as they are
    unless a check doubts them (`train`), or all of them (`train-all`)"""
    rng_keys: tuple[int, ...] = (0, 1, 2)
    """one training of every arm for each [no unit]"""
    training: Training = Training()
    cpus_per_training: Annotated[int, Field(ge=1)] = 1
    """CPUs of a training [CPUs]"""
    gpus_per_training: Annotated[float, Field(ge=0)] = 0
    """GPUs that are reserved for a training; a share lets several trainings use one [GPUs]"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto: the GPU from gpus_per_training, or the CPU if that is 0; cpu, cuda, cuda:N or mps: this device, even if
    gpus_per_training is 0 (mps is untested). Your own trainer (`external`) chooses its device itself"""
    out: Path
    """folder of results; a training that is there is not done again"""

    @model_validator(mode="after")
    def _consistent(self) -> GainConfig:
        if getattr(self, self.task) is None:
            raise ValueError(f"task {self.task} needs a section `{self.task}`")
        if self.task != "external" and self.run is None and any(arm.startswith("s2st") for arm in self.arms):
            raise ValueError("the S2ST arms need `run`, a run folder")
        if self.external is not None and set(self.arms) - self.external.datasets.keys():
            raise ValueError("external.datasets must name a training set for every arm")
        if self.task == "external" and self.device != "auto":
            raise ValueError("external.command says where it trains, device cannot")
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
        config = GainConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {wrong_values(error.errors(), known=keys_of(GainConfig))}") from None
    refuse_flags(raw, config, str(path))
    return config
