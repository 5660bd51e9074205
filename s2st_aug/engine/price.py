"""What a variant costs with the chosen method and model: measured here where that is quick, else estimated and said so.

Measured: two scenes of the dataset go through the run's own stages in this process, and the second is timed.
Estimated: evaluations of the network, times the arithmetic of one (counted on the network's shape without weights, or
two operations a parameter and token for a transformer), over a rate that is assumed.
"""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from s2st_aug.config import AugmentConfig
from s2st_aug.diffusion.workload import Workload, workload_of
from s2st_aug.errors import UsageError, WorkerFault, counted
from s2st_aug.methods import MethodIdentity, find_method
from s2st_aug.records.scene import Scene
from s2st_aug.storage.plan import PlannedScene
from s2st_aug.translation.cost import Cost

log = logging.getLogger(__name__)
ASSUMED = {"cpu": 4e10, "gpu float32": 3e13, "gpu half": 1.5e14}
"""Operations a second: of a CPU thread, and of a GPU like an H100, which gave Stable Diffusion 2.1 twice as many in
batches of eight and half as many alone (suite `gpu`); nobody measured them on the run's machines."""
PATIENCE = 60.0  # seconds of translating that a dry run may spend on a measurement


@dataclass(frozen=True, slots=True)
class Price:
    """Of one variant on one worker, and where each number comes from; None where nothing can be said."""

    seconds: float | None
    seconds_from: str
    memory: float | None  # bytes a worker
    memory_from: str


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
        return Price(
            None, "not measured: " + ("no image found" if device else "no GPU on this machine"), None, "no model"
        )
    kind = "an H100-class GPU" if on_gpu else f"{config.cluster.threads_per_actor} CPU threads"
    rate = _rate(config, work, on_gpu=on_gpu)
    how = (
        f"estimated for the network alone: {cost.evaluations:.0f} evaluations of {work.operations / 1e12:.2f} TFLOP"
        f" at {work.size[0]}x{work.size[1]} ({work.counted}), {rate / 1e12:g} TFLOP/s assumed for {kind};"
        " run `s2st-aug preview` on the run's own machine to measure it"
    )
    return Price(guess, how, work.weights, "weights only, without activations")


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


def _rate(config: AugmentConfig, work: Workload, *, on_gpu: bool) -> float:
    if not on_gpu:
        return ASSUMED["cpu"] * config.cluster.threads_per_actor
    half = work.half or getattr(config.method.settings, "dtype", "float32") != "float32"
    return ASSUMED["gpu half" if half else "gpu float32"]


def _guess(config: AugmentConfig, cost: Cost, work: Workload, *, on_gpu: bool) -> float:
    """Seconds of a variant by counting alone."""
    return cost.evaluations * work.operations / _rate(config, work, on_gpu=on_gpu)


def _measured(config: AugmentConfig, scenes: Sequence[Scene], device: str, domains: int) -> Price:
    """Two scenes through the run's stages, one at a time; the first loads and warms up, the second is timed."""
    from s2st_aug.engine.in_process import preview_variants

    alone = config.model_copy(update={"cluster": config.cluster.model_copy(update={"batch_size": 1})})
    planned = [PlannedScene(scene, None, None, None) for scene in (scenes[0], scenes[-1])]
    ends, failed = [], ""
    try:
        for variant in preview_variants(alone, planned, device=device):
            ends.append(time.perf_counter())
            failed = failed or (variant.row.reasons[0] if variant.row.status == "failed" else "")
    except WorkerFault as fault:
        failed = str(fault)
    if failed or len(ends) < 2 * domains:
        return Price(None, f"not measured: {failed or 'fewer than two images'}", None, "not measured")
    seconds = (ends[domains] - ends[domains - 1]) / domains
    w, h = variant.row.width, variant.row.height
    threads = config.cluster.threads_per_actor
    where = f"{device} with {counted(threads, 'thread')}" if device == "cpu" else device
    how = f"measured here: one scene of {w}x{h} to {counted(domains, 'domain')} on {where}, with reading and checks"
    peak, peak_of = _peak(device)
    return Price(seconds, how, peak, f"measured here: {peak_of}")


def _peak(device: str) -> tuple[float, str]:
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated(device)), "the GPU's peak, one scene at a time"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return float(used), "this process's peak, one scene at a time"
