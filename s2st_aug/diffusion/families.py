"""The families of models that can be used, and of which networks each is made: told from a folder's configs alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"  # stems of weight files, by who wrote them


@dataclass(frozen=True, slots=True)
class Family:
    """What the folders of one kind of model hold."""

    name: str
    pipelines: tuple[str, ...]  # what model_index.json may call it
    denoiser: str  # the folder of the network that predicts noise, v or velocity
    denoiser_class: str
    networks: Mapping[str, str]  # folder -> stem of its weight files
    optional: frozenset[str] = frozenset()  # folders that a repository may lack
    encoders: Mapping[str, str] = field(default_factory=dict)  # of a flow: folder -> class of the text encoder
    autoencoders: tuple[str, ...] = ("AutoencoderKL",)  # of a flow: the classes that it may have

    @property
    def is_flow(self) -> bool:
        """Trained as a rectified flow, not on noise at a schedule's levels."""
        return self.denoiser == "transformer"


STABLE_DIFFUSION = Family(
    "Stable Diffusion",
    ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "unet",
    "UNet2DConditionModel",
    {"unet": DIFFUSERS, "vae": DIFFUSERS, "text_encoder": TRANSFORMERS},
)
SDXL = Family(
    "SDXL",
    ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "unet",
    "UNet2DConditionModel",
    {"unet": DIFFUSERS, "vae": DIFFUSERS, "text_encoder": TRANSFORMERS, "text_encoder_2": TRANSFORMERS},
)


def _flow(
    name: str, pipelines: tuple[str, ...], denoiser_class: str, encoders: Mapping[str, str], *autoencoders: str
) -> Family:
    networks = {"transformer": DIFFUSERS, "vae": DIFFUSERS, **dict.fromkeys(encoders, TRANSFORMERS)}
    optional = frozenset({"text_encoder_3"} & encoders.keys())
    return Family(name, pipelines, "transformer", denoiser_class, networks, optional, encoders, autoencoders)


_CLIP = "CLIPTextModelWithProjection"
SD3 = _flow(
    "Stable Diffusion 3",
    ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "SD3Transformer2DModel",
    {"text_encoder": _CLIP, "text_encoder_2": _CLIP, "text_encoder_3": "T5EncoderModel"},
    "AutoencoderKL",
    "AutoencoderTiny",
)
FLUX2 = _flow(
    "FLUX.2-klein-base",
    ("Flux2KleinPipeline",),
    "Flux2Transformer2DModel",
    {"text_encoder": "AutoModel"},
    "AutoencoderKLFlux2",
)
Z_IMAGE = _flow(
    "Z-Image",
    ("ZImagePipeline", "ZImageImg2ImgPipeline"),
    "ZImageTransformer2DModel",
    {"text_encoder": "AutoModel"},
    "AutoencoderKL",
)
QWEN_IMAGE = _flow(
    "Qwen-Image",
    ("QwenImagePipeline", "QwenImageImg2ImgPipeline"),
    "QwenImageTransformer2DModel",
    {"text_encoder": "Qwen2_5_VLForConditionalGeneration"},
    "AutoencoderKLQwenImage",
)
FAMILIES = (STABLE_DIFFUSION, SDXL, SD3, FLUX2, Z_IMAGE, QWEN_IMAGE)


def family_of(index: Mapping[str, Any], denoiser_class: str, folders: Collection[str]) -> Family:
    """The family of a model by what its index says; without one, by its denoising network and its folders.

    What is of no known family is taken for Stable Diffusion, and `supported` says what it is instead.
    """
    for family in FAMILIES:
        if index.get("_class_name") in family.pipelines:
            return family
    for family in FAMILIES:
        if family.is_flow and family.denoiser_class == denoiser_class:
            return family
    return SDXL if "text_encoder_2" in folders and "_class_name" not in index else STABLE_DIFFUSION
