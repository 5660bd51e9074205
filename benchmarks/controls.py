"""Photometric controls: what costs nothing and must be beaten (docs/method.md#controls).

They know the target's colours, not its content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2st_aug.arrays import AnyImage, Image
from s2st_aug.images import from_lab, resize, to_lab

BANDS = 3
LEVELS = np.linspace(0, 1, 256)
THUMB = (160, 96)


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """What a control knows of a domain: mean CIELAB quantile functions by horizontal band, `bands 3 256`."""

    quantiles: np.ndarray


def colours(photos: Sequence[AnyImage]) -> Colours:
    """The target's colours from its references."""
    return Colours(np.mean([_band_quantiles(to_lab(resize(p, THUMB))) for p in photos], axis=0))


def identity(image: Image, _target: Colours) -> Image:
    """The source itself."""
    return image


def match_histograms(image: Image, target: Colours) -> Image:
    """Each horizontal band's CIELAB histograms are those of the target; bands overlap linearly, so that no seam shows."""
    lab = to_lab(image)
    own = _band_quantiles(to_lab(resize(image, THUMB)))
    mapped = [_mapped(lab, own[band], target.quantiles[band]) for band in range(BANDS)]
    place = np.clip((np.arange(len(lab)) + 0.5) / len(lab) * BANDS - 0.5, 0, BANDS - 1)
    weight = np.clip(1 - np.abs(place[None] - np.arange(BANDS)[:, None]), 0, 1)
    return from_lab(sum(w[:, None, None] * m for w, m in zip(weight.astype(np.float32), mapped, strict=True)))


def gamma_desaturated(image: Image, target: Colours) -> Image:
    """One gamma that gives the target's mean lightness, and chroma scaled to the target's mean chroma."""
    lab = to_lab(image)
    light = np.clip(lab[..., 0] / 100, 1e-3, 1)
    goal = float(target.quantiles[:, 0].mean()) / 100
    lab[..., 0] = 100 * light ** _gamma(light, goal)
    wanted = np.abs(target.quantiles[:, 1:]).mean()
    lab[..., 1:] *= min(1.0, wanted / max(float(np.abs(lab[..., 1:]).mean()), 1e-3))
    return from_lab(lab)


def reinhard(image: Image, target: Colours) -> Image:
    """Reinhard et al. 2001: mean and deviation of each CIELAB channel are the target's."""
    lab = to_lab(image)
    mean, deviation = target.quantiles.mean((0, 2)), target.quantiles.std((0, 2))
    own_mean, own_deviation = lab.reshape(-1, 3).mean(0), lab.reshape(-1, 3).std(0) + 1e-3
    return from_lab((lab - own_mean) / own_deviation * deviation + mean)


CONTROLS: dict[str, Callable[[Image, Colours], Image]] = {
    "identity": identity,
    "histogram": match_histograms,
    "gamma": gamma_desaturated,
    "reinhard": reinhard,
}


def faded(image: Image, changed: Image, share: float) -> Image:
    """A control's own knob: `share` of the change, 0..1."""
    return cv2.addWeighted(changed, share, image, 1 - share, 0)


def _band_quantiles(lab: np.ndarray) -> np.ndarray:
    return np.stack([np.quantile(band.reshape(-1, 3), LEVELS, axis=0).T for band in np.array_split(lab, BANDS)])


def _mapped(lab: np.ndarray, own: np.ndarray, target: np.ndarray) -> np.ndarray:
    steps = np.arange(256) * 1e-6  # strictly rising, as interpolation wants
    channels = [np.interp(lab[..., c], own[c] + steps, target[c]) for c in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _gamma(light: np.ndarray, goal: float) -> float:
    low, high = 0.1, 12.0
    small = light[::4, ::4]
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if (small**middle).mean() > goal else (low, middle)
    return (low + high) / 2
