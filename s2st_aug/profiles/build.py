"""A domain profile from unpaired photos: quantiles of latents and seeds by band, eta, the discriminant of strength."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2st_aug.arrays import Image
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.vocabulary import doubt_about
from s2st_aug.errors import ProfileError
from s2st_aug.images import read_image, resize
from s2st_aug.profiles.cleaning import Reference, ReferencePhotos, clean_references
from s2st_aug.profiles.colours import Colours, colours_of
from s2st_aug.records.profile import NO_LATENTS, Discriminant, DomainProfile
from s2st_aug.translation.losses import band_windows, weighted_quantiles
from s2st_aug.validation.strength import features as photo_features
from s2st_aug.validation.strength import fit_features

log = logging.getLogger(__name__)

QUANTILES = 128
BANDS = 3
INVERSION_STEPS = 10
MOST = 200  # photos of a folder that enter the statistics, evenly taken
DAY_PROMPT = "a street by day"
HELD_OUT = 5  # every fifth part of a folder, by sequence, is kept for the discriminant


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one domain: each photo's quantile functions (`photos bands views quantiles`) in latents and in seeds."""

    latents: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True, slots=True)
class Coded:
    """One photo: its latent and seed (`channels h w`) and the windows (`bands h w`) that its cells count in."""

    latent: torch.Tensor
    seed: torch.Tensor
    windows: torch.Tensor


@dataclass(frozen=True, slots=True)
class Measured:
    """One domain's photos, measured: codes (without a model none) and colours of the used ones, features of those held
    out.
    """

    codes: tuple[Coded, ...]
    features: np.ndarray | None
    references: tuple[Reference, ...]
    colours: Colours


def measure(
    model: LatentModel | None, photos: Sequence[ReferencePhotos], name: str, prompt: str, *, most: int = MOST
) -> Measured:
    """Clean, split, encode and invert a domain's photos: at most `most` of each folder, evenly taken.

    Without a model only what the images themselves say is measured. Raises ProfileError.
    """
    split = split_references(photos, name, most)
    codes = tuple(_coded(model, read_image(r.path), prompt, r.overlay) for r in split.used) if model else ()
    held = [photo_features(read_image(r.path)) for r in split.held]
    colours = colours_of(read_image(r.path) for r in split.used)
    return Measured(codes, np.stack(held).astype(np.float32) if held else None, tuple(split.used), colours)


def build_profile(
    model: LatentModel | None,
    name: str,
    prompt: str,
    references: Sequence[ReferencePhotos],
    sources: Mapping[str, Measured | DomainProfile],
    *,
    source_prompt: str = DAY_PROMPT,
    fitted_on: str = "photos",
    discriminant: Discriminant | None = None,
    most: int = MOST,
) -> DomainProfile:
    """A profile of `references` against each of `sources` (by name: measured photos, or the profile of that domain).

    A fifth of each folder (its last part by name: videos stay whole) is kept out of the statistics and fits the
    discriminant, unless one is given. What cleaning took away is logged. Without a model the profile has what images
    alone say (colours, discriminant): enough to judge any picture, and for the photometric methods.

    Raises ProfileError.
    """
    if not sources:
        raise ProfileError("a profile needs at least one source domain: --source NAME=DIR")
    if model is not None and model.vocabulary is not None:
        for doubt in filter(None, (doubt_about(model.vocabulary, text) for text in (prompt, source_prompt))):
            log.warning("%s", doubt)
    own = measure(model, references, name, prompt, most=most)
    fitted = discriminant or _discriminant(next(iter(sources.values())).features, own.features, fitted_on)
    images_alone = DomainProfile(
        name=name,
        prompt=prompt,
        source_prompt=source_prompt,
        model_sha256="",
        latents=NO_LATENTS,
        seeds=NO_LATENTS,
        eta={},
        eta_seeds={},
        references=tuple(r.name for r in own.references),
        references_sha256=tuple(r.sha256 for r in own.references),
        discriminant=fitted,
        sha256="",
        features=own.features,
        colours=own.colours.quantiles.astype(np.float32),
    )
    if model is None:
        return images_alone
    views = _views(own, next(iter(sources.values())))
    stats = statistics(own, views)
    theirs = {source: _source_statistics(found, views) for source, found in sources.items()}
    return replace(
        images_alone,
        model_sha256=model.sha256,
        latents=stats.latents.mean(0).astype(np.float32),
        seeds=stats.seeds.mean(0).astype(np.float32),
        eta={source: eta(other.latents, stats.latents) for source, other in theirs.items()},
        eta_seeds={source: eta(other.seeds, stats.seeds) for source, other in theirs.items()},
        views=views,
        seed_abar=model.schedule.abar(model.schedule.timesteps(INVERSION_STEPS)[0]),
    )


