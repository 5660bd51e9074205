"""Training images: any folder with one sub-folder per domain, brought to
a common size and JPEG quality, held in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from s2st_aug.errors import DatasetError
from s2st_aug.formats.names import IMAGE_SUFFIXES
from s2st_aug.images import read_image
from s2st_aug.real_data import DataPath, name_of

Medium = Literal["photo", "scene"]


class Source(BaseModel):
    """One folder of training images: `root/<domain>/...`, or, with `domain`, `root/...`.

    `match` and `exclude` are regular expressions searched for in the path below the root.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    root: DataPath
    """the folder: a sub-folder for each domain, or, with `domain`, images of that one"""
    medium: Medium = "photo"
    """photos or rendered scenes"""
    domain: str | None = None
    """the domain of all its images; null: by sub-folder"""
    match: str = ""
    """regular expression: only paths below the root in which it is found"""
    exclude: str = r"(?!)"
    """regular expression: no paths below the root in which it is found"""
    terms: str = "unstated"
    """the licence of the images, for the model card"""
    optional: bool = False
    """whether the training goes on where the folder is missing"""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """Where one training image lies, and what it shows."""

    path: Path
    domain: str
    medium: Medium


def list_samples(sources: Sequence[Source], domains: Sequence[str]) -> list[TrainingSample]:
    """Every image of the sources whose domain is one of `domains`, in the order of their paths; raises DatasetError."""
    samples = [sample for source in sources for sample in _list_source(source) if sample.domain in domains]
    if not samples:
        raise DatasetError(f"no training image of {', '.join(domains)} under {', '.join(str(s.root) for s in sources)}")
    return samples


def told_source(source: Source, domains: Sequence[str]) -> tuple[str, int | str, str]:
    """A source for a model card: folder and selection, number of images (`unknown` without the folder), terms."""
    rules = [f"only `{source.match}`"] * bool(source.match)
    rules += [f"without `{source.exclude}`"] * (source.exclude != r"(?!)")
    try:
        count: int | str = len(list_samples([source], domains))
    except DatasetError:
        count = "unknown"
    return ", ".join([f"`{name_of(source.root)}`", *rules]), count, source.terms


def _list_source(source: Source) -> Iterator[TrainingSample]:
    if not source.root.is_dir():
        if source.optional:
            return
        raise DatasetError(f"{source.root}: no such folder of training images")
    for path in sorted(p for p in source.root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        name = path.relative_to(source.root).as_posix()
        if re.search(source.match, name) and not re.search(source.exclude, name):
            yield TrainingSample(path, source.domain or name.split("/")[0], source.medium)


def load_sample(path: Path, size: tuple[int, int], *, quality: int, rng: np.random.Generator) -> np.ndarray:
    """The image cropped at a random place to the aspect of `size` (w, h),
    resized by area, through JPEG: uint8 `h w 3`.
    """
    image = read_image(path)
    h, w = image.shape[:2]
    scale = min(w / size[0], h / size[1])
    cw, ch = min(w, round(size[0] * scale)), min(h, round(size[1] * scale))
    x, y = rng.integers(0, w - cw + 1), rng.integers(0, h - ch + 1)
    small = cv2.resize(image[y : y + ch, x : x + cw], size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1].copy()


def load_images(
    samples: Sequence[TrainingSample], size: tuple[int, int], *, quality: int, rng: np.random.Generator
) -> torch.Tensor:
    """All samples at one size: uint8 `n 3 h w`."""
    arrays = [load_sample(s.path, size, quality=quality, rng=rng) for s in samples]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def groups(samples: Sequence[TrainingSample]) -> dict[tuple[str, Medium], list[int]]:
    """Indices by (domain, medium): what a balanced batch draws from."""
    found: dict[tuple[str, Medium], list[int]] = {}
    for index, sample in enumerate(samples):
        found.setdefault((sample.domain, sample.medium), []).append(index)
    return found


def balanced_indices(
    samples: Sequence[TrainingSample], count: int, rng: np.random.Generator, *, photo_share: float = 0.5
) -> np.ndarray:
    """Indices of a batch: domains evenly; within a domain photos with `photo_share` where it has both media."""
    by_group = groups(samples)
    domains = sorted({s.domain for s in samples})
    start = int(rng.integers(len(domains)))
    picked = []
    for i in range(count):
        domain = domains[(start + i) % len(domains)]
        media = [m for m in ("photo", "scene") if (domain, m) in by_group]
        medium = media[int(rng.random() >= photo_share)] if len(media) == 2 else media[0]
        members = by_group[domain, medium]  # type: ignore[index]
        picked.append(members[int(rng.integers(len(members)))])
    return np.array(picked)


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 images to pixels in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)
