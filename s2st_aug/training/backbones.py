"""What is trained on latents: the UNet of a Stable Diffusion, or the transformer of a Stable Diffusion 3."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict

from s2st_aug.diffusion import networks
from s2st_aug.diffusion.components import Autoencoder, Tokenizer, pixels_per_cell
from s2st_aug.diffusion.denoiser import from_v_prediction
from s2st_aug.diffusion.families import SD3
from s2st_aug.diffusion.flow_models import FlowParts, build_flow
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import build_model
from s2st_aug.training.denoiser import DenoiserSettings
from s2st_aug.training.objectives import Objective, sd3_velocity, v_prediction
from s2st_aug.training.package import Networks, write_flow, write_model

Vocabulary = tuple[dict[str, int], list[tuple[str, str]]]


class FlowSettings(BaseModel):
    """Shape of a small Stable Diffusion 3; its schedule is that of the training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    heads: int = 3
    """attention heads of the transformer [heads]"""
    head_width: int = 32
    """width of each [channels]"""
    layers: int = 4
    """layers of the transformer [layers]"""
    text_width: int = 32
    """width of each of the two text encoders [channels]"""
    text_layers: int = 2
    """their layers; the last but one gives the words [layers]"""
    max_tokens: int = 18
    """longest prompt [tokens]"""


class Backbone(Protocol):
    """How a kind of model is built, looked at while it is trained, taught and written."""

    main: str  # the component that the time goes into

    def build(self, vae: Autoencoder, tokenizer: Tokenizer) -> dict[str, torch.nn.Module]:
        """New networks by component, without the autoencoder."""
        ...

    def model(self, parts: torch.nn.ModuleDict, vae: Autoencoder, tokenizer: Tokenizer) -> LatentModel:
        """The model around these networks."""
        ...

    def objective(self, model: LatentModel) -> Objective:
        """What they learn."""
        ...

    def write(self, folder: Path, parts: torch.nn.ModuleDict, vae: Autoencoder, vocabulary: Vocabulary) -> None:
        """The networks as a folder that `load_model` opens."""
        ...


@dataclass(frozen=True)
class UNetBackbone:
    """A Stable Diffusion whose UNet predicts v."""

    settings: DenoiserSettings
    attention_levels: int
    size: tuple[int, int]  # w, h in pixels
    main: str = "unet"

    def build(self, vae: Autoencoder, tokenizer: Tokenizer) -> dict[str, torch.nn.Module]:
        """UNet and text encoder."""
        settings, factor = self.settings, pixels_per_cell(vae)
        text_encoder = networks.build_text_encoder(tokenizer, width=settings.text_width, layers=settings.text_layers)
        unet = networks.build_unet(
            channels=settings.channels,
            context_dim=settings.text_width,
            sample_size=(self.size[1] // factor, self.size[0] // factor),
            latent_channels=vae.config.latent_channels,
            attention_levels=self.attention_levels,
        )
        return {"unet": unet, "text_encoder": text_encoder}

    def model(self, parts: torch.nn.ModuleDict, vae: Autoencoder, tokenizer: Tokenizer) -> LatentModel:
        """A model whose UNet's v becomes noise."""
        model = build_model(parts["unet"], vae, parts["text_encoder"], tokenizer)
        return replace(model, denoiser=from_v_prediction(model.denoiser, model.schedule))

    def objective(self, model: LatentModel) -> Objective:
        """v at the levels of the model's schedule."""
        return v_prediction(model.schedule, model.device)

    def write(self, folder: Path, parts: torch.nn.ModuleDict, vae: Autoencoder, vocabulary: Vocabulary) -> None:
        """In Stable Diffusion's format."""
        made = Networks(parts["unet"], vae, parts["text_encoder"], *vocabulary)
        write_model(folder, made, max_tokens=self.settings.max_tokens)


@dataclass(frozen=True)
class FlowBackbone:
    """A Stable Diffusion 3 without T5: a transformer that predicts a rectified flow's velocity, and two CLIPs."""

    settings: FlowSettings
    size: tuple[int, int]  # w, h in pixels
    main: str = "transformer"

    def build(self, vae: Autoencoder, tokenizer: Tokenizer) -> dict[str, torch.nn.Module]:
        """Transformer and text encoders."""
        settings, factor = self.settings, pixels_per_cell(vae)
        transformer = networks.build_sd3_transformer(
            heads=settings.heads,
            head_width=settings.head_width,
            layers=settings.layers,
            text_width=settings.text_width,
            sample_size=(self.size[1] // factor, self.size[0] // factor),
            latent_channels=vae.config.latent_channels,
        )
        encoders = {
            name: networks.build_text_encoder(
                tokenizer, width=settings.text_width, layers=settings.text_layers, projection=True
            )
            for name in ("text_encoder", "text_encoder_2")
        }
        return {"transformer": transformer, **encoders}

    def model(self, parts: torch.nn.ModuleDict, vae: Autoencoder, tokenizer: Tokenizer) -> LatentModel:
        """A flow with even steps."""
        encoders = {name: parts[name] for name in ("text_encoder", "text_encoder_2")}
        tokenizers = {"tokenizer": tokenizer, "tokenizer_2": tokenizer}
        return build_flow(SD3, FlowParts(parts["transformer"], vae, encoders, tokenizers, {"shift": 1.0}))

    def objective(self, _model: LatentModel) -> Objective:
        """The velocity."""
        return sd3_velocity(2 * self.settings.text_width)

    def write(self, folder: Path, parts: torch.nn.ModuleDict, vae: Autoencoder, vocabulary: Vocabulary) -> None:
        """In Stable Diffusion 3's format."""
        write_flow(folder, {**dict(parts.items()), "vae": vae}, *vocabulary, max_tokens=self.settings.max_tokens)
