"""One training loop for every arm and task: the order of images and of replacements depends on the rng_key alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from s2st_aug.arrays import Image
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.errors import RunFolderError
from s2st_aug.gain.config import GainConfig
from s2st_aug.gain.results import Measures
from s2st_aug.randomness import numpy_generator, sample_key

Loss = Callable[[nn.Module, np.ndarray, np.ndarray, np.random.Generator], Tensor]


def to_batch(images: list[Image], device: torch.device) -> Tensor:
    """uint8 photos of one size as a float batch in [-1, 1], channels_last, on a device."""
    batch = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def device_of(config: GainConfig) -> torch.device:
    """Where networks of this experiment are trained and tested, in the process that asks.

    Ray shows a training the GPUs that it reserved for it. Raises UsageError for a device that is named and missing.
    """
    if config.device == "auto" and not config.gpus_per_training:
        return torch.device("cpu")
    return torch.device(resolve_device(config.device))


def place_of(network: nn.Module) -> torch.device:
    """The device that a network is on."""
    return next(network.parameters()).device


def fit(build: Callable[[], nn.Module], loss_of: Loss, count: int, config: GainConfig, rng_key: int) -> nn.Module:
    """Train for the config's updates, from its first weights where it asks for such; `loss_of(network, indices,
    replaced, rng)` draws and judges one batch.

    Indices and which of them are replaced come from a generator of their own, so that all arms of one rng_key see the
    same order.
    """
    settings = config.training
    torch.manual_seed(sample_key(rng_key, "weights") % 2**31)
    network = build()
    if settings.first is not None:
        network.load_state_dict(first_weights(config))
    device = device_of(config)
    network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    order, rng = numpy_generator(rng_key, "order"), numpy_generator(rng_key, "changes")
    for _ in range(settings.steps):
        indices = order.integers(count, size=settings.batch)
        replaced = order.random(settings.batch) < settings.replaced
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(network, indices, replaced, rng)
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def first_file(config: GainConfig) -> Path:
    """Where the weights lie that every arm starts from; what was measured of them lies beside, as JSON."""
    return config.out / "first" / f"{config.first_sha256()[:12]}.safetensors"


def first_weights(config: GainConfig) -> dict[str, Tensor]:
    """Those weights; raises RunFolderError where the first training has not ended."""
    if not first_file(config).exists():
        raise RunFolderError(f"{first_file(config)}: no such file; the first training makes it before all arms")
    return safetensors.torch.load_file(first_file(config))


def first_config(config: GainConfig) -> GainConfig:
    """The first training as an experiment of its own: real images alone, from random weights."""
    assert config.training.first is not None
    own = config.training.first.model_dump() | {"first": None}
    return config.model_copy(update={"training": config.training.model_copy(update=own)})


def store_first(config: GainConfig, network: nn.Module, measures: Measures) -> None:
    """Keep the weights for all arms, keys and later experiments of the same first training."""
    path = first_file(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(measures, indent=1))
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file({k: v.contiguous() for k, v in network.state_dict().items()}, temporary)
    temporary.replace(path)
