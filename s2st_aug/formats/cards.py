"""Dataset cards: what a dataset is, where to get it, how its tree lies on disk, which adapter reads it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from s2st_aug.errors import DatasetError, did_you_mean
from s2st_aug.formats.yaml_text import parse_yaml

_PACKAGED = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[2] / "datasets"
Adapter = Literal["bdd100k", "cityscapes", "coco", "yolo", "kitti"]


class ClassInfo(BaseModel):
    """One category: its name in the dataset, its number there, and what it is called elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    id: int | None = None
    also: tuple[str, ...] = ()  # other spellings met in the wild
    cityscapes: str | None = None
    kitti: str | None = None


class LabelTree(BaseModel):
    """One kind of label and where it lies; `{split}` stands for the split, `{stem}` for the image's name, `*` for any name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: str  # what the adapter makes of it
    path: str
    images: str | None = None  # the image folder that goes with it, where it is not the card's


class Card(BaseModel):
    """A dataset's card (`datasets/<name>.yaml`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    title: str
    licence: str
    terms: str
    where: str
    adapter: Adapter
    exif: str
    images: str
    splits: tuple[str, ...]
    labels: tuple[LabelTree, ...] = ()
    classes: tuple[ClassInfo, ...] = ()
    source: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # attributes that make a day source
    notes: str = ""

    def category(self, name: str) -> ClassInfo | None:
        """The class of that name or other spelling, or None."""
        return next((c for c in self.classes if name == c.name or name in c.also), None)


def card_names() -> list[str]:
    """The shipped cards by name."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_card(name_or_path: str | Path) -> Card:
    """A shipped card by name, or a YAML file by path; raises DatasetError with every problem on one line."""
    path = _find(name_or_path)
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> Card:
    try:
        return Card.model_validate(parse_yaml(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors())
        raise DatasetError(f"dataset card {path}: {problems}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"dataset card {path} cannot be read: {' '.join(str(error).split())}") from None


def _folder() -> Path:
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        if not path.is_file():
            raise DatasetError(f"dataset card {path} is not there")
        return path
    if str(name_or_path) not in card_names():
        raise DatasetError(
            f"no dataset card named {str(name_or_path)!r}{did_you_mean(str(name_or_path), card_names())}"
        )
    return _folder() / f"{name_or_path}.yaml"
