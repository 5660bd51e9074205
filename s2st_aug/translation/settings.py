"""Every setting of the method, and the presets.

The paper fixes few of them; each default here is ours unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from s2st_aug.errors import ConfigError, did_you_mean, wrong_values

EtaKind = Literal["profile", "uniform", "shuffled", "inverted"]
Bands = Literal["whole", "bands", "both"]
Views = Literal["channels", "principal", "both"]


class MethodSettings(BaseModel):
    """How an image is translated. `preset` names the defaults that the other values started from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: Literal["draft", "standard", "paper", "reference"] = "standard"
    """the defaults that the other settings start from"""
    # path
    steps: int = Field(16, ge=2, le=1000, description="DDIM steps, the same number both ways [steps]")
    solver: Literal["ddim", "dpm2m"] = Field(
        "ddim", description="dpm2m: second order multistep, no more evaluations a step"
    )
    inversion_refinements: int = Field(
        0, ge=0, le=10, description="fixed-point passes more for each inversion step [evaluations a step]"
    )
    guidance: float = Field(
        4.0, ge=1.0, le=20.0, description="classifier-free guidance towards the target prompt [factor]"
    )
    guidance_from: float = Field(0.0, ge=0.0, le=1.0, description="share of the steps before guidance starts [share]")
    guidance_until: float = Field(
        0.5, ge=0.0, le=1.0, description="share of the steps after which guidance ends [share]"
    )
    seed_noise: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="variety: share of fresh noise in the seed, drawn from the sample's key [share]",
    )
    # seed translation
    st_space: Literal["seed", "x0"] = Field(
        "seed", description="seed: no network; x0: a forward and a backward pass an iteration"
    )
    st_iterations: int = Field(10, ge=0, le=200, description="the paper's: 10 [iterations]")
    st_rate: float = Field(0.02, gt=0, le=1, description="Adam's step in seed space [rate]")
    st_structure: float = Field(1.0, ge=0, le=100)
    """weight of the structure loss [factor]"""
    st_appearance: float = Field(4.0, ge=0, le=100)
    """weight of the appearance loss [factor]"""
    st_tolerance: float = Field(0.0, ge=0, description="the loss at which a sample stops; 0: never [loss]")
    # trajectory optimisation
    to_method: Literal["latents", "null_text", "direct", "none"] = "latents"
    """what is optimised at each step: latents, the predicted clean latent; null_text, the empty prompt's embedding (the
    paper's); direct, nothing, but what each step misses the source's path by is put back; none, nothing"""
    to_iterations: int = Field(10, ge=0, le=200, description="inner iterations a step; the paper's: 10 [iterations]")
    to_rate: float = Field(
        0.05, gt=0, le=1, description="Adam's step on the predicted clean latent or the embedding [rate]"
    )
    to_structure: float = Field(1.0, ge=0, le=100)
    """weight of the structure loss [factor]"""
    to_appearance: float = Field(4.0, ge=0, le=100)
    """weight of the appearance loss [factor]"""
    to_tolerance: float = Field(0.0, ge=0, description="the loss at which a sample stops; 0: never [loss]")
    to_from: float = Field(0.4, ge=0.0, le=1.0, description="share of the steps before it starts [share]")
    # losses
    eta: EtaKind = "profile"
    """weights of the appearance loss: the profile's, all alike, or (for comparison) its own shuffled or inverted"""
    source: str = Field(
        "day", min_length=1, description="the source domain whose eta counts, of those that a profile was built against"
    )
    bands: Bands = Field("both", description="histograms over the whole image, over horizontal bands, or both")
    views: Views = Field(
        "channels",
        description="histograms of the latent channels (the paper's), of their principal directions, or both",
    )
    structure_sides: Literal["one", "both"] = Field(
        "both", description="one: missing source edges cost, new ones (a headlight) are free; both: the paper's"
    )
    tail: float = Field(
        0.01,
        ge=0,
        lt=0.5,
        description="outer share of the target's quantiles that is not asked for, at either end [share]",
    )
    label_aware: bool = Field(True, description="use the labels where there are any")
    label_weight: float = Field(
        10.0, ge=0, le=50, description="how much more structure counts inside of labelled objects [factor]"
    )
    structure_elsewhere: float = Field(
        1.0,
        ge=0,
        le=1,
        description="how much structure counts outside of labelled objects; 0: the model is free there [factor]",
    )
    label_appearance: float = Field(
        0.2, ge=0, le=50, description="how much less appearance counts inside of labelled objects [factor]"
    )
    label_detail: float = Field(0.8, ge=0, le=2, description="`detail` inside of labelled objects [factor]")
    # detail at the source's own size
    detail: float = Field(
        0.5, ge=0, le=2, description="how much of the source's fine structure is put back; 0: none [factor]"
    )
    detail_floor: float = Field(
        4.0, gt=0, le=64, description="noise floor in grey levels: contrast below it is not put back [grey levels]"
    )
    # lights, laid over variants of night, dusk and night_rain
    lights: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how strongly lamps, headlights and windows shine at night; 0: none are added [factor]",
    )
    light_map: str | None = Field(None, description="weights of the light map; null: the shipped ones")
    # arithmetic
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """arithmetic of the networks; bfloat16 for GPUs"""
    autoencoder_dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="of the autoencoder; where half precision is not stable it stays in float32, with a warning",
    )
    compile: bool = Field(False, description="torch.compile the network; for CUDA")
    checkpointing: bool = Field(False, description="gradient checkpointing, for null-text on large models")

    def guidance_at(self, step: int) -> float:
        """The guidance scale of a step; 1 outside of its interval: the prompt alone, one evaluation instead of two."""
        return self.guidance if self.guidance_from <= step / self.steps < self.guidance_until else 1.0


