"""A model as a config names it: a base, and what is put on it (LoRA adapters, another autoencoder).

Everywhere else a model is one string: the base alone, or the choice as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from s2st_aug.errors import ModelError, wrong_values

WEIGHTS = Path(__file__).parents[1] / "weights"
EMBEDDED = {"street-mini": WEIGHTS / "street-mini", "street-photo": WEIGHTS / "street-photo"}


class LoraChoice(BaseModel):
    """One LoRA adapter, fused into the networks when the model is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """a .safetensors file, as diffusers, PEFT or kohya write it"""
    weight: float = Field(1.0, ge=-4, le=4)
    """how strongly it counts; 0: not at all [factor]"""


class ModelChoice(BaseModel):
    """What `model: {base: ..., loras: [...], vae: ...}` can say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    base: str = Field(min_length=1)
    """an embedded name, a folder, a hub id, or a checkpoint in one .safetensors file"""
    config: str | None = None
    """whose configs and tokenizer a checkpoint in one file takes: a folder or hub id of its family, such as
    stable-diffusion-v1-5/stable-diffusion-v1-5; no weights of it are read or downloaded"""
    loras: tuple[LoraChoice, ...] = ()
    """fused in this order"""
    vae: str | None = None
    """another autoencoder for the same latents: a folder or a hub id, such as madebyollin/taesd for quick previews"""


def read_choice(model: str) -> ModelChoice:
    """The choice that a string spells; raises ModelError."""
    if not model.startswith("{"):
        return ModelChoice(base=model) if model else ModelChoice.model_construct(base="")
    try:
        return ModelChoice.model_validate_json(model)
    except ValidationError as error:
        raise ModelError(wrong_values(error.errors(), "model")) from None


def single_file(choice: ModelChoice) -> Path | None:
    """The base's checkpoint where it is one file, whose configs another model lends."""
    path = Path(choice.base).expanduser()
    return path if choice.config is not None and path.suffix == ".safetensors" else None


def with_absolute_paths(model: str) -> str:
    """The same model for a process in another folder: what is a file or folder here is named by its absolute path."""
    choice = read_choice(model)

    def absolute(name: str) -> str:
        place = Path(name).expanduser()
        return str(place.absolute()) if name not in EMBEDDED and place.exists() else name

    loras = tuple(lora.model_copy(update={"path": absolute(lora.path)}) for lora in choice.loras)
    others = {"config": choice.config, "vae": choice.vae}
    places = {key: None if name is None else absolute(name) for key, name in others.items()}
    return spell_choice(choice.model_copy(update={"base": absolute(choice.base), "loras": loras, **places}))


def spell_choice(choice: ModelChoice) -> str:
    """The base's name where nothing is put on it; else JSON, the same for the same choice."""
    if not choice.loras and choice.vae is None and choice.config is None:
        return choice.base
    return json.dumps(choice.model_dump(exclude_none=True), sort_keys=True)
