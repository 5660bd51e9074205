"""A street drawn once and rendered under any condition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from benchmarks.fault_cases import labelled
from s2st_aug.arrays import Image
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.street import Street
from s2st_aug.procedural.surfaces import Surfaces, surfaces
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """A street as drawn."""

    street: Street

    @cached_property
    def drawn(self) -> tuple[Drawn, Surfaces]:
        """The drawing and its surfaces."""
        drawn = draw_street(self.street)
        return drawn, surfaces(drawn)

    @cached_property
    def objects(self) -> list[SceneObject]:
        """Its labelled things with their pixels."""
        return labelled(self.drawn[0])

    def under(self, condition: ConditionName, noise: float = 1.0) -> Image:
        """The scene under a condition."""
        drawn, surface = self.drawn
        return render_drawn(drawn, surface, condition, noise=noise)


def uid_of(item: SceneObject) -> int:
    """The number of the thing that a label is of."""
    return int(item.object_id) // 8
