"""Writing a trained model as a folder in Stable Diffusion format: fp16
safetensors, tokenizer, scheduler, model card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from s2st_aug.diffusion.networks import SCHEDULER_CONFIG
from s2st_aug.training.prompts import known_words

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.35.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}


FLOW_INDEX = {
    "_class_name": "StableDiffusion3Pipeline",
    "_diffusers_version": "0.35.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": [None, None],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "tokenizer_3": [None, None],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}


@dataclass(frozen=True, eq=False)
class Networks:
    """The parts of a model, with the vocabulary that its tokenizer is made of."""

    unet: Any
    vae: Any
    text_encoder: Any
    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]


def write_model(folder: Path, networks: Networks, *, max_tokens: int, dtype: torch.dtype = torch.float16) -> None:
    """Write every part but the card; existing weights are replaced.

    The text encoder stays in float32: transformers loads a file in its own precision, diffusers in float32, and a plain
    `StableDiffusionPipeline.from_pretrained` would mix the two.
    """
    scheduler = {"_class_name": "DDIMScheduler", **SCHEDULER_CONFIG}
    parts = {"unet": networks.unet, "vae": networks.vae, "text_encoder": networks.text_encoder}
    _write_parts(folder, MODEL_INDEX, scheduler, parts, dtype)
    write_tokenizer(folder / "tokenizer", networks.vocabulary, networks.merges, max_tokens=max_tokens)


def write_flow(
    folder: Path,
    networks: Mapping[str, Any],
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    *,
    max_tokens: int,
) -> None:
    """Write a small Stable Diffusion 3 without T5 (`transformer`, `vae`, two text encoders); weights are replaced."""
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}
    _write_parts(folder, FLOW_INDEX, scheduler, networks, torch.float16)
    for name in ("tokenizer", "tokenizer_2"):
        write_tokenizer(folder / name, vocabulary, merges, max_tokens=max_tokens)


def _write_parts(
    folder: Path, index: object, scheduler: object, networks: Mapping[str, Any], dtype: torch.dtype
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    for name, network in networks.items():
        if name.startswith("text_encoder"):
            network.config.to_json_file(_made(folder / name / "config.json"))
            _save_weights(folder / name / "model.safetensors", network, torch.float32)
            continue
        network.save_config(folder / name)
        _drop_foreign_keys(folder / name / "config.json")
        _save_weights(folder / name / "diffusion_pytorch_model.safetensors", network, dtype)


def _drop_foreign_keys(path: Path) -> None:
    """diffusers writes keys that it warns about on reading."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["_class_name"] == "AutoencoderTiny":
        content.pop("block_out_channels", None)
    content.pop("_name_or_path", None)
    _write_json(path, content)


def _save_weights(path: Path, network: torch.nn.Module, dtype: torch.dtype) -> None:
    """Floating-point tensors in `dtype`; positions and the like stay as they are. The order of names is stable."""
    state = {
        k: (v.to(dtype) if v.is_floating_point() else v).contiguous().cpu()
        for k, v in sorted(network.state_dict().items())
    }
    save_file(state, path, metadata={"format": "pt"})


def write_tokenizer(
    folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]], *, max_tokens: int
) -> None:
    """CLIP's tokenizer files (vocab.json, merges.txt and their config), and words.txt: the words it holds whole."""
    _write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8"
    )
    (folder / "words.txt").write_text("\n".join(known_words(vocabulary)) + "\n", encoding="utf-8")
    specials = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    _write_json(folder / "special_tokens_map.json", specials)
    config = {
        "model_max_length": max_tokens,
        "tokenizer_class": "CLIPTokenizer",
        "do_lower_case": True,
        "add_prefix_space": False,
    }
    _write_json(folder / "tokenizer_config.json", config | specials)


def read_vocabulary(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """What `write_tokenizer` wrote."""
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    merges = [(left, right) for left, right in (line.split(" ") for line in lines if line)]
    return json.loads((folder / "vocab.json").read_text(encoding="utf-8")), merges


def _write_json(path: Path, content: object) -> None:
    _made(path).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
