"""The light map's weights: half precision, in one safetensors file whose metadata says what they are for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from s2st_aug.errors import ModelError
from s2st_aug.images import sha256_file
from s2st_aug.lights.network import GROUPS, KINDS, LightNetwork

FORMAT = f"light map 1: {' '.join(KINDS)}; {' '.join(GROUPS)}"
"""What a file of weights must say of itself: the outputs and the label channels that it was trained for."""


def light_map_file(name: str | None = None) -> Path:
    """The shipped weights, or a file of one's own; raises ModelError where there is none."""
    path = Path(name).expanduser() if name else Path(str(files("s2st_aug.lights") / "light_map.safetensors"))
    if not path.is_file():
        raise ModelError(f"no light map at {path}; expected a safetensors file that pipelines/train_light_map.py wrote")
    return path


def light_map_sha256(name: str | None = None) -> str:
    """Hex SHA-256 of the file: what decides the lights of a run. Raises ModelError where there is none."""
    return sha256_file(light_map_file(name))


def hash_lights(settings: dict[str, Any]) -> dict[str, Any]:
    """A method's settings as they decide pixels: the map's bytes for its path, and neither where no light is laid.

    Raises ModelError where the file is missing.
    """
    named = {k: v for k, v in settings.items() if k not in ("lights", "light_map")}
    if not settings["lights"]:
        return named
    return named | {"lights": settings["lights"], "light_map": light_map_sha256(settings["light_map"])}


@cache
def load_light_network(name: str | None = None, device: str = "cpu") -> LightNetwork:
    """The network, ready to predict, in float32; raises ModelError for a file that is not one of this network."""
    path = light_map_file(name)
    network = LightNetwork()
    try:
        with safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("format", "nothing about itself")
            if found != FORMAT:
                raise ModelError(f"{path}: expected the weights of a light map ({FORMAT}); the file says {found!r}")
            weights = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
        network.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError) as error:
        why = str(error).strip().split("\n")[0]
        raise ModelError(f"{path}: not the weights of this light map ({why})") from None
    return network.to(torch.device(device)).eval().requires_grad_(False)


def write_light_map(weights: dict[str, torch.Tensor], path: Path, about: str) -> None:
    """Half-precision weights as safetensors, with what they were trained on."""
    half = {k: v.detach().half().contiguous() for k, v in sorted(weights.items())}
    save_file(half, path, metadata={"format": FORMAT, "about": about})
