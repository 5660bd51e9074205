"""LoRA adapters (arXiv 2106.09685), fused: W + weight alpha / rank B A, whoever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from s2st_aug.errors import ModelError

_PART = re.compile(
    r"(?P<module>.+?)[._](?:lora_linear_layer\.|lora\.|lora_)?(?P<part>down|up|A|B|lora_down|lora_up|lora_A|lora_B)"
    r"(?:\.default)?\.weight"
)
_ALPHA = re.compile(r"(?P<module>.+?)(?:\.lora)?\.alpha")
_NETWORKS = (
    ("lora_unet_", "unet"), ("unet.", "unet"), ("lora_te1_", "text_encoder"), ("lora_te_", "text_encoder"),
    ("text_encoder.", "text_encoder"), ("lora_te2_", "text_encoder_2"), ("text_encoder_2.", "text_encoder_2"),
)  # fmt: skip
_ORIGINAL = re.compile(r"(input|middle|output)_blocks?_(?:(\d+)_)?1_(?=transformer_blocks|proj_in|proj_out)")
FOREIGN = {"dora_scale": "DoRA", "hada_w": "LoHa", "lokr_w": "LoKr", ".oft_": "OFT"}


@dataclass(slots=True)
class _Update:
    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


@dataclass(frozen=True, slots=True)
class LoraFile:
    """An adapter's updates by network and flattened module name."""

    path: Path
    updates: dict[str, dict[str, _Update]] = field(default_factory=dict)


def read_lora(path: Path) -> LoraFile:
    """An adapter of diffusers', PEFT's or kohya's form; raises ModelError, one line, for any other."""
    if path.suffix != ".safetensors":
        raise ModelError(f"LoRA {path}: expected a .safetensors file; pickles are not read")
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise ModelError(f"LoRA {path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"LoRA {path}: cannot be read ({str(error).splitlines()[0]})") from None
    found = LoraFile(path)
    for key, tensor in state.items():
        if foreign := next((kind for mark, kind in FOREIGN.items() if mark in key), None):
            raise ModelError(f"LoRA {path}: has the weight {key}: it is a {foreign}, but only plain LoRA is supported")
        _place(found, key, tensor)
    for network, updates in found.updates.items():
        for module, update in updates.items():
            if update.down is None or update.up is None:
                raise ModelError(f"LoRA {path}: {network} {module} has only one of its two matrices (down and up)")
    if not found.updates:
        raise ModelError(f"LoRA {path}: has no LoRA weights")
    return found


def _place(found: LoraFile, key: str, tensor: Tensor) -> None:
    alpha, part = _ALPHA.fullmatch(key), _PART.fullmatch(key)
    match = alpha or part
    if match is None:
        raise ModelError(f"LoRA {found.path}: has the weight {key}, which a plain LoRA does not have")
    prefix, network = next(((p, n) for p, n in _NETWORKS if key.startswith(p)), ("", ""))
    own = found.updates.setdefault(network or "unet", {})
    update = own.setdefault(_flat(match["module"][len(prefix) :]), _Update())
    if alpha:
        update.alpha = float(tensor)
    elif match["part"].removeprefix("lora_") in ("down", "A"):
        update.down = tensor
    else:
        update.up = tensor


def _flat(module: str) -> str:
    """A module's name as kohya spells it: `down_blocks_0_attentions_0`, whatever the file's own way is."""
    name = module.replace(".processor.", ".").replace(".", "_").removeprefix("text_model_")
    name = re.sub(r"_to_out$", "_to_out_0", _ORIGINAL.sub(_from_original, name))
    in_text = re.search(r"self_attn_to_(q|k|v|out_0)$", name)
    if in_text:
        kind = {"out_0": "out"}.get(in_text[1], in_text[1])
        name = name[: in_text.start()] + f"self_attn_{kind}_proj"
    return name


def _from_original(match: re.Match[str]) -> str:
    """An attention of SDXL's UNet by its place in the original code, two layers a level, as diffusers names it."""
    side, number = match[1], int(match[2] or 0)
    if side == "middle":
        return "mid_block_attentions_0_"
    at = number - 1 if side == "input" else number
    return f"{'down' if side == 'input' else 'up'}_blocks_{at // 3}_attentions_{at % 3}_"


@torch.no_grad()
def fuse_lora(networks: Mapping[str, torch.nn.Module], lora: LoraFile, weight: float) -> int:
    """Add an adapter to the networks' own weights; how many layers it changed.

    Raises ModelError for a layer that a network lacks or that has another shape.
    """
    changed = 0
    for name, updates in lora.updates.items():
        if name not in networks:
            raise ModelError(
                f"LoRA {lora.path}: it changes {name}, which this model does not have; it may be made for SDXL"
            )
        layers = {_flat(path): m for path, m in networks[name].named_modules() if isinstance(m, _LAYERS)}
        for module, update in updates.items():
            layer = layers.get(module)
            if layer is None:
                raise ModelError(
                    f"LoRA {lora.path}: {name} has no layer {module}; the LoRA may be made for another model"
                )
            delta = _delta(update)
            if delta.numel() != layer.weight.numel() or delta.shape[0] != layer.weight.shape[0]:
                came, wanted = ("x".join(map(str, t.shape)) for t in (delta, layer.weight))
                raise ModelError(
                    f"LoRA {lora.path}: {name} {module} has the shape {wanted}, the LoRA's update {came}; "
                    "it may be made for another model"
                )
            layer.weight += weight * delta.reshape(layer.weight.shape).to(layer.weight)
            changed += 1
    return changed


_LAYERS = (torch.nn.Linear, torch.nn.Conv2d)


def _delta(update: _Update) -> Tensor:
    """alpha / rank B A, in float32."""
    assert update.down is not None and update.up is not None  # `read_lora` refuses halves
    down, up = update.down.float(), update.up.float()
    rank = down.shape[0]
    product = up.flatten(1) @ down.flatten(1)
    return product.reshape(up.shape[0], *down.shape[1:]) * ((rank if update.alpha is None else update.alpha) / rank)
