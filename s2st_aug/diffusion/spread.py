"""One network over several devices, for a model that does not fit on one: accelerate's device map."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from s2st_aug.errors import ModelError

ROOM = 0.5  # share of a GPU's free memory that weights may take; the rest is for activations and gradients
Device = int | str


def spread(network: torch.nn.Module, room: Mapping[Device, int]) -> dict[str, Device]:
    """Places the network's blocks on devices in their order, at most `room` bytes on each, and lets activations travel.

    Results and gradients are those of one device. Returns accelerate's map (module -> device). Raises ModelError where
    it does not fit.
    """
    from accelerate import dispatch_model

    placed = device_map(network, room)
    dispatch_model(network, placed, main_device=next(iter(room)), force_hooks=True)
    return placed


def device_map(network: torch.nn.Module, room: Mapping[Device, int]) -> dict[str, Device]:
    """Module -> device, no residual or attention block cut in two.

    Raises ModelError where the devices are too small together.
    """
    from accelerate import infer_auto_device_map
    from accelerate.utils import compute_module_sizes

    whole = getattr(network, "_no_split_modules", None) or []
    placed = infer_auto_device_map(network, max_memory={"cpu": 0, **room}, no_split_module_classes=list(whole))
    if any(device not in room for device in placed.values()):
        needed, there = compute_module_sizes(network)[""] / 2**30, sum(room.values()) / 2**30
        raise ModelError(
            f"the network needs {needed:.3f} GiB and cannot be spread over {len(room)} devices "
            f"with {there:.3f} GiB free; use more GPUs (cluster.gpus_per_actor)"
        )
    return placed


def free_room(gpus: int) -> dict[Device, int]:
    """Bytes that weights may take on each of the first GPUs."""
    return {index: int(torch.cuda.mem_get_info(index)[0] * ROOM) for index in range(gpus)}
