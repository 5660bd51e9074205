"""LEDITS++: the source's own noise is found and kept, and guidance leads to the edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from s2st_aug.methods.editing import Editing, EditingSettings

if TYPE_CHECKING:
    from s2st_aug.diffusion.denoiser import Denoiser, Latent
    from s2st_aug.diffusion.editing import EditPrompts
    from s2st_aug.diffusion.model import LatentModel


class LeditsSettings(EditingSettings):
    """What `method: {name: ledits, ...}` can say."""

    guidance: float = Field(5.0, ge=0.0, le=30.0)
    """how far towards the edit; 0 gives the source back [factor]"""
    skip: float = Field(0.15, ge=0, lt=1)
    """share of the path, from its noisy end, that is left out [share]"""
    threshold: float = Field(0.0, ge=0, lt=1)
    """quantile of the edit's own noise below which nothing is edited; 0 edits everywhere, as night and rain do
    [quantile]"""


class Ledits(Editing[LeditsSettings]):
    """LEDITS++ (arXiv 2311.16711)."""

    settings = LeditsSettings
    version = "1"

    def edit(
        self,
        denoise: Denoiser,
        model: LatentModel,
        clean: Latent,
        prompts: EditPrompts,
        draws: Sequence[tuple[int, str]],
        settings: LeditsSettings,
    ) -> Latent:
        """One noise is drawn for each row and level."""
        from s2st_aug.diffusion.editing import ledits, ledits_steps
        from s2st_aug.randomness import drawn_noise

        noises = drawn_noise(clean, draws, levels=ledits_steps(settings.steps, settings.skip) + 1)
        return ledits(
            denoise,
            model.schedule,
            clean,
            noises,
            prompts,
            steps=settings.steps,
            guidance=settings.guidance,
            skip=settings.skip,
            threshold=settings.threshold,
        )

    def evaluations(self, settings: LeditsSettings) -> float:
        """Three a step: the source's, the empty prompt's and the edit's."""
        from s2st_aug.diffusion.editing import ledits_steps

        return 3.0 * ledits_steps(settings.steps, settings.skip)
