"""Streets that teach the light map: rendered once, then cropped at random with their day disguised as any photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError
from s2st_aug.images import luma, resize, to_lab
from s2st_aug.lights.light_map import group_of
from s2st_aug.lights.network import GROUPS, KINDS, POOLS
from s2st_aug.lights.radiance import DARKEST, encoded, linear
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.conditions import condition_of
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.lighting import shining
from s2st_aug.procedural.mesh import Glow
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import ConditionName

KIND_OF = {
    "head": (Glow.HEAD,),
    "tail": (Glow.TAIL, Glow.BRAKE, Glow.INDICATOR),
    "lamp": (Glow.LAMP,),
    "signal": (Glow.RED, Glow.AMBER, Glow.GREEN),
}
GLOW, CORE, LEAST = 110, 150, 6  # luma and pixels at 640x360: what is as bright and as large as a light at night


SIZE = (640, 360)  # w, h in pixels of a rendered street
VIEWS: tuple[ConditionName, ...] = ("day", "rain", "night", "night_rain")
NOISY = ("day", "rain")  # what is looked at; the others are what is to be told, and have no sensor noise


class LightStreetSettings(BaseModel):
    """Which streets are learnt from, and how they are cropped and disguised."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    rng_key: int = 820_016
    """which streets; 820017 is held out for tuning [no unit]"""
    count: int = 600
    """how many [streets]"""
    crop: tuple[int, int] = (416, 224)
    """width and height of a sample [px]"""
    zoom: tuple[float, float] = (0.65, 1.7)
    """least and most scale of a street of 640x360 [factor]"""
    labels: float = 0.5
    """share of samples that are told of labels [share]"""
    rainy: float = 0.12
    """share of samples whose source is the street in rain [share]"""
    transfer: float = 0.35
    """share of samples that take a photo's colours [share]"""
    photos: float = 0.15
    """share of samples that are a photo, where nothing but a window is to be found [share]"""


def light_street(key: int, index: int) -> dict[str, np.ndarray]:
    """A street as the training reads it.

    The four VIEWS, `dark` and `dark_rain` without a lamp, `kinds` (Glow of what shines), `panes` (Glow of all windows),
    `boxes` x1 y1 x2 y2 with their `names`.
    """
    drawn = draw_street(sample_street(key, index, SIZE))
    surface = surfaces(drawn)
    street: dict[str, np.ndarray] = {n: render_drawn(drawn, surface, n, noise=float(n in NOISY)) for n in VIEWS}
    street["dark"] = render_drawn(drawn, surface, "night", noise=0.0, lights=0.0)
    street["dark_rain"] = render_drawn(drawn, surface, "night_rain", noise=0.0, lights=0.0)
    night = condition_of(drawn.street, "night")[0]
    street["kinds"] = shining(drawn, surface, night)
    every = shining(drawn, surface, replace(night, windows=1.3))  # above 1: shops too, of which some stay dark
    street["panes"] = np.where(np.isin(every, (Glow.INTERIOR, Glow.SHOP)), every, 0).astype(np.uint8)
    objects = read_labels(drawn).objects
    street["boxes"] = np.array([o.box for o in objects], np.int32).reshape(-1, 4)
    street["names"] = np.array([CATEGORIES[o.instance.category].det or "" for o in objects])
    return street


