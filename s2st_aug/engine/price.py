"""What a variant costs with the chosen method and model: measured here where that is quick, else estimated and said so.

Measured: two scenes of the dataset go through the run's own stages in this process, and the second is timed.
Estimated: evaluations of the network, times the arithmetic of one (counted on the network's shape without weights, or
two operations a parameter and token for a transformer), over a rate that is assumed.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from s2st_aug.config import AugmentConfig
from s2st_aug.diffusion.components import Network
from s2st_aug.diffusion.families import Family
from s2st_aug.diffusion.model import working_size
from s2st_aug.diffusion.model_choice import read_choice, single_file
from s2st_aug.diffusion.model_files import find_model, read_config, read_family, weight_files
from s2st_aug.errors import UsageError
from s2st_aug.methods import MethodIdentity, find_method
from s2st_aug.records.scene import Scene
from s2st_aug.storage.plan import PlannedScene
from s2st_aug.translation.cost import Cost

log = logging.getLogger(__name__)
ASSUMED = {"cpu": 4e10, "gpu float32": 3e13, "gpu half": 1.5e14}
"""Operations a second: of a CPU thread, and of a GPU like an H100; nobody measured them on the run's machines."""
PATIENCE = 60.0  # seconds of translating that a dry run may spend on a measurement
FLOW_SIDE = 1024  # pixels: the native size of every rectified flow that is read
TEXT_TOKENS = 256  # of a prompt, for a transformer that reads them beside the image's
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, slots=True)
class Price:
    """Of one variant on one worker, and where each number comes from; None where nothing can be said."""

    seconds: float | None
    seconds_from: str
    memory: float | None  # bytes a worker
    memory_from: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A model's network: operations of one evaluation at the working size (w, h), and bytes of all weights in use."""

    operations: float
    counted: str  # how
    size: tuple[int, int]
    weights: int


def price(config: AugmentConfig, identity: MethodIdentity, scenes: Sequence[Scene], photo: tuple[int, int]) -> Price:
    """The price of a run of this config, whose photos have the size `photo` (w, h); raises UsageError as a run would.

    `scenes` are some of the dataset's, whose images are there.
    """
    domains, on_gpu = len(identity.profiles), _wants_gpu(config)
    if config.method.name == "external":
        return Price(None, "nothing is translated", None, "no model")
    work = workload_of(config.model, photo) if find_method(config.method.name).needs_model else None
    cost = Cost(*(evaluations / domains for evaluations in identity.evals_per_scene))
    guess = _guess(config, cost, work, on_gpu=on_gpu) if work else 0.0
    device = _device_here(config, on_gpu=on_gpu)
    if scenes and device and guess * domains <= PATIENCE:
        return _measured(config, scenes, device, domains)
    if work is None:
        return Price(None, "not measured: " + ("no image is there" if device else "no GPU here"), None, "no model")
    kind = "an H100-class GPU" if on_gpu else f"{config.cluster.threads_per_actor} CPU threads"
    rate = _rate(config, on_gpu=on_gpu)
    how = (
        f"estimated for the network alone: {cost.evaluations:.0f} evaluations of {work.operations / 1e12:.2f} TFLOP"
        f" at {work.size[0]}x{work.size[1]} ({work.counted}), {rate / 1e12:g} TFLOP/s assumed for {kind};"
        " preview on the run's own machine measures it"
    )
    return Price(guess, how, work.weights, "weights alone, activations come on top")


def _wants_gpu(config: AugmentConfig) -> bool:
    c = config.cluster
    return c.device.startswith("cuda") or (c.device == "auto" and c.gpus_per_actor > 0)


def _device_here(config: AugmentConfig, *, on_gpu: bool) -> str | None:
    """The device that a worker would get, if this machine has it."""
    from s2st_aug.diffusion.device import resolve_device

    try:
        return resolve_device("cuda" if on_gpu else config.cluster.device if config.cluster.device != "auto" else "cpu")
    except UsageError:
        return None


def _rate(config: AugmentConfig, *, on_gpu: bool) -> float:
    half = getattr(config.method.settings, "dtype", "float32") != "float32"
    return (
        ASSUMED["gpu half" if half else "gpu float32"] if on_gpu else ASSUMED["cpu"] * config.cluster.threads_per_actor
    )


def _guess(config: AugmentConfig, cost: Cost, work: Workload, *, on_gpu: bool) -> float:
    """Seconds of a variant by counting alone."""
    return cost.evaluations * work.operations / _rate(config, on_gpu=on_gpu)


def _measured(config: AugmentConfig, scenes: Sequence[Scene], device: str, domains: int) -> Price:
    """Two scenes through the run's stages, one at a time; the first loads and warms up, the second is timed."""
    from s2st_aug.engine.in_process import preview_variants

    alone = config.model_copy(update={"cluster": config.cluster.model_copy(update={"batch_size": 1})})
    planned = [PlannedScene(scene, None, None, None) for scene in (scenes[0], scenes[-1])]
    ends, failed = [], ""
    for variant in preview_variants(alone, planned, device=device):
        ends.append(time.perf_counter())
        failed = failed or (variant.row.reasons[0] if variant.row.status == "failed" else "")
    if failed or len(ends) < 2 * domains:
        return Price(None, f"not measured: {failed or 'nothing came out'}", None, "not measured")
    seconds = (ends[domains] - ends[domains - 1]) / domains
    w, h = variant.row.width, variant.row.height
    threads = config.cluster.threads_per_actor
    where = f"{device} with {threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
    how = f"measured here: one scene of {w}x{h} to {domains} domains on {where}, alone, with reading and checks"
    peak, peak_of = _peak(device)
    return Price(seconds, how, peak, f"measured here: {peak_of}")


def _peak(device: str) -> tuple[float, str]:
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated(device)), "the GPU's peak, one scene at a time"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return float(used), "this process's peak, one scene at a time"


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
    parameters = sum(n for path in weight_files(folder, family.denoiser)[0] for _, n in _tensors(path))
    tokens = size[0] // 16 * (size[1] // 16) + TEXT_TOKENS
    return Workload(2.0 * parameters * tokens, "two a parameter and token, attention left out", size, held)


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
