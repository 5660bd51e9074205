"""DDIB: inversion with the source's prompt, sampling with the target's; what S2ST adds seed and trajectory to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2st_aug.methods.editing import Editing, EditingSettings

if TYPE_CHECKING:
    from s2st_aug.diffusion.denoiser import Denoiser, Latent
    from s2st_aug.diffusion.editing import EditPrompts
    from s2st_aug.diffusion.model import LatentModel


class DdibSettings(EditingSettings):
    """What `method: {name: ddib, ...}` can say."""


class Ddib(Editing[DdibSettings]):
    """Dual diffusion implicit bridges (arXiv 2203.08382)."""

    settings = DdibSettings
    version = "1"

    def edit(
        self,
        denoise: Denoiser,
        model: LatentModel,
        clean: Latent,
        prompts: EditPrompts,
        draws: Sequence[tuple[int, str]],
        settings: DdibSettings,
    ) -> Latent:
        """Nothing is drawn."""
        from s2st_aug.diffusion.editing import ddib

        return ddib(denoise, model.schedule, clean, prompts, steps=settings.steps, guidance=settings.guidance)

    def evaluations(self, settings: DdibSettings) -> float:
        """One a step there, two a step back under guidance."""
        return settings.steps * (2.0 if settings.guidance == 1 else 3.0)
