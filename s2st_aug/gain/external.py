"""Somebody else's trainer, once per arm and rng_key: the published benchmark
runs in Detectron2, and its measures are compared here.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from s2st_aug.errors import CheckFailed, DatasetError
from s2st_aug.gain.config import GainConfig


def train_and_test(config: GainConfig, arm: str, rng_key: int) -> dict[str, float]:
    """Run the command and read what it measured; raises CheckFailed where it fails or measures nothing."""
    external = config.external
    assert external is not None
    folder = config.out / "trainings" / f"{arm}-{rng_key}"
    dataset = external.datasets[arm]  # type: ignore[index]
    if not dataset.exists():
        raise DatasetError(f"{dataset}: the training set of {arm} does not exist")
    folder.mkdir(parents=True, exist_ok=True)
    command = list(external.command)
    filled = {"dataset": dataset, "arm": arm, "rng_key": rng_key, "out": folder}
    for name, value in filled.items():  # our own names in braces alone: a command may hold others
        command = [part.replace(f"{{{name}}}", str(value)) for part in command]
    with (folder / "log.txt").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise CheckFailed(
            f"{arm}, rng_key {rng_key}: {command[0]} ended with code {code}; its output is in {folder / 'log.txt'}"
        )
    return _measures(folder / "measures.json")


def _measures(path: Path) -> dict[str, float]:
    try:
        raw = json.loads(path.read_text())
        return {str(name): float(value) for name, value in raw.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckFailed(f"{path}: expected an object of numbers, `ap` among them ({type(error).__name__})") from None
