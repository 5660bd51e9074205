"""S2ST on a latent diffusion model. The driver hashes weights and never loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s2st_aug.methods.protocol import Method, MethodConfig, MethodIdentity, TranslatorLike
from s2st_aug.translation.presets import presets_of
from s2st_aug.translation.settings import PRESETS, MethodSettings

DECIDES_NOTHING = {"preset", "compile", "checkpointing"}
"""settings without a part in any pixel: the preset's name is only where the values came from"""


NEUTRAL = {"structure_sides": "both", "structure_elsewhere": 1.0, "autoencoder_dtype": "float32"}
"""settings that came later, at the values with which pixels are what they were: plans made before know no such keys"""


class S2ST(Method[MethodSettings]):
    """Seed-to-seed translation, as `s2st_aug.translation` computes it.

    Imports of torch wait until they are needed: a config is read without.
    """

    settings = MethodSettings
    version = "1"
    presets = PRESETS
    files = ("light_map",)

    def presets_on(self, model: str) -> Mapping[str, MethodSettings]:
        """With what the model's folder says of `draft` and `standard`."""
        return presets_of(model)

    def identify(self, config: MethodConfig[MethodSettings]) -> MethodIdentity:
        """Hashes of the weights and of each domain's profile.

        Raises ModelError, ProfileError, MissingDependency or ConfigError.
        """
        from s2st_aug.lights.weights import hash_lights
        from s2st_aug.methods.checks import hash_model, profiles_by_name
        from s2st_aug.translation.cost import estimate
        from s2st_aug.translation.targets import eta_of

        model = hash_model(config.model)
        profiles = profiles_by_name(config.domains, model.shell)
        for profile in profiles.values():
            eta_of(profile, config.settings, profile.eta)  # a source it lacks must end the start, not fail every sample
        cost = estimate(config.settings, len(profiles))
        return MethodIdentity(
            name=config.name,
            version=self.version,
            settings=hash_lights(self._deciding(config.settings)),
            model_sha256=model.shell.sha256,
            profiles={name: profile.sha256 for name, profile in profiles.items()},
            label_aware=config.settings.label_aware,
            evals_per_scene=(cost.forward * len(profiles), cost.backward * len(profiles)),
            model_files=model.files,
            model_commit=model.commit,
        )

    @staticmethod
    def _deciding(settings: MethodSettings) -> dict[str, Any]:
        """Settings that decide pixels, as JSON; what came later and is neutral is left out."""
        told = settings.model_dump(mode="json", exclude=DECIDES_NOTHING)
        return {key: value for key, value in told.items() if key not in NEUTRAL or value != NEUTRAL[key]}

    def load(self, config: MethodConfig[MethodSettings], device: str) -> TranslatorLike:
        """The loaded model with its profiles, computing the same way on any actor."""
        from s2st_aug.diffusion.stable_diffusion import load_for_worker
        from s2st_aug.methods.checks import profiles_by_name
        from s2st_aug.translation.translator import DTYPES, Translator

        model = load_for_worker(config.model, device, threads=config.threads, gpus=config.gpus)
        profiles, settings = profiles_by_name(config.domains, model), config.settings
        model = model.in_half(DTYPES[settings.dtype], DTYPES[settings.autoencoder_dtype])
        return Translator(model, profiles, settings)
