"""From profiles and label maps to the aims of a batch: rows are (photo, domain), photos first."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from s2st_aug.arrays import Latent
from s2st_aug.errors import ProfileError
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.label_maps import LabelMaps
from s2st_aug.translation.losses import Aim, band_windows, normalised_gradients
from s2st_aug.translation.settings import MethodSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """The domains of every photo, in order, and the photos' label maps at the latents' size."""

    profiles: Sequence[DomainProfile]
    maps: Sequence[LabelMaps]
    settings: MethodSettings
    abar: float  # cumulative alpha of the level where this run's seeds lie


def seeds_at(profile: DomainProfile, abar: float) -> np.ndarray:
    """The profile's seed quantiles at another level: a seed's mean is sqrt(abar) of its latent's (docs/method.md#seed)."""
    shift = abar**0.5 - profile.seed_abar**0.5
    return profile.seeds + np.float32(shift) * profile.latents.mean(-1, keepdims=True)


def seed_aim(batch: Batch, seed: Latent) -> Aim:
    """The aim of seed translation in seed space."""
    s = batch.settings
    targets = [_Target.of(p, seeds_at(p, batch.abar), eta_of(p, s, p.eta_seeds), s) for p in batch.profiles]
    return _aim(batch, seed, targets, s.st_structure, s.st_appearance)


def clean_aim(batch: Batch, clean: Latent, structure: float | None = None, appearance: float | None = None) -> Aim:
    """The aim of trajectory optimisation (and of seed translation on the predicted clean latent)."""
    s = batch.settings
    targets = [_Target.of(p, p.latents, eta_of(p, s, p.eta), s) for p in batch.profiles]
    structure = s.to_structure if structure is None else structure
    return _aim(batch, clean, targets, structure, s.to_appearance if appearance is None else appearance)


@dataclass(frozen=True, slots=True)
class _Target:
    """One domain's statistics in the bands and views that count."""

    views: np.ndarray
    quantiles: np.ndarray
    eta: np.ndarray

    @classmethod
    def of(cls, profile: DomainProfile, quantiles: np.ndarray, eta: np.ndarray, s: MethodSettings) -> _Target:
        channels = quantiles.shape[1] if profile.views is None else profile.views.shape[1]
        views = np.eye(channels, dtype=np.float32) if profile.views is None else profile.views
        first, behind = slice(0, channels), slice(channels if len(views) > channels else 0, None)
        chosen = {"channels": first, "principal": behind, "both": slice(None)}[s.views]
        return cls(views[chosen], quantiles[:, chosen], weights(eta[:, chosen], s))


def eta_of(profile: DomainProfile, settings: MethodSettings, eta: Mapping[str, np.ndarray]) -> np.ndarray:
    """`eta` (the profile's, of latents or seeds) against the settings' source, `bands views`; raises ProfileError.

    A profile that was built against other sources alone stands in with its first where the settings ask for the default, day.
    """
    known, source = ", ".join(eta), settings.source
    if source not in eta:
        if not eta or source != MethodSettings.model_fields["source"].default:
            raise ProfileError(
                f"profile {profile.name!r} has no eta against {source!r}, only against: {known or 'nothing'}"
            )
        source = next(iter(eta))
        _warn_of_source(profile.name, source)
    if settings.eta != "uniform" and not eta[source].any():
        raise ProfileError(
            f"profile {profile.name!r}: the source already is {source}, nothing would change; for photos of another condition build it "
            "with --source NAME=DIR of them, and set method.source=NAME"
        )
    return eta[source]


@cache
def _warn_of_source(name: str, source: str) -> None:
    """Once for each profile."""
    log.warning(
        "profile %r was not built against day: its eta against %r counts; say which with method.source", name, source
    )


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
