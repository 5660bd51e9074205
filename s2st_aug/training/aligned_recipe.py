"""The recipe with aligned seeds: streets, an autoencoder taken or trained, the denoiser, the weights in parts."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from safetensors import safe_open

from s2st_aug.diffusion import networks
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_files import find_model
from s2st_aug.errors import ConfigError, DatasetError, ModelError, wrong_values
from s2st_aug.formats.yaml_text import keys_of, refuse_flags
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training import autoencoder as ae
from s2st_aug.training import denoiser as dn
from s2st_aug.training.aligned import AlignedSettings, PromptBank, StreetBank, train_aligned
from s2st_aug.training.backbones import FlowBackbone, FlowSettings, UNetBackbone
from s2st_aug.training.card import CardFacts, write_card
from s2st_aug.training.checkpoints import load_checkpoint, pack, save_checkpoint, unpack
from s2st_aug.training.data import Source, TrainingSample, list_samples, load_images, to_pixels, told_source
from s2st_aug.training.objectives import Objective
from s2st_aug.training.package import read_vocabulary
from s2st_aug.training.parts import write_parts
from s2st_aug.training.photo_pairs import photo_pairs
from s2st_aug.training.prompts import vocabulary_corpus
from s2st_aug.training.streets import StreetFolder, StreetLoader, StreetSettings, wait_for
from s2st_aug.training.tokenizer import learn_vocabulary

log = logging.getLogger(__name__)
WEIGHTS = "weights.safetensors"  # the averaged networks in float16, with the config that builds them


class AlignedConfig(BaseModel):
    """All that decides a model of aligned seeds: streets, photos, shapes, schedules; times are seconds of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    """the model's name"""
    licence: str = "other"
    """of the weights, for the model card"""
    history: str = ""
    """how these very weights came to be, for the model card"""
    streets: StreetSettings = StreetSettings()
    photos: tuple[Source, ...] = ()
    """real photos of known conditions; they are samples with fresh noise, for nobody has their streets aligned"""
    autoencoder_from: str = "street-mini"
    """model whose autoencoder, vocabulary and text encoder's shape are taken"""
    autoencoder: ae.AutoencoderSettings | None = None
    """train one of its own instead; null: do not"""
    latent_channels: int = 4
    """of an autoencoder of its own [channels]"""
    autoencoder_seconds: float = 24 * 3600.0
    """how long it is trained [s]"""
    autoencoder_streets: int = 120
    """streets rendered before its training begins; it learns from these alone [streets]"""
    init_from: str | None = None
    """model, or file of averaged weights, from which its networks begin; null: from nothing"""
    denoiser: dn.DenoiserSettings = dn.DenoiserSettings()
    """shapes; the schedule is that of `aligned`"""
    attention_levels: int = 1
    """levels of the UNet with attention, from the lowest up [levels]"""
    flow: FlowSettings | None = None
    """train a rectified flow shaped as Stable Diffusion 3 in the UNet's place; null: do not"""
    aligned: AlignedSettings = AlignedSettings()
    seconds: float = 4 * 3600.0
    """how long the denoiser is trained [s]"""
    renderers: int = 0
    """processes that render streets beside the training; 0: rendered between two updates [processes]"""
    rendered_elsewhere: bool = False
    """others render into the folder of streets: only wait for them"""
    compile_seconds: float = 0.0
    """how long torch.compile may take to start; 0: it is not used [s]"""
    device: str = "auto"
    """auto (CUDA where there is any), cpu, cuda, cuda:N or mps"""
    threads: int = 1
    """CPU threads [threads]"""

    @field_validator("photos", mode="before")
    @classmethod
    def _one_or_none(cls, value: Any) -> Any:
        """Weights that were written while there was one folder of photos, or none, still say so."""
        return () if value is None else (value,) if isinstance(value, dict) else value


