"""What S2ST does to a picture after its diffusion, for every method alike (docs/method.md).

The source's detail comes back where the picture follows it, lights shine at night, and labels hold their signals and
signs. A method that is compared without this is compared with half of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from s2st_aug.arrays import Image
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.images import resize
from s2st_aug.lights.layer import LightLayer, light_layer
from s2st_aug.records.scene import SceneObject
from s2st_aug.translation.detail import restore_detail
from s2st_aug.translation.label_maps import label_maps
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.signals import hold_signals
from s2st_aug.translation.translator import Translator


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """The steps after diffusion with the settings of one translator."""

    model: LatentModel
    settings: MethodSettings
    lights: LightLayer | None
    known: dict[bytes, np.ndarray] = field(default_factory=dict)  # the last photo after the autoencoder alone

    @classmethod
    def of(cls, own: Translator) -> Finish:
        """As this translator finishes its own."""
        s = own.settings
        return cls(own.model, s, light_layer(s.lights, s.light_map, str(own.model.device)))

    def generated(
        self, photo: Image, picture: Image, domain: str, objects: Sequence[SceneObject]
    ) -> tuple[Image, Image]:
        """A picture that left an autoencoder, finished, and as it was before; both of the photo's size."""
        s, size = self.settings, self.model.working_size(photo.shape[1], photo.shape[0])
        keep = label_maps(objects, (photo.shape[1], photo.shape[0]), size).keep_mask if objects else None
        done = restore_detail(
            photo,
            self._reconstructed(photo, size),
            resize(picture.astype(np.float32), size),
            amount=s.detail,
            floor=s.detail_floor,
            keep_mask=keep,
            keep_amount=s.label_detail,
        )
        return self.photometric(photo, done.image, domain, objects), done.raw

    def photometric(self, photo: Image, picture: Image, domain: str, objects: Sequence[SceneObject]) -> Image:
        """A picture that has the photo's detail, since it is the photo in other colours: lights and held labels."""
        lit = self.lights.over(photo, [domain], objects).on(domain, picture) if self.lights else picture
        return hold_signals(photo, lit, objects)

    def _reconstructed(self, photo: Image, size: tuple[int, int]) -> np.ndarray:
        key = photo.tobytes()
        if key not in self.known:
            with torch.no_grad():
                pixels = self.model.decode(self.model.encode_photos([photo], size))[0].float()
            self.known.clear()
            self.known[key] = ((pixels + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).cpu().numpy()
        return self.known[key]
