"""`s2st-aug rescore RUN --config FILE`: new thresholds applied to the stored measures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from s2st_aug.cli.terminal import out
from s2st_aug.errors import ConfigError, did_you_mean, wrong_values

if TYPE_CHECKING:
    from s2st_aug.validation.settings import ValidationSettings


def rescore(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    config: Annotated[
        Path, typer.Option(help="YAML file: a complete config, its validation part, or only thresholds.")
    ],
) -> int:
    """Apply new thresholds to the stored measures; nothing is translated again.

    The old manifest is kept under manifest/.old.
    """
    from s2st_aug.config.hashes import validation_hash
    from s2st_aug.storage.generations import replace_manifest
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.progress import recount
    from s2st_aug.storage.run_folder import RunFolder
    from s2st_aug.storage.shards import gather
    from s2st_aug.validation.gates import rescore_rows

    settings, folder = thresholds(config), RunFolder(run)
    folder.run_json()
    digest = validation_hash(settings)
    with RunLock(folder):
        gather(folder)
        before = Counter(folder.read_manifest(["status"])["status"].to_pylist())
        number = replace_manifest(
            folder, lambda rows: rescore_rows(rows, settings, digest), settings.model_dump(mode="json"), digest
        )
        after = Counter(folder.read_manifest(["status"])["status"].to_pylist())
        recount(folder)
    _show(before, after, number)
    seen = f"calibrated on {settings.calibrated_on}" if settings.calibrated_on else "not calibrated on your photos"
    out.print(f"thresholds: {seen}", markup=False)
    return 0


def thresholds(path: Path) -> ValidationSettings:
    """The settings in a YAML file; raises ConfigError with every problem."""
    from pydantic import ValidationError

    from s2st_aug.config.load import read_yaml
    from s2st_aug.formats.yaml_text import flags_as_numbers
    from s2st_aug.validation.settings import ValidationSettings

    raw = read_yaml(path)
    given = raw.get("validation") or {} if "validation" in raw or "dataset" in raw else raw
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: validation: expected thresholds by name, got {type(given).__name__}")
    known = ValidationSettings.model_fields
    unknown = [f"{k}: unknown{did_you_mean(str(k), known)}" for k in given if k not in known]
    try:
        settings = ValidationSettings.model_validate({k: v for k, v in given.items() if k in known})
        unknown += flags_as_numbers(given, settings)
    except ValidationError as error:
        unknown.append(wrong_values(error.errors()))
    if unknown:
        raise ConfigError(f"{path}: {'; '.join(unknown)}")
    return settings


def _show(before: Counter[str], after: Counter[str], number: int) -> None:
    table = Table("status", "before", "now")
    for status in ("ok", "rejected", "failed"):
        table.add_row(status, str(before[status]), str(after[status]))
    out.print(table)
    out.print(f"manifest generation {number}; the one before is kept under manifest/.old/{number - 1}", markup=False)
