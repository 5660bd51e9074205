"""The whole method for a batch: photos and domains in, translated images of the photos' own size out."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from s2st_aug.arrays import AnyImage, Context, Image, Latent
from s2st_aug.diffusion.denoiser import Denoiser
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.errors import Diverged, ProfileError, did_you_mean
from s2st_aug.images import resize
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.translation.adam import Descent
from s2st_aug.translation.aims import Batch, clean_aim, eta_of, seed_aim
from s2st_aug.translation.detail import Finished, restore_detail
from s2st_aug.translation.inversion import Inversion, invert
from s2st_aug.translation.label_maps import LabelMaps, label_maps
from s2st_aug.translation.sampling import Sampled, sample
from s2st_aug.translation.seed_translation import Look, translate_seed
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.signals import hold_signals
from s2st_aug.translation.trajectory import source_offsets
from s2st_aug.translation.working_size import working_size

log = logging.getLogger(__name__)
EXPLODED = 4.0  # times the source's and the target's largest latent; guidance 20 without optimisation reaches 1.3
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Translator:
    """A model, domain profiles and settings, ready to translate.

    Raises ProfileError for another model's profile, and for one without eta against the settings' source.
    """

    def __init__(self, model: LatentModel, profiles: Mapping[str, DomainProfile], settings: MethodSettings):
        for name, profile in profiles.items():
            if profile.model_sha256 != model.sha256:
                raise ProfileError(
                    f"profile {name!r} was built for another model than {model.name}; build it anew: s2st-aug domain build"
                )
            eta_of(profile, settings, profile.eta)
        self.model, self.profiles, self.settings = model, dict(profiles), settings
        self._embedded: dict[str, Context] = {}
        if settings.checkpointing and model.checkpointing:
            model.checkpointing()
        if settings.compile and model.compiling:
            model.compiling()

    def translate(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        """Every photo in every domain. With `objects` the translation is label-aware (if the settings say so).

        `keys` (one a photo) draw the seed's fresh noise where `seed_noise` asks for some. A variant that is not finite, or exploded, in
        float32 too comes back as a Diverged error in its place, and does not touch the others.
        """
        for unknown in set(domains) - set(self.profiles):
            raise ProfileError(f"no profile for domain {unknown!r}{did_you_mean(unknown, self.profiles)}")
        results: list[dict[str, Translated | Diverged]] = [{} for _ in photos]
        for size, members in self._by_size(photos).items():
            some = _Photos([photos[i] for i in members], [objects[i] if objects else () for i in members], size)
            some_keys = [keys[i] for i in members] if keys else [0] * len(members)
            for i, result in zip(members, self._one_size(some, domains, some_keys), strict=True):
                results[i] = result
        return results

    def size_of(self, photo: Image) -> tuple[int, int]:
        """(width, height) at which this photo is diffused."""
        return working_size(photo.shape[1], photo.shape[0], self.model.native_size, self.model.stride)

    def _by_size(self, photos: Sequence[AnyImage]) -> dict[tuple[int, int], list[int]]:
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, photo in enumerate(photos):
            groups[self.size_of(photo)].append(i)
        return groups

    def _one_size(
        self, photos: _Photos, domains: Sequence[str], keys: Sequence[int]
    ) -> list[dict[str, Translated | Diverged]]:
        """Photos of one working size: one batch of encoding and inversion, one of all their (photo, domain) rows after it."""
        decoded = self._diffuse(photos, domains, keys, self._denoiser(DTYPES[self.settings.dtype]))
        broken = [r for r, why in enumerate(decoded.broken) if why]
        if broken and self.settings.dtype != "float32":
            log.warning(
                "%d of %d variants were broken in %s; again in float32",
                len(broken),
                len(decoded.variants),
                self.settings.dtype,
            )
            again = sorted({r // len(domains) for r in broken})
            second = self._diffuse(photos.some(again), domains, [keys[i] for i in again], self._denoiser(torch.float32))
            decoded = decoded.mended(second, [i * len(domains) + d for i in again for d in range(len(domains))])
        holds = [photos.hold(i, self.settings) for i in range(len(photos.images))]
        rows = [
            self._finish(photos, decoded, r, r // len(domains), domains[r % len(domains)], holds[r // len(domains)])
            for r in range(len(decoded.variants))
        ]
        return [dict(zip(domains, rows[i : i + len(domains)], strict=True)) for i in range(0, len(rows), len(domains))]

    @torch.no_grad()
    def _diffuse(self, photos: _Photos, domains: Sequence[str], keys: Sequence[int], denoise: Denoiser) -> _Decoded:
        s, count = self.settings, len(domains)
        clean = self.model.encode(photos.pixels(self.model.device)).float()
        profiles = [self.profiles[d] for d in domains]
        context = self._embed([profiles[0].source_prompt] * len(clean))
        source = invert(
            denoise,
            self.model.schedule,
            clean,
            context,
            steps=s.steps,
            refinements=s.inversion_refinements,
            solver=s.solver,
        )
        offsets = (
            source_offsets(denoise, self.model.schedule, source, context, solver=s.solver)
            if s.to_method == "direct"
            else None
        )
        batch = Batch(
            profiles,
            photos.label_maps(clean, s),
            s,
            self.model.schedule.abar(self.model.schedule.timesteps(s.steps)[0]),
        )
        prompt, empty = self._embed([p.prompt for p in profiles] * len(clean)), self._embed([""] * len(clean) * count)
        seed, st_used = self._translate_seed(
            _fresh(source.seed, keys, s.seed_noise).repeat_interleave(count, 0), batch, source, prompt, denoise
        )
        offsets = [o.repeat_interleave(count, 0) for o in offsets] if offsets else None
        done = sample(denoise, self.model.schedule, seed, prompt, empty, clean_aim(batch, clean), s, offsets)
        shared = source.evaluations + (s.steps if offsets else 0)
        return self._decode(clean, done, st_used, shared / count, _plausible(clean, profiles))

    def _translate_seed(
        self, seed: Latent, batch: Batch, source: Inversion, prompt: Context, denoise: Denoiser
    ) -> tuple[Latent, Tensor]:
        s = self.settings
        aim = (
            seed_aim(batch, source.seed)
            if s.st_space == "seed"
            else clean_aim(batch, source.clean, s.st_structure, s.st_appearance)
        )
        look = self._look(denoise, prompt) if s.st_space == "x0" else None
        return translate_seed(seed, aim, Descent(s.st_iterations, s.st_rate, s.st_tolerance), look)

    def _look(self, denoise: Denoiser, prompt: Context) -> Look:
        from s2st_aug.diffusion.ddim import predicted_x0

        t = self.model.schedule.timesteps(self.settings.steps)[0]
        return lambda z, rows: predicted_x0(z, denoise(z, t, prompt[rows]), self.model.schedule.abar(t))

    def _decode(self, clean: Latent, done: Sampled, st_used: Tensor, shared: float, plausible: Tensor) -> _Decoded:
        looked = st_used if self.settings.st_space == "x0" else torch.zeros_like(st_used)
        pixels = self.model.decode(torch.cat([clean, done.latent])).float()
        images = ((pixels + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()
        finite = torch.isfinite(pixels[len(clean) :]).flatten(1).all(1) & torch.isfinite(done.latent).flatten(1).all(1)
        reached = torch.stack([finite, done.latent.abs().amax((1, 2, 3)), plausible], 1).tolist()
        own = torch.stack([st_used, done.iterations, done.forward + looked, done.backward + looked], 1)
        costs = own.cpu().numpy() + np.array([0, 0, shared, 0])
        return _Decoded(images[: len(clean)], images[len(clean) :], [_why_broken(*row) for row in reached], costs)

    def _finish(
        self, photos: _Photos, decoded: _Decoded, row: int, i: int, domain: str, hold: np.ndarray | None
    ) -> Translated | Diverged:
        if decoded.broken[row]:
            return Diverged(f"domain {domain}: the translation {decoded.broken[row]}, in float32 too")
        s, photo, objects = self.settings, photos.images[i], photos.objects[i] if self.settings.label_aware else ()
        seen, variant = decoded.seen[i], decoded.variants[row]
        done = restore_detail(
            photo, seen, variant, amount=s.detail, floor=s.detail_floor, hold=hold, held=s.label_detail
        )
        done = Finished(hold_signals(photo, done.image, objects), done.raw) if objects else done
        st, to, forward, backward = decoded.costs[row].tolist()
        return Translated(done.image, done.raw, int(st), int(to), forward, backward, self.settings.steps)

    def _embed(self, prompts: list[str]) -> Context:
        """Prompts' embeddings, each computed once."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._embedded]
        if new:
            self._embedded |= dict(zip(new, self.model.embed(new).detach().float(), strict=True))
        return torch.stack([self._embedded[p] for p in prompts])

    def _denoiser(self, dtype: torch.dtype) -> Denoiser:
        """The network under autocast where half precision is asked for; latents stay in float32."""
        network, device = self.model.denoiser, self.model.device.type
        if dtype == torch.float32:
            return network

        def denoise(latents: Latent, t: int, context: Context) -> Latent:
            with torch.autocast(device, dtype):
                return network(latents, t, context).float()

        return denoise