def _source_statistics(source: Measured | DomainProfile, views: np.ndarray) -> Statistics:
    if isinstance(source, Measured):
        return statistics(source, views)
    return Statistics(source.latents[None], source.seeds[None])


def _views(target: Measured, source: Measured | DomainProfile) -> np.ndarray:
    """The latent channels and, behind them, the principal directions of both domains; a profile's own views stay."""
    if isinstance(source, DomainProfile) and source.views is not None:
        return source.views
    codes = [*target.codes, *(source.codes if isinstance(source, Measured) else ())]
    cells = torch.cat([c.latent.flatten(1)[:, ::7] for c in codes], 1).double()
    directions = torch.linalg.eigh(torch.cov(cells))[1].flip(1).T
    signs = torch.where(directions.sum(1, keepdim=True) < 0, -1.0, 1.0)
    return np.concatenate([np.eye(len(directions)), (directions * signs).numpy()]).astype(np.float32)


def eta(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """eta_c = W1(H_c^A, H_c^B) over the within-domain spread of W1, mean 1. `photos bands views quantiles` each."""
    between = np.abs(source.mean(0) - target.mean(0)).mean(-1)
    within = (_spread(source) + _spread(target)) / 2
    ratio = between / np.maximum(within, 1e-6)
    return (ratio / max(float(ratio.mean()), 1e-9)).astype(np.float32)


def _spread(photos: np.ndarray) -> np.ndarray:
    """Mean W1 of a domain's photos to the domain's own mean quantile function."""
    return np.abs(photos - photos.mean(0)).mean((0, -1))


def statistics(measured: Measured, views: np.ndarray) -> Statistics:
    """Quantile functions of latents and of seeds in every view and band, photo by photo."""
    directions = torch.from_numpy(views)

    def quantiles(z: torch.Tensor, windows: torch.Tensor) -> np.ndarray:
        seen = torch.einsum("vc,chw->vhw", directions, z)
        return weighted_quantiles(seen[None], windows[None], QUANTILES)[0].numpy()

    latents, seeds = ([quantiles(getattr(c, name), c.windows) for c in measured.codes] for name in ("latent", "seed"))
    return Statistics(np.stack(latents), np.stack(seeds))


@torch.no_grad()
def _coded(model: LatentModel, photo: Image, prompt: str, overlay: np.ndarray) -> Coded:
    """A photo encoded and inverted at its own working size; cells of the overlay do not count."""
    size = model.working_size(photo.shape[1], photo.shape[0])
    pixels = torch.from_numpy(resize(photo, size)).to(model.device).permute(2, 0, 1)[None].float() / 127.5 - 1
    clean = model.encode(pixels).float()
    predict = with_context(model.denoiser, model.embed([prompt]).to(torch.float32))
    seed = ddim.invert(predict, clean, model.schedule, INVERSION_STEPS)[-1]
    windows = band_windows(clean.shape[2], clean.shape[3], BANDS)
    if overlay.any():
        free = 1 - resize(overlay.astype(np.float32), (clean.shape[3], clean.shape[2]))
        windows = windows * torch.from_numpy(np.clip(free, 1e-3, 1))
    return Coded(clean[0].cpu(), seed[0].cpu(), windows)


@dataclass(frozen=True, slots=True)
class Split:
    """A domain's cleaned photos: those that the statistics use, and those held out for the discriminant."""

    used: list[Reference]
    held: list[Reference]

    @property
    def everything(self) -> list[Reference]:
        """Both parts."""
        return [*self.used, *self.held]


def split_references(photos: Sequence[ReferencePhotos], name: str, most: int = MOST) -> Split:
    """Clean each folder (what was taken away is logged) and hold out its last fifth; each keeps its own overlay.

    The last fifth is in order of name: neighbouring frames of a video stay on one side.
    """
    parts = []
    for one in photos:
        cleaned = clean_references(one)
        for line in cleaned.lines(f"{name} ({one.folder.name}/{one.match})"):
            log.info(line)
        cut = len(cleaned.kept) - len(cleaned.kept) // HELD_OUT
        parts.append(Split(_evenly(list(cleaned.kept[:cut]), most), _evenly(list(cleaned.kept[cut:]), most)))
    return Split([r for p in parts for r in p.used], [r for p in parts for r in p.held])


def _evenly(items: list[Reference], most: int) -> list[Reference]:
    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[i] for i in chosen] if items else []


def _discriminant(sources: np.ndarray | None, targets: np.ndarray | None, fitted_on: str) -> Discriminant | None:
    """Fitted on the photos held out; None (strength stays null, with a warning) where they are too few."""
    if sources is None or targets is None or min(len(sources), len(targets)) < 4:
        log.warning(
            "no discriminant: it needs 4 held-out photos of each domain, 20 in each folder; strength will be null"
        )
        return None
    return fit_features(sources.astype(np.float64), targets.astype(np.float64), fitted_on)