_UNTUNED: dict[str, float] = {"st_structure": 0.3, "to_structure": 0.3, "detail": 0.6}  # of the presets but standard
_FROZEN: dict[str, float] = {"label_weight": 3.0, "label_appearance": 3.0, "label_detail": 0.6}
PRESETS: dict[str, MethodSettings] = {
    "draft": MethodSettings(preset="draft", steps=10, to_iterations=8, **_UNTUNED),
    "standard": MethodSettings(preset="standard"),
    "paper": MethodSettings(
        preset="paper",
        steps=50,
        to_method="null_text",
        to_rate=0.01,
        to_from=0.0,
        guidance=7.5,
        guidance_until=1.0,
        bands="whole",
        tail=0.0,
        label_aware=False,
        **_UNTUNED,
    ),
    "reference": MethodSettings(preset="reference", steps=50, guidance_until=1.0, **_UNTUNED, **_FROZEN),
}


def method_settings(
    preset: str = "standard",
    overrides: Mapping[str, Any] | None = None,
    presets: Mapping[str, MethodSettings] = PRESETS,
) -> MethodSettings:
    """A preset (a model's own: `presets_of`) with single settings overridden.

    Raises ConfigError naming every unknown key and wrong value at once.
    """
    if preset not in presets:
        raise ConfigError(f"unknown preset {preset!r}{did_you_mean(preset, presets)}")
    given = {**(overrides or {})}
    unknown = [
        f"method.{k}: unknown{did_you_mean(k, MethodSettings.model_fields)}"
        for k in given
        if k not in MethodSettings.model_fields
    ]
    known = {k: v for k, v in given.items() if k in MethodSettings.model_fields}
    try:
        settings = MethodSettings.model_validate({**presets[preset].model_dump(), **known})
    except pydantic.ValidationError as error:
        raise ConfigError("; ".join([*unknown, wrong_values(error.errors(), "method")])) from None
    if unknown:
        raise ConfigError("; ".join(unknown))
    return settings
