"""Presets as a model wants them: those of `settings`, with what the model's own folder says.

A model that was trained with aligned seeds needs no seed translation, and trajectory optimisation leads it away from
what it learnt; a plain Stable Diffusion needs both. So a folder may hold `translation.json`, as language models have
their `generation_config.json`: `{"draft": {"steps": 4}, "standard": {"to_method": "none"}}`.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from s2st_aug.diffusion import model_files
from s2st_aug.diffusion.model_choice import read_choice
from s2st_aug.errors import ModelError, did_you_mean, wrong_values
from s2st_aug.translation.settings import PRESETS, MethodSettings

TUNED = "translation.json"
TUNABLE = ("draft", "standard")  # `paper` and `reference` are the same on every model


def presets_of(model: str | Path) -> dict[str, MethodSettings]:
    """The presets on an embedded model or a folder; those of a hub id, which may not be here yet, are the plain ones.

    Raises ModelError where the folder's own settings cannot be read.
    """
    base = read_choice(str(model)).base
    folder = model_files.EMBEDDED.get(base, Path(base).expanduser())
    path = folder / TUNED
    if not path.is_file():
        return dict(PRESETS)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(given, dict) or not all(isinstance(values, dict) for values in given.values()):
        raise ModelError(f"{path}: expected a JSON object with the settings of each of {', '.join(TUNABLE)}")
    if unknown := [name for name in given if name not in TUNABLE]:
        raise ModelError(f"{path}: a model cannot set a preset {unknown[0]!r}{did_you_mean(unknown[0], TUNABLE)}")
    tuned = {}
    for name, values in given.items():
        try:
            tuned[name] = MethodSettings.model_validate({**PRESETS[name].model_dump(), **values, "preset": name})
        except ValidationError as error:
            raise ModelError(f"{path}: {wrong_values(error.errors(), name)}") from None
    return {**PRESETS, **tuned}
