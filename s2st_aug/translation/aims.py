"""From profiles and label maps to the aims of a batch: rows are (photo, domain), photos first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.losses import Aim, band_windows, normalised_gradients
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.weights import LabelMaps


@dataclass(frozen=True, slots=True)
class Batch:
    """The domains of every photo, in order, and the photos' label maps at the latents' size."""

    profiles: Sequence[DomainProfile]
    maps: Sequence[LabelMaps]
    settings: MethodSettings
    abar: float  # cumulative alpha of the level where this run's seeds lie


def seeds_at(profile: DomainProfile, abar: float) -> np.ndarray:
    """The profile's seed quantiles at another level: a seed's mean is sqrt(abar) of its latent's (METHOD, why the seed matters)."""
    shift = abar**0.5 - profile.seed_abar**0.5
    return profile.seeds + np.float32(shift) * profile.latents.mean(-1, keepdims=True)


def seed_aim(batch: Batch, seed: Latent) -> Aim:
    """The aim of seed translation in seed space."""
    s = batch.settings
    targets = [_Target.of(p, seeds_at(p, batch.abar), p.eta_seeds, s) for p in batch.profiles]
    return _aim(batch, seed, targets, s.st_structure, s.st_appearance)


def clean_aim(batch: Batch, clean: Latent, structure: float | None = None, appearance: float | None = None) -> Aim:
    """The aim of trajectory optimisation (and of seed translation on the predicted clean latent)."""
    s = batch.settings
    targets = [_Target.of(p, p.latents, p.eta, s) for p in batch.profiles]
    structure = s.to_structure if structure is None else structure
    return _aim(batch, clean, targets, structure, s.to_appearance if appearance is None else appearance)


@dataclass(frozen=True, slots=True)
class _Target:
    """One domain's statistics in the bands and views that count."""

    views: np.ndarray
    quantiles: np.ndarray
    eta: np.ndarray

    @classmethod
    def of(cls, profile: DomainProfile, quantiles: np.ndarray, eta: dict[str, np.ndarray], s: MethodSettings) -> _Target:
        channels = quantiles.shape[1] if profile.views is None else profile.views.shape[1]
        views = np.eye(channels, dtype=np.float32) if profile.views is None else profile.views
        first, behind = slice(0, channels), slice(channels if len(views) > channels else 0, None)
        chosen = {"channels": first, "principal": behind, "both": slice(None)}[s.views]
        return cls(views[chosen], quantiles[:, chosen], weights(_of_source(eta)[:, chosen], s))


def _of_source(eta: dict[str, np.ndarray]) -> np.ndarray:
    return eta["day"] if "day" in eta else next(iter(eta.values()))


def weights(own: np.ndarray, settings: MethodSettings) -> np.ndarray:
    """eta as the settings want it, `bands views` of mean 1 over what counts: whole image, bands, or both."""
    kinds = {
        "profile": own,
        "uniform": np.ones_like(own),
        "shuffled": np.roll(own, 1, axis=1),
        "inverted": 1 / np.maximum(own, 0.05),
    }
    counted = np.zeros((len(own), 1))
    counted[{"whole": slice(0, 1), "bands": slice(1, None), "both": slice(None)}[settings.bands]] = 1
    chosen = kinds[settings.eta] * counted
    return (chosen / max(chosen.mean(), 1e-9)).astype(np.float32)


def _aim(batch: Batch, source: Latent, targets: list[_Target], structure: float, appearance: float) -> Aim:
    photos, domains = len(source), len(targets)
    quantiles = _rows([t.quantiles for t in targets], source).repeat(photos, 1, 1, 1)
    height, width = source.shape[2:]
    bands = band_windows(height, width, quantiles.shape[1] - 1).to(source)
    light = _rows([m.appearance for m in batch.maps], source)
    return Aim(
        gradients=normalised_gradients(source).repeat_interleave(domains, 0),
        structure_map=_rows([m.structure for m in batch.maps], source)[:, None].repeat_interleave(domains, 0),
        windows=(bands * light[:, None]).repeat_interleave(domains, 0),
        views=_rows([t.views for t in targets], source).repeat(photos, 1, 1),
        quantiles=quantiles,
        eta=_rows([t.eta for t in targets], source).repeat(photos, 1, 1),
        structure=structure,
        appearance=appearance,
        tail=batch.settings.tail,
    )


def _rows(arrays: Sequence[np.ndarray], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device=like.device, dtype=like.dtype)
