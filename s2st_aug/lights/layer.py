"""A strength and a network, ready to light the variants of photos: what a method calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2st_aug.arrays import Image
from s2st_aug.lights.emission import NIGHTS, add_lights
from s2st_aug.lights.light_map import LightMap, light_map
from s2st_aug.lights.network import LightNetwork
from s2st_aug.lights.weights import load_light_network
from s2st_aug.records.scene import SceneObject


@dataclass(frozen=True, slots=True, eq=False)
class LitPhoto:
    """A day photo and its light map; None where no domain asks for one."""

    day: Image
    found: LightMap | None
    strength: float

    def on(self, domain: str, variant: Image) -> Image:
        """The variant with its lights on; itself in a domain where it is day."""
        if self.found is None or domain not in NIGHTS:
            return variant
        return add_lights(self.day, variant, self.found, NIGHTS[domain], self.strength)


@dataclass(frozen=True, slots=True, eq=False)
class LightLayer:
    """Lights for any method; a photo's map is predicted once for all of its domains."""

    network: LightNetwork
    strength: float

    def over(self, day: Image, domains: Sequence[str], objects: Sequence[SceneObject] = ()) -> LitPhoto:
        """The photo with its map; labels help where there are any."""
        wanted = not NIGHTS.keys().isdisjoint(domains)
        return LitPhoto(day, light_map(self.network, day, objects) if wanted else None, self.strength)


def light_layer(strength: float, weights: str | None = None, device: str = "cpu") -> LightLayer | None:
    """A layer of that strength with the shipped weights or a file of one's own; None at 0.

    Raises ModelError.
    """
    return LightLayer(load_light_network(weights, device), strength) if strength else None
