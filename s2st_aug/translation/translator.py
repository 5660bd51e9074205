"""From photos to translated photos: batches of one size, float32 where half precision failed, detail, and the cost."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from s2st_aug.arrays import AnyImage
from s2st_aug.diffusion.denoiser import Context, Denoiser, Latent
from s2st_aug.diffusion.model import LatentModel, Pixels
from s2st_aug.errors import Diverged, ProfileError, did_you_mean
from s2st_aug.images import resize
from s2st_aug.lights.layer import LitPhoto, light_layer
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.translation.detail import restore_detail
from s2st_aug.translation.label_maps import LabelMaps, label_maps
from s2st_aug.translation.s2st import Prompts, Translation, s2st
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.signals import hold_signals
from s2st_aug.translation.targets import TargetDomains, eta_of

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
                    f"profile {name!r} was built for another model than {model.name}; "
                    "build one for this model with s2st-aug domain build"
                )
            eta_of(profile, settings, profile.eta)
        self.model, self.profiles, self.settings = model, dict(profiles), settings
        self._lights = light_layer(settings.lights, settings.light_map, str(model.device))
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

        `keys` (one a photo) draw the seed's fresh noise where `seed_noise` asks for some. A variant that is not finite,
        or exploded, in float32 too comes back as a Diverged error in its place, and does not touch the others.
        """
        return self.start(photos, domains, objects, keys)()

    def start(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> Callable[[], list[dict[str, Translated | Diverged]]]:
        """What the device does of `translate`; what is given back does the rest, in any thread.

        That is detail, lights and signals at full size, which take as long as a short network: the device can be given
        its next batch meanwhile.
        """
        for unknown in set(domains) - set(self.profiles):
            raise ProfileError(f"no profile for domain {unknown!r}{did_you_mean(unknown, self.profiles)}")
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, photo in enumerate(photos):
            by_size[self.model.working_size(photo.shape[1], photo.shape[0])].append(i)
        started: list[tuple[list[int], _SizeGroup, _Decoded]] = []
        for size, members in by_size.items():
            labels = [objects[i] if objects and self.settings.label_aware else () for i in members]
            group = _SizeGroup([photos[i] for i in members], labels, [keys[i] if keys else 0 for i in members], size)
            started.append((members, group, self._decoded(group, domains)))

        def finish() -> list[dict[str, Translated | Diverged]]:
            results: list[dict[str, Translated | Diverged]] = [{} for _ in photos]
            for members, group, decoded in started:
                for i, result in zip(members, self._finished(group, decoded, domains), strict=True):
                    results[i] = result
            return results

        return finish

    def _decoded(self, group: _SizeGroup, domains: Sequence[str]) -> _Decoded:
        """One batch of encoding and inversion, and one of all (photo, domain) rows after it.

        Broken rows again in float32.
        """
        settings = self.settings
        decoded = self._diffuse(group, domains, DTYPES[settings.dtype])
        broken = [row for row, why in enumerate(decoded.broken) if why]
        halves = {settings.dtype, settings.autoencoder_dtype} - {"float32"}
        if not broken or not halves:
            return decoded
        log.warning(
            "%d of %d variants were not finite or too large in %s; they are computed again in float32",
            *(len(broken), len(decoded.variants), " and ".join(sorted(halves))),
        )
        photos = sorted({row // len(domains) for row in broken})
        with self.model.full_weights():
            second = self._diffuse(group.some(photos), domains, torch.float32)
        return decoded.replace_failed(second, [i * len(domains) + d for i in photos for d in range(len(domains))])

    def _finished(
        self, group: _SizeGroup, decoded: _Decoded, domains: Sequence[str]
    ) -> list[dict[str, Translated | Diverged]]:
        results: list[dict[str, Translated | Diverged]] = []
        for i in range(len(group.photos)):
            keep_mask = group.label_maps(i, group.size).keep_mask if group.objects[i] else None
            first = i * len(domains)
            lit = self._lights.over(group.photos[i], domains, group.objects[i]) if self._lights else None
            results.append(
                {d: self._finish(group, decoded, i, first + n, d, keep_mask, lit) for n, d in enumerate(domains)}
            )
        return results

    @torch.no_grad()
    def _diffuse(self, group: _SizeGroup, domains: Sequence[str], dtype: torch.dtype) -> _Decoded:
        s, schedule, count = self.settings, self.model.schedule, len(domains)
        clean = self.model.encode(group.pixels(self.model.device)).float()
        photos, grid = len(clean), (clean.shape[3], clean.shape[2])
        profiles = [self.profiles[d] for d in domains]
        maps = [
            group.label_maps(i, grid, structure=s.label_weight, appearance=s.label_appearance) for i in range(photos)
        ]
        prompts = Prompts(
            self._embed([profiles[0].source_prompt] * photos),
            self._embed([p.prompt for p in profiles] * photos),
            self._embed([""] * photos * count),
        )
        targets = TargetDomains(profiles, maps, s, schedule.abar(schedule.timesteps(s.steps)[0]))
        done = s2st(self._denoiser(dtype), schedule, clean, prompts, targets, s, group.keys)

        pixels = self.model.decode(torch.cat([clean, done.latent])).float()
        pixels = pixels.where(torch.isfinite(pixels), torch.nan)  # a clamp makes white of infinity
        images = ((pixels + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()
        own = torch.stack([done.st_iterations, done.to_iterations, done.forward, done.backward], 1)
        costs = own.cpu().numpy() + np.array([0, 0, done.shared / count, 0])
        sound = torch.isfinite(pixels).flatten(1).all(1)
        whole = sound[photos:] & sound[:photos].repeat_interleave(count)  # detail is restored against the source's own
        broken = _why_broken(whole, done, clean, profiles)
        return _Decoded(images[:photos], images[photos:], broken, costs)

    def _finish(
        self,
        group: _SizeGroup,
        decoded: _Decoded,
        photo: int,
        row: int,
        domain: str,
        keep_mask: np.ndarray | None,
        lit: LitPhoto | None,
    ) -> Translated | Diverged:
        """The variant at its source's own size, with the source's detail, its lights and the colours of its signals."""
        if decoded.broken[row]:
            return Diverged(f"domain {domain}: the translation {decoded.broken[row]}, in float32 too")
        s, source = self.settings, group.photos[photo]
        done = restore_detail(
            source,
            decoded.reconstructions[photo],
            decoded.variants[row],
            amount=s.detail,
            floor=s.detail_floor,
            keep_mask=keep_mask,
            keep_amount=s.label_detail,
        )
        image = lit.on(domain, done.image) if lit else done.image
        image = hold_signals(source, image, group.objects[photo])
        st, to, forward, backward = decoded.costs[row].tolist()
        return Translated(image, done.raw, int(st), int(to), forward, backward, s.steps)

    def _embed(self, prompts: list[str]) -> Context:
        """Prompts' embeddings, each computed once."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._embedded]
        if new:
            rows = self.model.embed(new).detach().to(torch.float32)
            self._embedded |= {p: rows[i : i + 1] for i, p in enumerate(new)}
        return Context.cat([self._embedded[p] for p in prompts])

    def _denoiser(self, dtype: torch.dtype) -> Denoiser:
        """The network under autocast where half precision is asked for; latents stay in float32."""
        network, device = self.model.denoiser, self.model.device.type
        if dtype == torch.float32:
            return network

        def denoise(latents: Latent, t: int, context: Context) -> Latent:
            with torch.autocast(device, dtype):
                return network(latents, t, context).float()

        return denoise

    @torch.no_grad()
    def seconds_per_evaluation(self, repeats: int = 2) -> float:
        """Seconds of a forward pass of one latent at the native size, in the settings' dtype, after one to warm up."""
        model, denoise = self.model, self._denoiser(DTYPES[self.settings.dtype])
        width, height = (side // model.latent_factor for side in model.native_size)
        z = torch.zeros(1, model.latent_channels, height, width, device=model.device, dtype=model.dtype)
        context = model.embed([""]).to(z)
        for i in range(repeats + 1):
            if i == 1:
                start = time.perf_counter()
            denoise(z, model.schedule.timesteps(2)[0], context).sum().item()
        return (time.perf_counter() - start) / repeats


@dataclass(frozen=True, slots=True, eq=False)
class _SizeGroup:
    """Photos of one working size (width, height), the labels that count in their translation, and their keys."""

    photos: list[AnyImage]
    objects: list[Sequence[SceneObject]]
    keys: list[int]
    size: tuple[int, int]

    def some(self, members: Sequence[int]) -> _SizeGroup:
        """The group with some of its photos."""
        photos, objects = [self.photos[i] for i in members], [self.objects[i] for i in members]
        return _SizeGroup(photos, objects, [self.keys[i] for i in members], self.size)

    def pixels(self, device: torch.device) -> Pixels:
        """The photos at their working size."""
        small = torch.from_numpy(np.stack([resize(photo, self.size) for photo in self.photos]))
        if device.type == "cuda":  # from pinned memory the copy runs beside the computation
            small = small.pin_memory()
        return small.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1

    def label_maps(self, i: int, grid: tuple[int, int], **weights: float) -> LabelMaps:
        """One photo's maps on a grid (width, height)."""
        return label_maps(self.objects[i], self.photos[i].shape[1::-1], grid, **weights)


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """What leaves the device: pixels (`b y x 3` float32 in 0..255), and each row's fault and cost."""

    reconstructions: np.ndarray  # of the sources, by the autoencoder alone
    variants: np.ndarray
    broken: list[str]  # "" for a row that is sound
    costs: np.ndarray  # "rows 4": ST and TO iterations, forward (with a part of the inversion) and backward evaluations

    def replace_failed(self, other: _Decoded, rows: list[int]) -> _Decoded:
        """The broken among these rows from another attempt of them all, whose evaluations are added to each.

        So is a reconstruction that is not finite: all its photo's rows are broken then.
        """
        variants, broken, costs = self.variants.copy(), [*self.broken], self.costs.copy()
        reconstructions, domains = self.reconstructions.copy(), len(variants) // len(self.reconstructions)
        for k, row in enumerate(rows):
            costs[row, 2:] += other.costs[k, 2:]
            if not np.isfinite(reconstructions[row // domains]).all():
                reconstructions[row // domains] = other.reconstructions[k // domains]
            if broken[row]:
                variants[row], broken[row], costs[row, :2] = other.variants[k], other.broken[k], other.costs[k, :2]
        return replace(self, reconstructions=reconstructions, variants=variants, broken=broken, costs=costs)


def _why_broken(whole: Tensor, done: Translation, clean: Latent, profiles: Sequence[DomainProfile]) -> list[str]:
    """What is wrong with each row: NaN, or a latent above EXPLODED times what its source and its profile reach.

    `whole` says of each row whether its pixels, and its source's reconstruction, are finite.
    """
    own = clean.abs().amax((1, 2, 3)).repeat_interleave(len(profiles))
    targets = clean.new_tensor([float(np.abs(p.latents).max()) for p in profiles]).repeat(len(clean))
    plausible = EXPLODED * torch.maximum(own, targets)
    finite = whole & torch.isfinite(done.latent).flatten(1).all(1)
    found = []
    for is_finite, reached, most in torch.stack([finite, done.latent.abs().amax((1, 2, 3)), plausible], 1).tolist():
        exploded = f"exploded (a latent of {reached:.3g}, expected below {most:.3g})" if reached > most else ""
        found.append(exploded if is_finite else "is not finite")
    return found
