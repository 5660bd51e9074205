"""What the published editing methods share: photos in, edited latents, photos of the source's size out.

They end at the model's size, as published: the picture is enlarged, and no detail is put back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from s2st_aug.arrays import AnyImage
from s2st_aug.errors import Diverged
from s2st_aug.images import resize, to_uint8
from s2st_aug.methods.protocol import Method, MethodConfig, MethodIdentity
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated

if TYPE_CHECKING:
    from s2st_aug.diffusion.denoiser import Denoiser, Latent
    from s2st_aug.diffusion.editing import EditPrompts
    from s2st_aug.diffusion.model import LatentModel


class EditingSettings(BaseModel):
    """What every editing method can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    steps: int = Field(20, ge=2, le=200)
    """steps of the whole path from the image to noise [steps]"""
    guidance: float = Field(3.0, ge=0.0, le=30.0)
    """classifier-free guidance towards the target's prompt; 1 is none [factor]"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """arithmetic of the network; latents stay in float32"""


Settings = TypeVar("Settings", bound=EditingSettings)


class Editing(Method[Settings], Generic[Settings]):
    """An editing method on the config's model: subclasses say what happens to a batch of clean latents."""

    @abstractmethod
    def edit(
        self,
        denoise: Denoiser,
        model: LatentModel,
        clean: Latent,
        prompts: EditPrompts,
        draws: Sequence[tuple[int, str]],
        settings: Settings,
    ) -> Latent:
        """Edited clean latents; `draws` are each row's key and domain, from which alone its noise is drawn."""

    @abstractmethod
    def evaluations(self, settings: Settings) -> float:
        """Network passes for one (photo, domain)."""

    def identify(self, config: MethodConfig[Settings]) -> MethodIdentity:
        """Hashes of the weights and of each domain's profile. Raises ModelError or ProfileError."""
        from s2st_aug.methods.checks import hash_model, profiles_by_name  # torch: a config is read without

        model = hash_model(config.model)
        profiles = profiles_by_name(config.domains, model.shell)
        return MethodIdentity(
            name=config.name,
            version=self.version,
            settings=config.settings.model_dump(mode="json"),
            model_sha256=model.shell.sha256,
            profiles={name: profile.sha256 for name, profile in profiles.items()},
            evals_per_scene=(self.evaluations(config.settings) * len(profiles), 0.0),
            model_files=model.files,
            model_commit=model.commit,
        )

    def load(self, config: MethodConfig[Settings], device: str) -> EditingTranslator[Settings]:
        """The loaded model with its profiles, computing the same way on any actor."""
        from s2st_aug.diffusion.stable_diffusion import load_for_worker
        from s2st_aug.methods.checks import profiles_by_name

        model = load_for_worker(config.model, device, threads=config.threads, gpus=config.gpus)
        return EditingTranslator(self, model, profiles_by_name(config.domains, model), config.settings)


class EditingTranslator(Generic[Settings]):
    """An editing method with its model and profiles, ready."""

    def __init__(
        self, method: Editing[Settings], model: LatentModel, profiles: Mapping[str, DomainProfile], settings: Settings
    ) -> None:
        self.method, self.model, self.profiles, self.settings = method, model, dict(profiles), settings

    def translate(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        """Every photo in every domain; labels have no part in it."""
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, photo in enumerate(photos):
            by_size[self.model.working_size(photo.shape[1], photo.shape[0])].append(i)
        results: list[dict[str, Translated | Diverged]] = [{} for _ in photos]
        for size, members in by_size.items():
            drawn = [keys[i] if keys else 0 for i in members]
            for domain in domains:
                made = self._edited([photos[i] for i in members], size, drawn, domain)
                for i, variant in zip(members, made, strict=True):
                    results[i][domain] = variant
        return results

    def _edited(
        self, photos: Sequence[AnyImage], size: tuple[int, int], keys: Sequence[int], domain: str
    ) -> list[Translated | Diverged]:
        import torch

        from s2st_aug.diffusion.denoiser import CountedDenoiser, in_dtype
        from s2st_aug.diffusion.editing import EditPrompts

        model, profile, count = self.model, self.profiles[domain], len(photos)
        network = CountedDenoiser(in_dtype(model.denoiser, model.device, self.settings.dtype))
        with torch.no_grad():
            clean = model.encode_photos(photos, size)
            embedded = (model.embed([prompt] * count) for prompt in (profile.source_prompt, profile.prompt, ""))
            draws = [(key, domain) for key in keys]
            z = self.method.edit(network, model, clean, EditPrompts(*embedded), draws, self.settings)
            pixels = ((model.decode(z) + 1) * 127.5).float().permute(0, 2, 3, 1).cpu().numpy()
        made: list[Translated | Diverged] = []
        for photo, small in zip(photos, pixels, strict=True):
            if not np.isfinite(small).all():
                made.append(Diverged(f"domain {domain}: the edit is not finite"))
                continue
            image = to_uint8(resize(np.ascontiguousarray(small), (photo.shape[1], photo.shape[0])))
            made.append(Translated(image, image, forward_evals=network.evaluations / count))
        return made