def render_light_streets(folder: Path, key: int, indices: range) -> None:
    """Each street in a file of its own, whole or not at all; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        path = folder / f"{key}-{index:05d}.npz"
        if not path.is_file():
            partial = path.with_suffix(f".{index}.tmp")
            with partial.open("wb") as file:
                np.savez(file, **light_street(key, index))  # type: ignore[arg-type]
            partial.replace(path)


@dataclass(frozen=True, slots=True, eq=False)
class LightSample:
    """One crop: network input `6 h w`; masks `6 h w` and which of them are true `6`; log radiance `3 h w` and where it
    counts `h w`; light on surfaces `6 y x` and how much of each cell is known `y x`."""

    given: np.ndarray
    masks: np.ndarray
    radiance: np.ndarray
    counts: np.ndarray
    pools: np.ndarray
    known: np.ndarray
    told: np.ndarray


def lights_of(night: Image) -> np.ndarray:
    """Where a night of 640x360 is as bright as a light, and part of something large and bright enough, bool."""
    y = luma(night)
    count, parts, stats, _ = cv2.connectedComponentsWithStats((y > GLOW).astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[parts[y > CORE]] = True
    kept &= stats[:, cv2.CC_STAT_AREA] >= LEAST
    kept[0] = False
    return kept[parts]


class LightStreets:
    """Random crops of streets on disk (`npz`, as `render_light_streets` writes them)."""

    def __init__(self, folder: Path, settings: LightStreetSettings, photos: Sequence[Image], rng_key: int = 0) -> None:
        self.folder, self.settings, self.photos = folder, settings, photos
        self.rng = np.random.default_rng(rng_key)
        self.colours = [_colour_moments(photo) for photo in photos]

    def files(self) -> list[Path]:
        """The streets that are rendered by now."""
        return sorted(self.folder.glob(f"{self.settings.rng_key}-*.npz"))[: self.settings.count]

    def batches(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Batches without end; new streets are seen as they come. Raises DatasetError where there is none."""
        while True:
            files = self.files()
            if len(files) < size:
                raise DatasetError(
                    f"{self.folder}: expected at least {size} streets of rng_key {self.settings.rng_key}"
                )
            order = self.rng.permutation(len(files))
            for first in range(0, len(files) - size + 1, size):
                samples = [
                    self.negative()
                    if self.photos and self.rng.random() < self.settings.photos
                    else self.sample(files[n])
                    for n in order[first : first + size]
                ]
                yield {
                    name: torch.from_numpy(np.stack([getattr(s, name) for s in samples]))
                    for name in LightSample.__slots__
                }

    def sample(self, path: Path) -> LightSample:
        """One crop of a street, its day disguised."""
        rng, s = self.rng, self.settings
        with np.load(path) as street:
            window = _window(rng, street["day"].shape[:2], s)
            source = street["rain" if rng.random() < s.rainy else "day"]
            night, dark, wet, dark_wet = (street[n] for n in ("night", "dark", "night_rain", "dark_rain"))
            kinds, panes, boxes, names = (street[n] for n in ("kinds", "panes", "boxes", "names"))
        masks = [np.isin(kinds, KIND_OF[k]) if k in KIND_OF else panes > 0 for k in KINDS[:-1]] + [lights_of(night)]
        take = _Taker(window, s.crop)
        colours = self.colours[rng.integers(len(self.colours))] if self.colours and rng.random() < s.transfer else None
        day = disguised(take(source), rng, colours)
        shining = take(np.isin(kinds, [int(g) for v in KIND_OF.values() for g in v] + [Glow.INTERIOR, Glow.SHOP]))
        boxes = boxes if rng.random() < s.labels else boxes[:0]
        given = np.concatenate(
            [day.transpose(2, 0, 1) / np.float32(127.5) - 1, _label_channels(boxes, names, take, rng)]
        )
        night_light, mask = linear(take(night)), np.stack([take(m) for m in masks])
        own = shining & (mask[KINDS.index("signal")] == 0)
        pools = [
            _on_surfaces(day, a, take(b), shining) for a, b in ((night_light, dark), (linear(take(wet)), dark_wet))
        ]
        return LightSample(
            given.astype(np.float32),
            mask.astype(np.float32),
            np.log(night_light + DARKEST).transpose(2, 0, 1).astype(np.float32),
            own.astype(np.float32),
            np.concatenate([p for p, _ in pools]).astype(np.float32),
            pools[0][1].astype(np.float32),
            np.ones(len(KINDS), np.float32),
        )

    def negative(self) -> LightSample:
        """A crop of a photo without near traffic: leaves against the sky are no lamps, red roofs no tail lights."""
        photo = self.photos[int(self.rng.integers(len(self.photos)))]
        w, h = self.settings.crop
        take = _Taker(_window(self.rng, photo.shape[:2], self.settings), (w, h))
        day = disguised(take(photo), self.rng, None)
        given = np.concatenate([day.transpose(2, 0, 1) / np.float32(127.5) - 1, np.zeros((len(GROUPS), h, w))])
        nothing, cells = np.zeros((h, w), np.float32), np.zeros((h // POOLS, w // POOLS), np.float32)
        return LightSample(
            given.astype(np.float32),
            np.repeat(nothing[None], len(KINDS), 0),
            np.repeat(nothing[None], 3, 0),
            nothing,
            np.repeat(cells[None], 6, 0),
            cells,
            np.array([k in KIND_OF for k in KINDS], np.float32),
        )


def _window(rng: np.random.Generator, shape: tuple[int, ...], s: LightStreetSettings) -> tuple[int, int, int, int]:
    """x, y, w, h of the part of a street that fills a crop."""
    zoom = float(np.exp(rng.uniform(*np.log(s.zoom))))
    w, h = min(round(s.crop[0] / zoom), shape[1]), min(round(s.crop[1] / zoom), shape[0])
    return int(rng.integers(0, shape[1] - w + 1)), int(rng.integers(0, shape[0] - h + 1)), w, h


@dataclass(frozen=True, slots=True)
class _Taker:
    """Cuts the same part out of each layer of a street and brings it to the crop's size; masks by their middle."""

    window: tuple[int, int, int, int]
    size: tuple[int, int]

    def __call__(self, layer: np.ndarray) -> np.ndarray:
        x, y, w, h = self.window
        part = layer[y : y + h, x : x + w]
        if layer.dtype == bool:
            return cv2.resize(part.astype(np.float32), self.size, interpolation=cv2.INTER_LINEAR) > 0.5
        how = cv2.INTER_AREA if w > self.size[0] else cv2.INTER_LINEAR
        return cv2.resize(part, self.size, interpolation=how)


def _label_channels(boxes: np.ndarray, names: np.ndarray, take: _Taker, rng: np.random.Generator) -> np.ndarray:
    """A channel of filled boxes for each group of labels, `3 h w`; boxes are missed and shifted as annotators do."""
    x, y, w, h = take.window
    scale = np.array([take.size[0] / w, take.size[1] / h] * 2)
    out = np.zeros((len(GROUPS), take.size[1], take.size[0]), np.float32)
    for box, name in zip(boxes, names, strict=False):
        group = group_of(str(name))
        if group is None or rng.random() < 0.1:
            continue
        x1, y1, x2, y2 = np.rint((box - (x, y, x, y)) * scale + rng.normal(0, 1, 4)).astype(int).clip(0)
        out[GROUPS.index(group), y1:y2, x1:x2] = 1
    return out


def _on_surfaces(day: np.ndarray, lit: np.ndarray, dark: Image, shining: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lamps' light over the day's at a quarter of the size, encoded, `3 y x`; and how much of each cell counts."""
    away = 1 - cv2.dilate(shining.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    size = (day.shape[1] // POOLS, day.shape[0] // POOLS)
    added = np.maximum(lit - linear(dark), 0) * away[..., None]
    share = cv2.resize(away, size, interpolation=cv2.INTER_AREA)
    least = np.maximum(share, 1e-3)[..., None]
    below = cv2.resize(linear(day.clip(0, 255).astype(np.uint8)) * away[..., None], size, interpolation=cv2.INTER_AREA)
    ratio = cv2.resize(added, size, interpolation=cv2.INTER_AREA) / least / (below / least + 0.02)
    return encoded(ratio).transpose(2, 0, 1), share


def _colour_moments(photo: Image) -> tuple[np.ndarray, np.ndarray]:
    lab = to_lab(resize(photo, (160, 90))).reshape(-1, 3)
    return lab.mean(0), lab.std(0) + 1


def disguised(image: Image, rng: np.random.Generator, colours: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """A render as another camera might have taken it: colours, exposure, texture, blur, noise, JPEG; float32 0..255."""
    out: np.ndarray = image.astype(np.float32)
    if colours is not None:
        lab = cv2.cvtColor(out / 255, cv2.COLOR_RGB2Lab)
        flat = lab.reshape(-1, 3)
        amount = float(rng.uniform(0.4, 1))
        moved = (lab - flat.mean(0)) / (flat.std(0) + 1) * colours[1] + colours[0]
        out = cv2.cvtColor((lab + amount * (moved - lab)).astype(np.float32), cv2.COLOR_Lab2RGB).clip(0, 1) * 255
    if rng.random() < 0.85:
        gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
        gain = 255 * rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.1, 3)
        out = (out / 255) ** gamma * gain.astype(np.float32)
        grey = out.mean(2, keepdims=True)
        out = grey + (out - grey) * float(rng.uniform(0.3, 1.4))
        out = (out - 128) * float(rng.uniform(0.75, 1.25)) + float(128 + rng.uniform(-15, 15))
    if rng.random() < 0.7:
        out *= _patchy(out.shape[:2], rng)[..., None]
    if rng.random() < 0.4:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.3)))
    elif rng.random() < 0.3:
        out += float(rng.uniform(0.3, 1.2)) * (out - cv2.GaussianBlur(out, (0, 0), 1.2))
    if rng.random() < 0.5:
        out += rng.normal(0, rng.uniform(1, 9), out.shape).astype(np.float32)
    out = out.clip(0, 255)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        _, data = cv2.imencode(".jpg", out.astype(np.uint8)[..., ::-1], quality)
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)[..., ::-1]
    return out


def _patchy(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Dirt, foliage and shade that a render lacks: noise of several sizes, about 1, `h w` float32."""
    out = np.ones(shape, np.float32)
    for cells in rng.choice([4, 8, 20, 50, 110], 2, replace=False):
        small = rng.normal(0, rng.uniform(0.02, 0.12), (max(int(cells * shape[0] / shape[1]), 2), int(cells)))
        out += cv2.resize(small.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return out
