"""A run folder from pictures that something else made for a config's scenes: planned, judged and kept as any run is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from s2st_aug.config import AugmentConfig, load_config
from s2st_aug.config.augment import MethodChoice
from s2st_aug.engine.augment import augment
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import PLAIN_START, Options, RunSummary
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.remote_dataset import with_local_root
from s2st_aug.errors import ConfigError, UsageError, counted, wrong_values
from s2st_aug.methods import find_method
from s2st_aug.methods.pictures import PATTERN, Pictures
from s2st_aug.storage.run_folder import RunFolder

log = logging.getLogger(__name__)

EXTERNAL = "external"
MISSING, SURPLUS = "logs/missing_pictures.jsonl", "logs/surplus_pictures.jsonl"
"""pictures that scenes lack, and those that no scene of the plan asks for"""


@dataclass(frozen=True, slots=True)
class PictureList:
    """What a folder holds of what the scenes ask for: `missing` are (scene id, domain, name looked for)."""

    found: int
    missing: tuple[tuple[str, str, str], ...]
    surplus: tuple[str, ...]
    unprofiled: tuple[str, ...]  # domains without a profile: their strength is null


def adopted_config(
    config: AugmentConfig | Path | str,
    variants: Path | str,
    *,
    pattern: str = PATTERN,
    made_by: str = "",
    note: str = "",
    changes: Sequence[str] = (),
) -> AugmentConfig:
    """The config (or that of a YAML file, with `key=value` changes) with its method replaced by the pictures.

    What its own `external` group says stays. Raises ConfigError for a pattern without {scene}.
    """
    method = find_method(EXTERNAL)
    config = config if isinstance(config, AugmentConfig) else load_config(config, changes, method=EXTERNAL)
    own = config.method.settings.model_dump() if config.method.name == EXTERNAL else {}
    told = {"made_by": made_by, "note": note}
    given = {**own, "pictures": str(Path(variants).expanduser().absolute()), "pattern": pattern}
    given |= {key: value for key, value in told.items() if value}
    try:
        settings = method.settings.model_validate(given)
    except ValidationError as error:
        raise ConfigError(wrong_values(error.errors())) from None
    return config.model_copy(update={"method": MethodChoice(name=EXTERNAL, settings=settings)})


def list_pictures(config: AugmentConfig) -> PictureList:
    """Every (scene, domain) of an adopted config against the folder.

    Raises UsageError where nothing fits, or two scenes would take one picture; ConfigError and DatasetError.
    """
    identity = identify(config)
    told = config.method.settings.model_dump()
    pictures = Pictures(Path(told["pictures"]), told["pattern"])
    taken: dict[str, str] = {}
    missing: list[tuple[str, str, str]] = []
    counts = dict.fromkeys(identity.profiles, 0)
    for scene in selected_scenes(with_local_root(config).dataset):
        for domain in counts:
            name = pictures.find(scene, domain)
            if name is None:
                missing.append((scene.scene_id, domain, next(pictures.names(scene, domain))))
                continue
            if name in taken:
                raise UsageError(
                    f"{name}: matches both {taken[name]} and {scene.scene_id}; use more of the scene id in file names"
                )
            taken[name] = scene.scene_id
            counts[domain] += 1
    surplus = [name for name in pictures.listed() if name not in taken]
    if empty := [domain for domain, count in counts.items() if not count]:
        first = next(name for _, domain, name in missing if domain == empty[0])
        there = f"other files there: {surplus[0]}, ..." if surplus else "every picture there is used already"
        raise UsageError(f"{pictures.folder}: no picture for {empty[0]}; expected names such as {first}; {there}")
    unprofiled = tuple(domain for domain, sha256 in identity.profiles.items() if not sha256)
    return PictureList(len(taken), tuple(missing), tuple(surplus), unprofiled)


def adopt(
    config: AugmentConfig | Path | str,
    variants: Path | str,
    run: Path | str,
    *,
    pattern: str = PATTERN,
    made_by: str = "",
    note: str = "",
    options: Options = PLAIN_START,
) -> RunSummary:
    """A run folder of pictures in `variants` for the scenes of a config: nothing is translated, all is judged.

    A picture that is missing or cannot be read is a failed row. The same call resumes a stopped run; pictures that have
    changed since are refused as another plan. Raises UsageError before anything is started.
    """
    config = adopted_config(config, variants, pattern=pattern, made_by=made_by, note=note)
    listed = list_pictures(config)
    warn(listed)
    return adopt_listed(config, listed, run, options)


def adopt_listed(
    config: AugmentConfig, listed: PictureList, run: Path | str, options: Options = PLAIN_START
) -> RunSummary:
    """`adopt` of a config whose pictures are listed; the lists go into the run's logs."""
    summary = augment(config, run, options)
    missing = ({"scene_id": s, "domain": d, "looked_for": name} for s, d, name in listed.missing)
    _write(RunFolder(run), MISSING, missing)
    _write(RunFolder(run), SURPLUS, ({"picture": name} for name in listed.surplus))
    return summary


def warn(listed: PictureList) -> None:
    """A line for each thing that is not as it should be."""
    if listed.missing:
        scene, domain, name = listed.missing[0]
        log.warning(
            "%s missing: failed rows, listed in %s; first: %s for %s (looked for %s)",
            *(counted(len(listed.missing), "picture"), MISSING, scene, domain, name),
        )
    if listed.surplus:
        log.warning(
            "%s left out, for no scene of the plan: listed in %s; first: %s",
            *(counted(len(listed.surplus), "picture"), SURPLUS, listed.surplus[0]),
        )
    if listed.unprofiled:
        log.warning(
            "no profile for %s: strength is not measured, everything else is checked; to build a profile: "
            "s2st-aug domain build NAME --references DIR --model none --out FILE",
            ", ".join(listed.unprofiled),
        )


def _write(folder: RunFolder, name: str, lines: Iterable[dict[str, str]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if text:
        folder.store.write_many({name: text.encode()})
    elif folder.store.size(name) is not None:
        folder.store.delete(name)
