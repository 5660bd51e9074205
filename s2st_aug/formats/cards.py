"""Dataset cards: what a dataset is, where to get it, how its tree lies on disk, which format reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from s2st_aug.errors import DatasetError, did_you_mean, wrong_values
from s2st_aug.formats.base import Card, DatasetFormat
from s2st_aug.formats.layout import located
from s2st_aug.formats.registry import find_format
from s2st_aug.formats.yaml_text import flags_as_numbers, keys_of, parse_yaml

_PACKAGED = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[2] / "datasets"


def card_names() -> list[str]:
    """The shipped cards by name."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_card(name_or_path: str | Path) -> Card:
    """A shipped card by name, or a YAML file by path; raises DatasetError with every problem on one line."""
    path = Path(name_or_path)
    if _is_file_name(path):
        if not path.is_file():
            raise DatasetError(f"dataset card not found: {path}")
    elif str(path) not in card_names():
        raise DatasetError(f"no dataset card named {str(path)!r}{did_you_mean(str(path), card_names())}")
    else:
        path = _folder() / f"{path}.yaml"
    return _read(path, path.stat().st_mtime_ns)


def dataset_card(dataset: Mapping[str, Any]) -> Card:
    """The card of a config's `dataset` group: how its labels are read, and where its parts lie below its root."""
    card = load_card(str(dataset["format"]))
    card = card.model_copy(update={"rescale_labels": True}) if dataset.get("rescale_labels") else card
    return card_at(card, Path(str(dataset["root"]))) if dataset.get("root") else card


def card_at(card: Card, root: Path) -> Card:
    """The card with the places of its parts below the root; as it is where files of the dataset say them."""
    return card if format_of(card).own_layout or not root.is_dir() else located(card, root)


def absolute_card(name_or_path: str) -> str:
    """The same card from any working directory: its name, or its file's absolute path."""
    path = Path(name_or_path)
    return str(path.expanduser().absolute()) if _is_file_name(path) else name_or_path


def _is_file_name(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} or len(path.parts) > 1


def format_of(card: Card) -> DatasetFormat:
    """The format that reads the card's dataset."""
    return find_format(card.adapter)


def _folder() -> Path:
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> Card:
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"dataset card {path} cannot be read: {' '.join(str(error).split())}") from None
    try:
        card = Card.model_validate(raw)
        problems = [*flags_as_numbers(raw, card)]
    except ValidationError as error:
        card, problems = None, [wrong_values(error.errors(), known=keys_of(Card))]
    problems += _misfits(raw.get("adapter") if isinstance(raw, dict) else None, card)
    if card is None or problems:
        raise DatasetError(f"dataset card {path}: {'; '.join(problems)}")
    return card


def _misfits(adapter: Any, card: Card | None) -> list[str]:
    """What does not fit between a card and its format: no such format, or a label tree of an unknown kind."""
    if not isinstance(adapter, str):
        return []
    try:
        kinds = find_format(adapter).label_kinds
    except DatasetError as error:
        return [f"adapter: {error}"]
    unknown = [tree for tree in card.labels if kinds and tree.kind not in kinds] if card is not None else []
    return [f"labels.{tree.name}: kind {tree.kind!r} is unknown{did_you_mean(tree.kind, kinds)}" for tree in unknown]
