"""The measurement behind the cost line."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from s2st_aug.diffusion.denoiser import Context
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation.cost import cost_line
from s2st_aug.translation.settings import method_settings
from s2st_aug.translation.translator import Translator


@pytest.mark.parametrize(("dtype", "half"), [("float32", False), ("bfloat16", True)])
def test_the_network_is_timed_in_the_settings_arithmetic(dtype, half):
    seen = []
    model = tiny_latent_model()

    def denoiser(z: torch.Tensor, t: int, context: Context) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return model.denoiser(z, t, context)

    cost_line(
        Translator(dataclasses.replace(model, denoiser=denoiser), {}, method_settings(overrides={"dtype": dtype})),
        images=1,
        domains=1,
    )
    assert seen == [half] * 3
