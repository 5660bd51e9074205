"""What one evaluation of a model's network costs, read from its folder without loading a weight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from s2st_aug.diffusion.components import Network
from s2st_aug.diffusion.families import Family
from s2st_aug.diffusion.model import working_size
from s2st_aug.diffusion.model_choice import read_choice, single_file
from s2st_aug.diffusion.model_files import find_model, read_config, read_family, weight_files

FLOW_SIDE = 1024  # pixels: the native size of every rectified flow that is read
TEXT_TOKENS = 256  # of a prompt, for a transformer that reads them beside the image's
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, slots=True)
class Workload:
    """A model's network: operations of one evaluation at the working size (w, h), and bytes of all weights in use."""

    operations: float
    counted: str  # how
    size: tuple[int, int]
    weights: int
    half: bool = False  # it computes in the precision of its files, and that is half


def workload_of(model: str, photo: tuple[int, int]) -> Workload:
    """What one evaluation of a model is for photos of this size; raises ModelError."""
    folder, choice = find_model(model), read_choice(model)
    family = read_family(folder)
    file = single_file(choice)
    weights = [file] if file else [
        path for part in family.networks if (folder / part).is_dir() for path in weight_files(folder, part)[0]
    ]  # fmt: skip
    stored = [_tensors(path) for path in weights]
    widened = not family.is_flow  # Stable Diffusion computes in float32, a flow in the precision of its files
    held = sum(n * (4 if widened else BYTES.get(kind, 4)) for tensors in stored for kind, n in tensors)
    if family.is_flow:
        return _flow_workload(folder, family, photo, held)
    return _unet_workload(folder, photo, held)


def _tensors(path: Path) -> list[tuple[str, int]]:
    """Type and number of elements of every tensor of a safetensors file, from its header alone."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [(t["dtype"], prod(t["shape"])) for name, t in header.items() if name != "__metadata__"]


def _flow_workload(folder: Path, family: Family, photo: tuple[int, int], held: int) -> Workload:
    size = working_size(*photo, (FLOW_SIDE, FLOW_SIDE), 16)
    tensors = [tensor for path in weight_files(folder, family.denoiser)[0] for tensor in _tensors(path)]
    parameters, half = sum(n for _, n in tensors), all(BYTES.get(kind) == 2 for kind, _ in tensors)
    tokens = size[0] // 16 * (size[1] // 16) + TEXT_TOKENS
    return Workload(2.0 * parameters * tokens, "two a parameter and token, attention left out", size, held, half)


def _unet_workload(folder: Path, photo: tuple[int, int], held: int) -> Workload:
    """Counted while the network runs on tensors without memory."""
    import diffusers
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    config, vae = read_config(folder, "unet"), read_config(folder, "vae")
    blocks = vae.get("block_out_channels", vae.get("encoder_block_out_channels", (1,) * 4))
    factor, side = 2 ** (len(blocks) - 1), config.get("sample_size") or 64
    high, wide = (side, side) if isinstance(side, int) else side
    stride = factor * 2 ** (len(config.get("block_out_channels", (1,) * 4)) - 1)
    w, h = working_size(*photo, (wide * factor, high * factor), stride)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet: Network = diffusers.UNet2DConditionModel.from_config(config)
        width = unet.config.cross_attention_dim
        width = width if isinstance(width, int) else width[0]
        more = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        unet(
            torch.empty(1, unet.config.in_channels, h // factor, w // factor), torch.tensor(1),
            torch.empty(1, 77, width), added_cond_kwargs=more if unet.config.addition_embed_type else None,
        )  # fmt: skip
    return Workload(float(counter.get_total_flops()), "counted on the network's shape", (w, h), held)
