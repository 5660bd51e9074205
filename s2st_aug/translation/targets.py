"""From domain profiles and label maps to the loss targets of a batch: rows are (photo, domain), photos first."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from s2st_aug.diffusion.denoiser import Latent
from s2st_aug.errors import ProfileError
from s2st_aug.records.profile import DomainProfile
from s2st_aug.translation.label_maps import LabelMaps
from s2st_aug.translation.losses import LossTarget, band_windows, normalised_gradients
from s2st_aug.translation.settings import MethodSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DomainStatistics:
    """What a profile says of its domain's latents or seeds, in the bands and views that the settings count."""

    views: np.ndarray  # "views channels"
    quantiles: np.ndarray  # "bands views quantiles"
    eta: np.ndarray  # "bands views"

    @classmethod
    def of(
        cls, profile: DomainProfile, quantiles: np.ndarray, eta: Mapping[str, np.ndarray], settings: MethodSettings
    ) -> DomainStatistics:
        """`quantiles` and `eta` are the profile's own of latents, or of seeds. Raises ProfileError (see `eta_of`)."""
        channels = quantiles.shape[1] if profile.views is None else profile.views.shape[1]
        views = np.eye(channels, dtype=np.float32) if profile.views is None else profile.views
        first, behind = slice(0, channels), slice(channels if len(views) > channels else 0, None)
        chosen = {"channels": first, "principal": behind, "both": slice(None)}[settings.views]
        own = eta_of(profile, settings, eta)
        return cls(views[chosen], quantiles[:, chosen], eta_weights(own[:, chosen], settings))


@dataclass(frozen=True, slots=True)
class TargetDomains:
    """The target domains of every photo, in order, and the photos' label maps at the latents' size.

    `seed_abar` is the cumulative alpha of the level where the run's seeds lie.
    """

    profiles: Sequence[DomainProfile]
    maps: Sequence[LabelMaps]
    settings: MethodSettings
    seed_abar: float

    def seed_target(self, seed: Latent) -> LossTarget:
        """The target of seed translation in seed space; `seed` are the photos' own, one row a photo."""
        s = self.settings
        found = [DomainStatistics.of(p, seeds_at(p, self.seed_abar), p.eta_seeds, s) for p in self.profiles]
        return self._target(seed, found, s.st_structure, s.st_appearance)

    def clean_target(self, clean: Latent, structure: float, appearance: float) -> LossTarget:
        """The target of what is optimised on clean latents, with the weights of the two losses; one row a photo."""
        found = [DomainStatistics.of(p, p.latents, p.eta, self.settings) for p in self.profiles]
        return self._target(clean, found, structure, appearance)

    def _target(
        self, source: Latent, domains: list[DomainStatistics], structure: float, appearance: float
    ) -> LossTarget:
        photos, count = len(source), len(domains)

        def tensor(arrays: Sequence[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.stack(arrays)).to(device=source.device, dtype=source.dtype)

        quantiles = tensor([d.quantiles for d in domains]).repeat(photos, 1, 1, 1)
        bands = band_windows(source.shape[2], source.shape[3], quantiles.shape[1] - 1).to(source)
        by_labels = tensor([m.appearance for m in self.maps])
        by_structure = tensor([m.structure for m in self.maps])[:, None] - (1 - self.settings.structure_elsewhere)
        return LossTarget(
            gradients=normalised_gradients(source).repeat_interleave(count, 0),
            structure_map=by_structure.repeat_interleave(count, 0),
            windows=(bands * by_labels[:, None]).repeat_interleave(count, 0),
            views=tensor([d.views for d in domains]).repeat(photos, 1, 1),
            quantiles=quantiles,
            eta=tensor([d.eta for d in domains]).repeat(photos, 1, 1),
            structure=structure,
            appearance=appearance,
            tail=self.settings.tail,
            one_sided=self.settings.structure_sides == "one",
        )


def seeds_at(profile: DomainProfile, abar: float) -> np.ndarray:
    """The seed quantiles at another level; a seed's mean is sqrt(abar) of its latent's (docs/method.md#seed)."""
    shift = abar**0.5 - profile.seed_abar**0.5
    return profile.seeds + np.float32(shift) * profile.latents.mean(-1, keepdims=True)


def eta_of(profile: DomainProfile, settings: MethodSettings, eta: Mapping[str, np.ndarray]) -> np.ndarray:
    """`eta` (the profile's, of latents or seeds) against the settings' source, `bands views`; raises ProfileError.

    A profile that was built against other sources alone stands in with its first where the settings ask for the
    default, day.
    """
    known, source = ", ".join(eta), settings.source
    if source not in eta:
        if not eta or source != MethodSettings.model_fields["source"].default:
            raise ProfileError(
                f"profile {profile.name!r} was not built against {source!r}, only against: {known or 'nothing'}; set "
                "method.source to one of these, or build the profile again with --source NAME=DIR"
            )
        source = next(iter(eta))
        _warn_of_source(profile.name, source)
    if settings.eta != "uniform" and not eta[source].any():
        raise ProfileError(
            f"profile {profile.name!r}: source and target are both {source}, so nothing would change; if your photos "
            "show another condition, build the profile with --source NAME=DIR and set method.source=NAME"
        )
    return eta[source]


@cache
def _warn_of_source(name: str, source: str) -> None:
    """Once for each profile."""
    log.warning(
        "profile %r was not built against day; its weights against %r are used; method.source chooses others",
        name,
        source,
    )


def eta_weights(own: np.ndarray, settings: MethodSettings) -> np.ndarray:
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
