"""The recipe: scenes, autoencoder, latents, UNet with text encoder, decoder, packaging.

Every stage resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file

from s2st_aug.diffusion import networks
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.errors import ConfigError, wrong_values
from s2st_aug.formats.yaml_text import keys_of, refuse_flags
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training import autoencoder as ae
from s2st_aug.training import denoiser as dn
from s2st_aug.training.card import CardFacts, write_card
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint, unpack
from s2st_aug.training.data import Source, TrainingSample, list_samples, load_images, to_pixels, told_source
from s2st_aug.training.package import Networks, read_vocabulary, write_model
from s2st_aug.training.prompts import vocabulary_corpus
from s2st_aug.training.scenes import render_training_scenes
from s2st_aug.training.tokenizer import learn_vocabulary

log = logging.getLogger(__name__)
STAGES = ("scenes", "autoencoder", "denoiser", "decoder", "package", "card")


class SceneSettings(BaseModel):
    """Procedural scenes to render first; `rng_key` apart from the ones that tests and demos use."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    folder: Path
    """where they are rendered to"""
    count: int = 260
    """how many [scenes]"""
    rng_key: int = 710001
    """which ones; apart from those that tests and demos use [no unit]"""


class TrainingConfig(BaseModel):
    """All that decides a model: data, shapes, schedules."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    """the model's name"""
    out: Path
    """folder of the finished model"""
    licence: str = "other"
    """of the weights, for the model card"""
    history: str = ""
    """how these very weights came to be, for the model card"""
    data: tuple[Source, ...]
    """folders of training images"""
    domains: tuple[str, ...] = CONDITIONS
    """which of them are learnt"""
    scenes: SceneSettings | None = None
    """scenes to render first; null: none"""
    sizes: tuple[tuple[int, int], ...] = ((256, 192), (288, 160))
    """width and height of training images, one after the other; the first is the native one [px]"""
    jpeg_quality: int = 92
    """all images are brought to it, so that it tells no domain [JPEG quality, 1 to 100]"""
    autoencoder: ae.AutoencoderSettings = ae.AutoencoderSettings()
    denoiser: dn.DenoiserSettings = dn.DenoiserSettings()
    init_from: Path | None = None
    """folder of weights to begin from; its autoencoder is kept, so that its latents stay"""
    # a folder whose autoencoder and vocabulary are taken as they are; UNet and text encoder begin anew
    autoencoder_from: Path | None = None
    """folder whose autoencoder and vocabulary are taken as they are; UNet and text encoder begin anew"""
    rng_key: int = 0
    """random integer of the training [no unit]"""
    device: str = "auto"
    """auto (CUDA where there is any), cpu, cuda, cuda:N or mps"""
    threads: int = 1
    """CPU threads [threads]"""


