"""The networks of a checkpoint in one file, as the original code of Stable Diffusion wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2st_aug.diffusion.components import Network, first_line, refuse_lacking
from s2st_aug.errors import ModelError

ENCODERS = {
    "clip": "cond_stage_model.transformer.", "open_clip": "cond_stage_model.model.",
    "clip_sdxl": "conditioner.embedders.0.transformer.", "open_clip_sdxl": "conditioner.embedders.1.model.",
}  # fmt: skip
"""diffusers' name of a text encoder -> how the keys of its weights start"""
OTHER_FAMILY = "name in model.config a model of the family that it belongs to"


def load_checkpoint(file: Path, configs: Path, kinds: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Network]:
    """A network for each of `kinds` (the name of its part -> its class), with the configs of another model's folder.

    The autoencoder is in float32. Raises ModelError for a part that does not fit its config or lacks a weight.
    """
    import diffusers
    from diffusers.loaders.single_file_utils import load_single_file_checkpoint

    diffusers.utils.logging.set_verbosity_error()  # it warns of an empty list of modules
    try:
        state = load_single_file_checkpoint(str(file))
    except Exception as error:  # a truncated file fails in many ways
        raise ModelError(f"{file}: cannot be read as safetensors ({first_line(error)}); download it again") from None
    networks = {}
    for part, kind in kinds.items():
        load = _load_text_encoder if part.startswith("text_encoder") else _load_part
        lent = {
            "config": str(configs),
            "local_files_only": True,
            "torch_dtype": torch.float32 if part == "vae" else dtype,
        }
        try:
            network = load(file, part, kind, state, lent)
        except ModelError:
            raise
        except KeyError as error:  # of a weight that diffusers looks for by its name
            refuse_lacking(file, part, [str(error.args[0])], OTHER_FAMILY)
            raise
        except Exception as error:  # another family's file fails in many ways
            raise ModelError(
                f"{file}: {part} does not load with the configs of {configs} ({first_line(error)}); {OTHER_FAMILY}"
            ) from None
        networks[part] = network.eval().requires_grad_(False)
    return networks


def _load_part(file: Path, part: str, kind: Any, state: Mapping[str, Tensor], lent: Mapping[str, Any]) -> Network:
    """The UNet or the autoencoder."""
    from diffusers.loaders import single_file_model

    renamings: Mapping[str, Any] = single_file_model.SINGLE_FILE_LOADABLE_CLASSES
    config = kind.load_config(lent["config"], subfolder=part, local_files_only=True)
    with torch.device("meta"):
        wanted = kind.from_config(config).state_dict()
    found = renamings[kind.__name__]["checkpoint_mapping_fn"](config=config, checkpoint=dict(state))
    refuse_lacking(file, part, sorted(key for key in wanted if found.get(key) is None), OTHER_FAMILY)
    return kind.from_single_file(dict(state), subfolder=part, **lent)


def _load_text_encoder(
    file: Path, part: str, kind: Any, state: Mapping[str, Tensor], lent: Mapping[str, Any]
) -> Network:
    from diffusers.loaders import single_file_utils

    marks: Mapping[str, Any] = single_file_utils.CHECKPOINT_KEY_NAMES
    try:
        network = single_file_utils.create_diffusers_clip_model_from_ldm(kind, state, subfolder=part, **lent)
    except ValueError:  # it knows an encoder by one weight, its mark
        for name, start in ENCODERS.items():
            if marks[name] not in state and any(key.startswith(start) for key in state):
                refuse_lacking(file, part, [marks[name]], OTHER_FAMILY)
        raise
    lacking = [key for key, weight in network.state_dict().items() if weight.is_meta]
    refuse_lacking(file, part, lacking, OTHER_FAMILY)
    return network
