"""The keys of weights as the original code of Stable Diffusion spells them, from diffusers' names."""

from __future__ import annotations

import re

import torch

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_unet(key: str, *, layers: int = 1, attends: tuple[int, ...] = (0, 1)) -> str:
    """A UNet's key; it has so many residual blocks a level, and attention on these levels from the lowest up."""

    def block(match: re.Match) -> str:
        side, i, kind, j = match[1], int(match[2]), match[3], int(match[4])
        if side == "down":
            if kind == "downsamplers":
                return f"input_blocks.{(layers + 1) * (i + 1)}.0.op"
            return f"input_blocks.{(layers + 1) * i + j + 1}.{int(kind == 'attentions')}"
        if kind == "upsamplers":
            return f"output_blocks.{(layers + 1) * i + layers}.{2 if attends[i] else 1}.conv"
        return f"output_blocks.{(layers + 1) * i + j}.{int(kind == 'attentions')}"

    if "resnets" in key:
        key = re.sub(rf"\.({'|'.join(RESNET)})\.", lambda m: f".{RESNET[m[1]]}.", key)
    key = re.sub(
        r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(\.conv\b)?", block, key
    )
    for ours, theirs in ENDS.items():
        key = re.sub(rf"^{re.escape(ours)}\.", f"{theirs}.", key)
    return f"model.diffusion_model.{key}"


def original_vae(key: str, levels: int) -> str:
    """An autoencoder's key."""
    key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if "attentions" in key:
        key = key.replace("mid_block.attentions.0", "mid.attn_1")
        key = re.sub(rf"\.({'|'.join(map(re.escape, ATTENTION))})\.", lambda m: f".{ATTENTION[m[1]]}.", key)
    return "first_stage_model." + key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def original_text(key: str, prefix: str) -> str:
    """A text encoder's key as OpenCLIP spells it, behind a prefix."""
    key = key.removeprefix("text_model.").replace("encoder.layers.", "transformer.resblocks.")
    key = key.replace("final_layer_norm.", "ln_final.").replace("layer_norm", "ln_").replace("self_attn", "attn")
    key = key.replace(".fc1.", ".c_fc.").replace(".fc2.", ".c_proj.")
    key = key.replace("embeddings.position_embedding.weight", "positional_embedding")
    return prefix + key.replace("embeddings.token_embedding", "token_embedding")


def open_clip(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """A text encoder's weights as OpenCLIP holds them: query, key and value in one, the projection turned."""
    made = {}
    for key, value in state.items():
        if key == "text_projection.weight":
            made[prefix + "text_projection"] = value.T.contiguous()
        elif match := re.search(r"(.*self_attn)\.q_proj\.(weight|bias)$", key):
            parts = [state[f"{match[1]}.{p}_proj.{match[2]}"] for p in "qkv"]
            made[original_text(f"{match[1]}.in_proj_{match[2]}", prefix)] = torch.cat(parts)
        elif not re.search(r"self_attn\.[kv]_proj", key):
            made[original_text(key, prefix)] = value
    return made