def read_training_config(path: Path) -> TrainingConfig:
    """A training config from YAML; raises ConfigError with every problem at once."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = TrainingConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {wrong_values(error.errors(), known=keys_of(TrainingConfig))}") from None
    refuse_flags(content, config, str(path))
    return config


@dataclass(eq=False)
class Recipe:
    """One training, its checkpoints in `folder`."""

    config: TrainingConfig
    folder: Path

    @property
    def device(self) -> str:
        """CUDA where it is, unless the config says otherwise; raises UsageError for a device that is not there."""
        return resolve_device(self.config.device)

    def run(self, stages: tuple[str, ...] = STAGES) -> Path:
        """Run the stages in their order; gives the folder of the finished model."""
        torch.set_num_threads(self.config.threads)
        torch.manual_seed(self.config.rng_key)
        for stage in stages:
            log.info("%s: stage %s on %s", self.config.name, stage, self.device)
            getattr(self, f"make_{stage}")()
        return self.config.out

    @property
    def coder(self) -> Path | None:
        """The folder whose autoencoder and vocabulary are taken, if any."""
        return self.config.init_from or self.config.autoencoder_from

    @cached_property
    def samples(self) -> list[TrainingSample]:
        """The training images."""
        return list_samples(self.config.data, self.config.domains)

    @cached_property
    def images(self) -> list[torch.Tensor]:
        """The training images in memory, once per size."""
        rng = np.random.default_rng(self.config.rng_key)
        return [
            load_images(self.samples, size, quality=self.config.jpeg_quality, rng=rng) for size in self.config.sizes
        ]

    def make_scenes(self) -> None:
        """Render the scenes that are not there yet."""
        if self.config.scenes:
            render_training_scenes(
                self.config.scenes.folder, self.config.scenes.count, rng_key=self.config.scenes.rng_key
            )

    def make_autoencoder(self) -> None:
        """Train the autoencoder, or take that of another folder; fold the normalisation of its latents."""
        if self.coder:
            return
        network = self._new_autoencoder()
        settings = self.config.autoencoder
        path = self.folder / "autoencoder.safetensors"
        curve = ae.train_autoencoder(
            network, self.images, self.samples, settings, path, rng_key=self.config.rng_key, device=self.device
        )
        rng = np.random.default_rng(1)
        some = [
            to_pixels(self.images[0][rng.permutation(len(self.samples))[:200]])[i : i + 8].to(self.device)
            for i in range(0, 200, 8)
        ]
        ae.fold_normalisation(network, some)
        save_checkpoint(self.folder / "vae.safetensors", network.state_dict(), {"curve": curve})

    def make_denoiser(self) -> None:
        """Train UNet and text encoder on the latents of the folded autoencoder."""
        training, tokenizer = self._denoiser_training()
        latents = self._latents()

        def tokenize(prompts: list[str]) -> torch.Tensor:
            return tokenizer(
                prompts,
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids

        path, settings = self.folder / "denoiser.safetensors", self.config.denoiser
        dn.train_denoiser(
            training, tokenize, latents, self.samples, settings, path, rng_key=self.config.rng_key, device=self.device
        )

    def make_decoder(self) -> None:
        """Train the decoder on, behind the folded normalisation; the latents do not change."""
        network = self.folded_autoencoder()
        settings = self.config.autoencoder
        if not settings.decoder_steps:
            return
        path = self.folder / "decoder.safetensors"
        curve = ae.train_autoencoder(
            network,
            self.images,
            self.samples,
            settings,
            path,
            rng_key=self.config.rng_key + 1,
            device=self.device,
            part="decoder",
        )
        save_checkpoint(self.folder / "vae-final.safetensors", network.state_dict(), {"curve": curve})

    def make_package(self) -> None:
        """Write the folder in Stable Diffusion format, with averaged weights; the model card is written apart."""
        training, _ = self._denoiser_training()
        training.resume(self.folder / "denoiser.safetensors")
        vocabulary, merges = self._vocabulary()
        vae = self.folded_autoencoder(final=True)
        parts = Networks(training.average["unet"], vae, training.average["text_encoder"], vocabulary, merges)
        write_model(self.config.out, parts, max_tokens=self.config.denoiser.max_tokens)
        log.info("%s: step %d written to %s", self.config.name, training.step, self.config.out)

    def make_card(self) -> None:
        """Write README.md and curves.svg; figures come from `figures.json`
        beside the checkpoints (rows: what, value, how).
        """
        figures = self.folder / "figures.json"
        rows = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else []
        data = [told_source(source, self.config.domains) for source in self.config.data]
        files = {"autoencoder": "autoencoder", "UNet and text encoder": "denoiser", "decoder": "decoder"}
        paths = {name: self.folder / f"{file}.safetensors" for name, file in files.items()}
        curves = {name: load_checkpoint(path)[1]["curve"] for name, path in paths.items() if path.is_file()}
        config = self.config
        told = [tuple(row) for row in rows]
        facts = CardFacts(config.name, config.licence, data, curves, told, config.history, config.sizes[0])
        write_card(config.out, facts)

    def folded_autoencoder(self, *, final: bool = False) -> Any:
        """The autoencoder whose latents the UNet is trained on; `final`: with the decoder as far as it is trained."""
        network = self._new_autoencoder()
        path = self.folder / "vae.safetensors"
        if path.is_file():
            network.load_state_dict(load_checkpoint(path)[0])
        decoder = self.folder / "decoder.safetensors"
        if final and decoder.is_file():
            network.load_state_dict(unpack("network", load_checkpoint(decoder)[0]))
        return network.to(self.device, memory_format=torch.channels_last).eval()

    def _new_autoencoder(self) -> Any:
        if self.coder:
            return networks.read_autoencoder(self.coder)
        return networks.build_autoencoder(
            channels=self.config.autoencoder.channels, blocks=self.config.autoencoder.blocks
        )

    def _vocabulary(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        if self.coder:
            return read_vocabulary(self.coder / "tokenizer")
        words = [domain.replace("_", " ") for domain in self.config.domains if domain not in CONDITIONS]
        return learn_vocabulary([*vocabulary_corpus(), *words], size=self.config.denoiser.vocabulary)

    def _denoiser_training(self) -> tuple[dn.DenoiserTraining, Any]:
        settings = self.config.denoiser
        tokenizer = networks.build_tokenizer(*self._vocabulary(), max_length=settings.max_tokens)
        text_encoder = networks.build_text_encoder(tokenizer, width=settings.text_width, layers=settings.text_layers)
        w, h = (side // 2 ** (len(self.config.autoencoder.blocks) - 1) for side in self.config.sizes[0])
        unet = networks.build_unet(channels=settings.channels, context_dim=settings.text_width, sample_size=(h, w))
        if self.config.init_from:
            unet.load_state_dict(_weights(self.config.init_from / "unet" / "diffusion_pytorch_model.safetensors"))
            text_encoder.load_state_dict(
                _weights(self.config.init_from / "text_encoder" / "model.safetensors"), strict=False
            )
        parts = {"unet": unet, "text_encoder": text_encoder}
        return dn.start_training(parts, settings.lr, self.device), tokenizer

    def _latents(self) -> list[torch.Tensor]:
        """Latents of all images per size, `2n c h w`, the mirrored ones last, in the order of `samples`."""
        network = self.folded_autoencoder()
        parts = [self._source_latents(network, source) for source in self.config.data]
        halves = [[part[i].chunk(2) for part in parts] for i in range(len(self.config.sizes))]
        return [torch.cat([plain for plain, _ in size] + [mirrored for _, mirrored in size]) for size in halves]

    def _source_latents(self, network: Any, source: Source) -> list[torch.Tensor]:
        """One source's latents, kept beside the checkpoints under the hash of what they were made from."""
        samples = list_samples([source], self.config.domains)
        digest = hashlib.sha256(
            repr([[str(s.path) for s in samples], self.config.sizes, self.config.jpeg_quality]).encode()
        )
        digest.update(next(network.encoder.parameters()).detach().half().cpu().numpy().tobytes())
        path = self.folder.parent / f"latents-{digest.hexdigest()[:12]}.safetensors"
        if not path.is_file():
            rng = np.random.default_rng(self.config.rng_key)
            images = [
                load_images(samples, size, quality=self.config.jpeg_quality, rng=rng) for size in self.config.sizes
            ]
            save_checkpoint(
                path,
                {str(i): dn.encode_all(network.encoder, part, device=self.device) for i, part in enumerate(images)},
                {},
            )
        return [value for _, value in sorted(load_checkpoint(path)[0].items())]


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load_file(path).items()}