def read_aligned_config(path: Path, changes: dict[str, Any] | None = None) -> AlignedConfig:
    """A config from YAML with `changes` (dotted key -> value); raises ConfigError with every problem at once."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({str(error).splitlines()[0]})") from None
    for key, value in (changes or {}).items():
        place = content
        *above, last = key.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    try:
        config = AlignedConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {wrong_values(error.errors(), known=keys_of(AlignedConfig))}") from None
    refuse_flags(content, config, str(path))
    return config


class AlignedRecipe:
    """One training, its checkpoints, streets and logs in `folder`; resumes what lies there."""

    def __init__(self, config: AlignedConfig, folder: Path, *, parts: Path | None = None) -> None:
        self.config, self.folder, self.parts = config, folder, parts
        self.device = resolve_device(config.device)
        self.streets = StreetFolder(folder / "streets", config.streets)
        torch.set_num_threads(config.threads)
        if self.device.startswith("cuda"):
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")

    @property
    def waits(self) -> bool:
        """Whether other processes render."""
        return self.config.renderers > 0 or self.config.rendered_elsewhere

    def run(self, command: list[str], stopped: Callable[[], bool] = lambda: False) -> Path:
        """Render, train, write; gives the weights' file. `command` with `K/N` behind it renders a share."""
        count = self.config.renderers
        renderers = [subprocess.Popen([*command, f"{k}/{count}"]) for k in range(count)]
        try:
            vae = self.autoencoder(stopped)
            self.train(vae, stopped)
        finally:
            for process in renderers:
                process.terminate()
            for process in renderers:
                process.wait()
        return self.folder / WEIGHTS

    def autoencoder(self, stopped: Callable[[], bool] = lambda: False) -> Any:
        """The autoencoder whose latents are learnt: another model's, or one trained here on streets and photos."""
        settings, path = self.config.autoencoder, self.folder / "vae.safetensors"
        if settings is None:
            vae = networks.read_autoencoder(find_model(self.config.autoencoder_from))
        else:
            vae = networks.build_autoencoder(
                channels=settings.channels, blocks=settings.blocks, latent_channels=self.config.latent_channels
            )
            if path.is_file():
                vae.load_state_dict(load_checkpoint(path)[0])
            elif not stopped():
                self._train_autoencoder(vae, settings, path)
        return vae.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def _train_autoencoder(self, vae: Any, settings: ae.AutoencoderSettings, path: Path) -> None:
        """Train, fold the normalisation of the latents, save."""
        until = time.monotonic() + self.config.autoencoder_seconds
        images, samples = self._pictures(min(0.5 * self.config.autoencoder_seconds, 600.0))
        curve = ae.train_autoencoder(
            vae,
            [images],
            samples,
            settings,
            self.folder / "autoencoder.safetensors",
            rng_key=self.config.aligned.rng_key,
            device=self.device,
            seconds=until - time.monotonic(),
        )
        chosen = np.random.default_rng(1).permutation(len(images))[:200]
        pixels = to_pixels(images[torch.from_numpy(chosen)]).to(self.device)
        ae.fold_normalisation(vae, pixels.split(8))
        save_checkpoint(path, vae.state_dict(), {"curve": curve})
        decibels = ae.autoencoder_psnr(vae, images[torch.from_numpy(chosen[:24])])
        log.info("autoencoder: %.2f dB on 24 of its own pictures", float(np.mean(decibels)))

    def _pictures(self, seconds: float) -> tuple[torch.Tensor, list[TrainingSample]]:
        """The first streets under all conditions and the photos: uint8 `n 3 h w`, and what each shows."""
        count = self.config.autoencoder_streets
        if self.waits:
            count = wait_for(self.streets, count, seconds)
        parts = [self.streets.render(index) for index in range(count)]
        samples = [TrainingSample(self.streets.path(i), c, "scene") for i in range(count) for c in CONDITIONS]
        photos, images = self._photos
        parts += [images] if photos else []
        if not parts:
            raise DatasetError(
                f"{self.streets.folder}: no street was rendered in {seconds:.0f} s, and there is no photo"
            )
        return torch.cat(parts), samples + photos

    @cached_property
    def _photos(self) -> tuple[list[TrainingSample], torch.Tensor]:
        if not self.config.photos:
            return [], torch.empty(0)
        samples = list_samples(self.config.photos, CONDITIONS)
        return samples, load_images(samples, self.config.streets.size, quality=92, rng=np.random.default_rng(0))

    @cached_property
    def backbone(self) -> UNetBackbone | FlowBackbone:
        """The kind of model that is trained."""
        config, size = self.config, self.config.streets.size
        if config.flow is not None:
            return FlowBackbone(config.flow, size)
        return UNetBackbone(config.denoiser, config.attention_levels, size)

    @cached_property
    def vocabulary(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """That of the model whose autoencoder is taken; learnt where it has none."""
        folder = find_model(self.config.autoencoder_from) / "tokenizer"
        return read_vocabulary(folder) if folder.is_dir() else learn_vocabulary(vocabulary_corpus())

    def start(self, vae: Any) -> tuple[dn.DenoiserTraining, LatentModel, Any]:
        """The networks at their beginning, the averaged model over them, and the tokenizer."""
        tokenizer = networks.build_tokenizer(*self.vocabulary, max_length=self.backbone.settings.max_tokens)
        parts = self.backbone.build(vae, tokenizer)
        if self.config.init_from:
            _begin_from(self.config.init_from, parts)
        training = dn.start_training(parts, self.config.aligned.lr, self.device)
        return training, self.backbone.model(training.average, vae, tokenizer), tokenizer

    def train(self, vae: Any, stopped: Callable[[], bool] = lambda: False) -> None:
        """Train the denoiser; the weights are written at the start and whenever a checkpoint is."""
        training, model, tokenizer = self.start(vae)
        if not (self.folder / WEIGHTS).is_file():  # a training that is killed before it saves leaves its autoencoder
            self.write_weights(vae, training, 0)
        settings, rng = self.config.aligned, np.random.default_rng(self.config.aligned.rng_key)
        length = tokenizer.model_max_length

        def tokenize(texts: list[str]) -> torch.Tensor:
            rows = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            return rows.input_ids

        prompts = PromptBank.write(tokenize, settings.prompts, rng, self.device)
        bank = self._bank(model)
        loader = StreetLoader(self.streets, wait=self.waits)
        objective = self.backbone.objective(model)
        if self.config.compile_seconds and self.device.startswith("cuda"):
            _compile(training.networks, self.backbone.main, objective, prompts, bank, self.config)
        try:
            train_aligned(
                training,
                bank,
                loader,
                prompts,
                self._photo_latents(vae),
                settings,
                self.folder,
                objective,
                seconds=self.config.seconds,
                stopped=stopped,
                on_save=lambda done, streets: self.write_weights(vae, done, streets.count),
            )
        finally:
            loader.stop()

    def _bank(self, model: LatentModel) -> StreetBank:
        """Room for the streets, with the pairs of photos in it."""
        settings = self.config.aligned
        pairs: list[tuple[torch.Tensor, list[str]]] = []
        if settings.paired_conditions:
            samples, images = self._photos
            pairs = list(
                photo_pairs(samples, images, settings.paired_conditions, settings.pairs_each, settings.rng_key)
            )
        bank = StreetBank.empty(model, self.config.streets.size, self.config.streets.most + len(pairs))
        for street, learnt in pairs:
            bank.add(street, learnt)
        return bank

    def _photo_latents(self, vae: Any) -> list[tuple[str, torch.Tensor]]:
        """Latents of the photos and of their mirror images by domain, on the device."""
        samples, images = self._photos
        domains = sorted({s.domain for s in samples})
        chosen = {d: torch.tensor([s.domain == d for s in samples]) for d in domains}
        return [
            (d, dn.encode_all(vae.encoder, images[rows], device=self.device).to(self.device))
            for d, rows in chosen.items()
        ]

    def write_weights(self, vae: Any, training: dn.DenoiserTraining, streets: int) -> None:
        """The averaged networks in one file, and that in parts where parts are wanted."""
        parts = {**dict(training.average.items()), "vae": vae}
        tensors: dict[str, torch.Tensor] = {}
        for name, network in parts.items():
            state = network.state_dict()
            tensors |= pack(name, {k: v.half() if v.is_floating_point() else v for k, v in state.items()})
        state = {"config": self.config.model_dump_json(), "step": training.step, "streets": streets}
        save_checkpoint(self.folder / WEIGHTS, {k: v.cpu() for k, v in tensors.items()}, state)
        if self.parts:
            write_parts(self.folder / WEIGHTS, self.parts)
        log.info("saved at step %d with %d streets", training.step, streets)


def package_weights(path: Path, out: Path) -> int:
    """A file of averaged weights as a folder that `load_model` opens, with a model card (not for a flow) and without
    profiles; gives the training step.

    A file without an autoencoder takes that of the model that its config names. Raises ModelError where there is none.
    """
    tensors, state = load_checkpoint(path)
    told = AlignedConfig.model_validate_json(state["config"])
    config = told.model_copy(update={"init_from": None, "device": "cpu"})
    recipe = AlignedRecipe(config, path.parent)
    vae = recipe.autoencoder(stopped=lambda: True)
    own = unpack("vae", tensors)
    if config.autoencoder and not own:
        raise ModelError(f"{path}: no autoencoder in it, and its config trains one")
    if own:
        vae.load_state_dict(own)
    training, _, _ = recipe.start(vae)
    for name, network in training.average.items():
        network.load_state_dict(unpack(name, tensors))
    recipe.backbone.write(out, training.average, vae, recipe.vocabulary)
    if told.flow is None:
        write_card(out, card_facts(told, out.name, step=int(state["step"]), streets=int(state["streets"])))
    return int(state["step"])


def card_facts(config: AlignedConfig, name: str, *, step: int, streets: int) -> CardFacts:
    """What the card of a model with aligned seeds says; figures are measured later, and `docs/hooks.py` tells them."""
    rendered = f"{streets:,} streets under six conditions, rendered by this package, Apache-2.0"
    data = [(f"streets of `rng_key` {config.streets.rng_key}", 6 * streets, rendered)]
    begun = f" from {config.init_from}" if config.init_from else ""
    history = (
        f"Trained with *aligned seeds*{begun}: {step:,} updates of {config.aligned.batch}. The model has seen aligned "
        f"pairs of *other* streets than those that it is measured on. {config.history}"
    ).strip()
    photos = [told_source(source, CONDITIONS) for source in config.photos]
    command = "Reproduce: `python pipelines/train_aligned.py CONFIG --package DIR` (resumable)."
    return CardFacts(name, config.licence, [*data, *photos], {}, [], history, config.streets.size, command)


def lean_weights(path: Path, out: Path) -> int:
    """The same weights without the autoencoder, which another model lends again; gives the training step.

    Raises ModelError where the training made an autoencoder of its own.
    """
    tensors, state = load_checkpoint(path)
    if AlignedConfig.model_validate_json(state["config"]).autoencoder:
        raise ModelError(f"{path}: its autoencoder was trained with it, and no other model has it")
    save_checkpoint(out, {name: tensor for name, tensor in tensors.items() if not name.startswith("vae.")}, state)
    return int(state["step"])


def _begin_from(source: str, parts: Mapping[str, torch.nn.Module]) -> None:
    """Load networks from a model, or from a file of averaged weights; raises ModelError where shapes differ."""
    path = Path(source)
    folder = None if path.is_file() else find_model(source)
    for name, network in parts.items():
        stem = "model" if name.startswith("text_encoder") else "diffusion_pytorch_model"
        file = path if folder is None else folder / name / f"{stem}.safetensors"
        if not file.is_file():
            raise ModelError(f"{source}: {name} is missing; expected a model with {', '.join(parts)}")
        with safe_open(file, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        inside = unpack("average." + name, tensors) or unpack(name, tensors) or tensors
        try:
            network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in inside.items()})
        except RuntimeError as error:
            raise ModelError(
                f"{file}: {name} has another shape than the config ({str(error).splitlines()[1].strip()})"
            ) from None


def _compile(
    parts: torch.nn.ModuleDict,
    main: str,
    objective: Objective,
    prompts: PromptBank,
    bank: StreetBank,
    config: AlignedConfig,
) -> None:
    """Compile the network that is trained, if its first step is ready in `compile_seconds`; else leave it as it was."""
    from s2st_aug.training.compiling import compile_within

    noise = torch.randn(config.aligned.batch, *bank.seeds.shape[1:], device=bank.seeds.device)
    tokens = prompts.tokens[[0] * config.aligned.batch]

    def step() -> None:
        objective(parts, noise, noise, tokens).mean().backward()
        parts.zero_grad(set_to_none=True)

    log.info("torch.compile: %s", compile_within(parts[main], step, config.compile_seconds))


def renderer_command(config: Path, *words: str) -> list[str]:
    """The command that renders a share of the streets, without the share."""
    script = Path(__file__).parents[2] / "pipelines" / "train_aligned.py"
    return [sys.executable, str(script), str(config), *words, "--render"]
