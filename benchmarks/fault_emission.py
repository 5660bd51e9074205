"""From what a model paints to what the product emits: autoencoder, the source's detail, lights, held signals.

Faults are planted before all of it, so that the checks see what they would see of a model that made the fault itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel, Pixels
from s2st_aug.errors import Diverged
from s2st_aug.lights.layer import LitPhoto, light_layer
from s2st_aug.profiles.store import find_profile
from s2st_aug.records.scene import SceneObject
from s2st_aug.translation.detail import restore_detail
from s2st_aug.translation.label_maps import label_maps
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.signals import hold_signals
from s2st_aug.translation.translator import Translator

LIT = ("night", "dusk", "night_rain")


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """What a run writes and judges: the variant, and the picture before the detail step."""

    variant: Image
    raw: Image


@dataclass(frozen=True, eq=False)
class Emission:
    """A source photo with its labels, ready to take any painted picture the way of a variant."""

    model: LatentModel
    source: Image
    objects: Sequence[SceneObject]
    settings: MethodSettings

    @cached_property
    def size(self) -> tuple[int, int]:
        """The working size (width, height)."""
        return self.model.working_size(self.source.shape[1], self.source.shape[0])

    @cached_property
    def _reconstruction(self) -> np.ndarray:
        return painted(self.model, self.source, self.size)

    @cached_property
    def _lit(self) -> LitPhoto | None:
        layer = light_layer(self.settings.lights, self.settings.light_map)
        return layer.over(self.source, LIT, self.objects) if layer else None

    def emitted(self, picture: np.ndarray, domain: str) -> Emitted:
        """The variant of a picture at working size (`y x 3` float32, 0..255), as the translator finishes one."""
        s, shape = self.settings, self.source.shape
        mask = label_maps(self.objects, (shape[1], shape[0]), self.size).keep_mask if self.objects else None
        done = restore_detail(
            self.source, self._reconstruction, picture, amount=s.detail, floor=s.detail_floor, keep_mask=mask,
            keep_amount=s.label_detail,
        )  # fmt: skip
        image = self._lit.on(domain, done.image) if self._lit else done.image
        return Emitted(hold_signals(self.source, image, self.objects), done.raw)


@torch.no_grad()
def painted(model: LatentModel, photo: Image, size: tuple[int, int]) -> np.ndarray:
    """A photo as the model's autoencoder paints it, at working size, `y x 3` float32 in 0..255."""
    return _levels(model.decode(model.encode_photos([photo], size)).float())[0]


def translated(
    model: LatentModel, photo: Image, objects: Sequence[SceneObject], domains: Sequence[str], settings: MethodSettings
) -> dict[str, np.ndarray | None]:
    """What the model itself paints of a photo in each domain, at working size; None where it diverged."""
    seen: list[np.ndarray] = []

    def decode(latents: torch.Tensor) -> Pixels:
        pixels = model.decode(latents)
        seen.append(_levels(pixels.float()))
        return pixels

    profiles = {d: find_profile(d, model) for d in domains}
    translator = Translator(replace(model, decode=decode), profiles, settings)
    made = translator.translate([photo], domains, [objects])[0]
    rows = seen[-1][-len(domains) :]
    return {d: None if isinstance(made[d], Diverged) else row for d, row in zip(domains, rows, strict=True)}


def shipped_settings(model: str, preset: str = "standard") -> MethodSettings:
    """A preset as the model brings it, in float32."""
    return presets_of(model)[preset]


def _levels(pixels: torch.Tensor) -> np.ndarray:
    return ((pixels + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()