@dataclass(frozen=True, slots=True, eq=False)
class _Photos:
    """Photos of one working size."""

    images: list[AnyImage]
    objects: list[Sequence[SceneObject]]
    size: tuple[int, int]

    def some(self, members: Sequence[int]) -> _Photos:
        return _Photos([self.images[i] for i in members], [self.objects[i] for i in members], self.size)

    def pixels(self, device: torch.device) -> Tensor:
        small = torch.from_numpy(np.stack([resize(image, self.size) for image in self.images]))
        if device.type == "cuda":  # from pinned memory the copy runs beside the computation
            small = small.pin_memory()
        return small.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1

    def label_maps(self, clean: Latent, settings: MethodSettings) -> list[LabelMaps]:
        weights = {"structure": settings.label_weight, "appearance": settings.label_appearance}
        return [self._maps(i, (clean.shape[3], clean.shape[2]), settings, **weights) for i in range(len(self.images))]

    def hold(self, i: int, settings: MethodSettings) -> np.ndarray | None:
        return self._maps(i, self.size, settings).hold if settings.label_aware and self.objects[i] else None

    def _maps(self, i: int, grid: tuple[int, int], settings: MethodSettings, **weights: float) -> LabelMaps:
        return label_maps(self.objects[i] if settings.label_aware else (), self.images[i].shape[1::-1], grid, **weights)


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """What leaves the device: the sources' round trips, the variants, and what each row used."""

    seen: np.ndarray
    variants: np.ndarray
    broken: list[str]  # what is wrong with a row's latents; "" for nothing
    costs: (
        np.ndarray
    )  # "rows 4": ST and TO iterations, forward (with their part of the inversion) and backward evaluations

    def mended(self, other: _Decoded, rows: list[int]) -> _Decoded:
        """The broken among these rows from another attempt of them all, whose evaluations are added to each."""
        variants, broken, costs = self.variants.copy(), [*self.broken], self.costs.copy()
        for k, row in enumerate(rows):
            costs[row, 2:] += other.costs[k, 2:]
            if broken[row]:
                variants[row], broken[row], costs[row, :2] = other.variants[k], other.broken[k], other.costs[k, :2]
        return replace(self, variants=variants, broken=broken, costs=costs)


def _plausible(clean: Latent, profiles: Sequence[DomainProfile]) -> Float[Tensor, " rows"]:
    """The largest |latent| that a row may reach: EXPLODED times what its source or its target's profile does."""
    own = clean.abs().amax((1, 2, 3)).repeat_interleave(len(profiles))
    targets = clean.new_tensor([float(np.abs(p.latents).max()) for p in profiles]).repeat(len(clean))
    return EXPLODED * torch.maximum(own, targets)


def _why_broken(finite: float, reached: float, plausible: float) -> str:
    if not finite:
        return "is not finite"
    return f"exploded (a latent of {reached:.3g}, expected below {plausible:.3g})" if reached > plausible else ""


def _fresh(seed: Latent, keys: Sequence[int], share: float) -> Latent:
    """The seed with a share of fresh noise (variance kept), drawn on the CPU from each sample's own key."""
    if not share:
        return seed
    noise = torch.stack([torch.randn(seed.shape[1:], generator=torch.Generator().manual_seed(key)) for key in keys])
    return (1 - share**2) ** 0.5 * seed + share * noise.to(seed)
