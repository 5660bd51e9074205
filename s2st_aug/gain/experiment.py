"""Run every arm for every rng_key on Ray; what was measured is kept, so a stopped experiment goes on where it was."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from s2st_aug.engine.experiments import run_tasks
from s2st_aug.errors import RunFolderError
from s2st_aug.gain import detection, external, segmentation
from s2st_aug.gain.config import GainConfig
from s2st_aug.gain.results import Outcome
from s2st_aug.gain.training import device_of, first_config, first_file, store_first

log = logging.getLogger(__name__)
Runner = Callable[..., Iterator[tuple[int, Any]]]
TRAIN: dict[str, Callable[[GainConfig, str, int], nn.Module]] = {
    "segmentation": segmentation.train,
    "detection": detection.train,
}
MEASURE: dict[str, Callable[[GainConfig, nn.Module], Outcome]] = {
    "segmentation": segmentation.measure,
    "detection": detection.measure,
}
HEADLINE = {"segmentation": "miou", "detection": "ap", "external": "ap"}


def run_experiment(
    config: GainConfig, *, address: str | None = None, run: Runner = run_tasks
) -> dict[str, list[Outcome]]:
    """What was measured per arm, in the order of `rng_keys`; one file per training under `out/results`.

    `run` is what spreads the trainings; the first training, where the config asks for one, ends before any other.
    Raises UsageError for a device that is named and missing.
    """
    if address is None and "RAY_ADDRESS" not in os.environ:  # a cluster's nodes may have what this machine lacks
        device_of(config)
    needs = {"cpus_per_task": config.cpus_per_training, "gpus_per_task": config.gpus_per_training, "address": address}
    if config.training.first is not None and not first_file(config).exists():
        log.info("gain: the first training, on real images alone, %d updates", config.training.first.steps)
        list(run(_train_first, [(config,)], **needs))
    wanted = list(dict.fromkeys((_trained_as(config, arm), key) for key in config.rng_keys for arm in config.arms))
    missing = [pair for pair in wanted if not _result_file(config, *pair).exists()]
    log.info("gain: %d trainings, %d of them already measured", len(wanted), len(wanted) - len(missing))
    tasks = [(config, arm, key) for arm, key in missing]
    for index, tested in run(_train_one, tasks, **needs) if tasks else ():
        _store(config, *missing[index], tested)
    return collect(config)


def collect(config: GainConfig) -> dict[str, list[Outcome]]:
    """What is on disk of an experiment, for arms whose every rng_key was measured."""
    files: dict[str, list[Path]] = {
        arm: [_result_file(config, arm, key) for key in config.rng_keys] for arm in config.arms
    }
    return {arm: [_read(f) for f in paths] for arm, paths in files.items() if all(f.exists() for f in paths)}


def _read(path: Path) -> Outcome:
    stored = json.loads(path.read_text())
    return Outcome(stored["measures"], stored.get("resampled", {}))


def _train_first(config: GainConfig) -> None:
    torch.set_num_threads(1)
    own = first_config(config)
    network = TRAIN[config.task](own, "real_only", 0)
    store_first(config, network, MEASURE[config.task](own, network).measures)


def _train_one(config: GainConfig, arm: str, rng_key: int) -> Outcome:
    torch.set_num_threads(1)
    if config.task == "external":
        return Outcome(external.train_and_test(config, arm, rng_key))
    return MEASURE[config.task](config, TRAIN[config.task](config, arm, rng_key))


def _trained_as(config: GainConfig, arm: str) -> str:
    """`copies` puts an image in its own place: with equal updates that is
    real_only's training number for number, and is not done twice.
    """
    return "real_only" if arm == "copies" and config.task != "external" else arm


def _result_file(config: GainConfig, arm: str, rng_key: int) -> Path:
    arm = _trained_as(config, arm)
    return config.out / "results" / f"{config.sha256()[:12]}-{_variants_key(config, arm)}{arm}-{rng_key}.json"


def _variants_key(config: GainConfig, arm: str) -> str:
    """The S2ST arms depend on the run's pixels and gates too."""
    if not arm.startswith("s2st") or config.run is None:
        return ""
    try:
        run = json.loads((config.run / "run.json").read_text())
    except OSError as error:
        raise RunFolderError(f"{config.run}: not a run folder ({error.strerror})") from None
    return f"{run['plan_sha256'][:8]}{str(run.get('validation_sha256', ''))[:8]}-"


def _store(config: GainConfig, arm: str, rng_key: int, tested: Outcome) -> None:
    path = _result_file(config, arm, rng_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    told = {"arm": arm, "rng_key": rng_key, "config": json.loads(config.model_dump_json())}
    temporary.write_text(json.dumps(told | asdict(tested)))
    temporary.replace(path)
    headline = HEADLINE[config.task]
    log.info("gain: %s, rng_key %d: %s %.2f", arm, rng_key, headline, tested.measures[headline])
