"""SDEdit: noise, then sampling with the target's prompt; the plain image-to-image of every diffusion tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from s2st_aug.methods.editing import Editing, EditingSettings

if TYPE_CHECKING:
    from s2st_aug.diffusion.denoiser import Denoiser, Latent
    from s2st_aug.diffusion.editing import EditPrompts
    from s2st_aug.diffusion.model import LatentModel


class SDEditSettings(EditingSettings):
    """What `method: {name: sdedit, ...}` can say."""

    strength: float = Field(0.5, gt=0, le=1)
    """share of the path that noise is added for: more is nearer to the domain and further from the source
    [share]"""


class SDEdit(Editing[SDEditSettings]):
    """SDEdit (arXiv 2108.01073)."""

    settings = SDEditSettings
    version = "1"

    def edit(
        self,
        denoise: Denoiser,
        model: LatentModel,
        clean: Latent,
        prompts: EditPrompts,
        draws: Sequence[tuple[int, str]],
        settings: SDEditSettings,
    ) -> Latent:
        """One noise is drawn for each row."""
        from s2st_aug.diffusion.editing import sdedit
        from s2st_aug.randomness import drawn_noise

        noise = drawn_noise(clean, draws)
        return sdedit(
            denoise,
            model.schedule,
            clean,
            noise,
            prompts,
            strength=settings.strength,
            steps=settings.steps,
            guidance=settings.guidance,
        )

    def evaluations(self, settings: SDEditSettings) -> float:
        """Two a step under guidance."""
        from s2st_aug.diffusion.editing import sdedit_steps

        return sdedit_steps(settings.strength, settings.steps) * (1.0 if settings.guidance == 1 else 2.0)
