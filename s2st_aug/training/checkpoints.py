"""Checkpoints that survive being killed: safetensors for weights and
optimiser, JSON for the rest, renamed into place.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor], state: dict[str, object]) -> None:
    """Tensors and a small JSON state in one file, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(
        {k: v.detach().contiguous().clone() for k, v in tensors.items()},
        temporary,
        metadata={"state": json.dumps(state)},
    )
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """What `save_checkpoint` wrote."""
    with safe_open(path, framework="pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["state"])  # noqa: SIM118


def pack(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names with a prefix, to lay several state dicts into one file."""
    return {f"{prefix}.{k}": v for k, v in tensors.items()}


def unpack(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of one prefix, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def adam_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An Adam's moments and step counts by parameter number."""
    return {
        f"{i}.{k}": torch.as_tensor(v) for i, entry in optimizer.state_dict()["state"].items() for k, v in entry.items()
    }


def restore_adam(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put moments back that `adam_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
