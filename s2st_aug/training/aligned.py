"""Training with aligned seeds: the seed of a day image, with the prompt of condition B, leads to the street under B.

Scenes give one street under six conditions at the same pixels. In `aligned_share` of the samples the noise of a
training step is not fresh: it is the one whose path from the image of B ends in the day image's seed. Everything else
of v-prediction stays, so this is rectified flow (arXiv 2209.03003) with a coupling that geometry gives, and B = day
keeps the inversion true. The rest is fresh noise, with prompt dropout, from which the prior grows. A figure of such
weights must say that the model saw aligned pairs of other streets.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict

from s2st_aug.diffusion.ddim import invert
from s2st_aug.diffusion.denoiser import with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.errors import DatasetError
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint
from s2st_aug.training.data import to_pixels
from s2st_aug.training.denoiser import DenoiserTraining
from s2st_aug.training.objectives import Objective
from s2st_aug.training.prompts import canonical_prompt, write_prompt
from s2st_aug.training.streets import DAY, StreetLoader

log = logging.getLogger(__name__)
GLOW = 110  # of 255: luma of a light, as the figures on lights have it
DARK = ("dusk", "night", "night_rain")  # conditions in which what is bright is a light
SMOOTH = 0.98  # of the losses in the log, per sample
FRESH, PHOTO = len(CONDITIONS), len(CONDITIONS) + 1
KINDS = (*CONDITIONS, "fresh", "photo")  # of samples: an aligned one by its condition
Tokenize: TypeAlias = Callable[[list[str]], torch.Tensor]


class AlignedSettings(BaseModel):
    """Data and schedule; shares of samples, counts in training steps, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    rng_key: int = 0
    """random integer of the training [no unit]"""
    batch: int = 8
    """samples of an update [samples]"""
    lr: float = 3e-4
    """learning rate of Adam [rate]"""
    warm_up: int = 200
    """updates over which the rate rises from 0 [updates]"""
    decay_from: float = 0.0
    """share of `steps`, or of the seconds given, from which a cosine lowers the rate; 0: it stays [share]"""
    steps: int = 1_000_000
    """most updates [updates]"""
    ema: float = 0.9995
    """decay of the averaged weights at each update [factor]"""
    aligned_share: float = 0.75
    """share of samples whose noise is the seed of the street by day [share]"""
    weights: tuple[float, ...] = (0.18, 0.11, 0.26, 0.21, 0.10, 0.14)
    """how often each of day, dusk, night, rain, fog, night_rain is the target [share]"""
    paired_conditions: tuple[str, ...] = ()
    """conditions whose photos are aligned too, each with a day of its own photo in a day photo's colours"""
    paired_share: float = 0.3
    """share of such photos, and of day photos, among the aligned samples, where there are any [share]"""
    pairs_each: int = 3
    """days that a photo, and its mirror image, is paired with [days]"""
    photo_share: float = 0.15
    """share of photos among the samples with fresh noise [share]"""
    prompt_dropout: float = 0.12
    """share of the samples with fresh noise that have no prompt [share]"""
    aligned_prompt_dropout: float = 0.0
    """the same of the aligned samples: without it guidance knows no day's seed [share]"""
    light_weight: float = 0.0
    """how much more cells of lights count in the loss; they are a hundredth of a night [factor]"""
    canonical_share: float = 0.3
    """share of prompts that are the profile's own words [share]"""
    prompts: int = 512
    """prompts written for each condition before the training, to draw from [prompts]"""
    offset_noise: float = 0.1
    """size of a random constant for each channel in fresh noise [latent units]"""
    inversion_steps: tuple[int, ...] = (8, 10, 12, 16)
    """steps of the inversion that finds a seed, one of them by chance each time [steps]"""
    new_street_every: int = 10
    """updates between two new streets [updates]"""
    refresh_every: int = 20
    """updates between two refreshments of the oldest seeds [updates]"""
    refresh_batch: int = 8
    """seeds that are made anew at once [seeds]"""
    save_every: float = 240.0
    """time between two checkpoints [s]"""
    log_every: int = 25
    """updates between two lines of the log [updates]"""


@dataclass(eq=False)
class StreetBank:
    """Latents of streets under all conditions and the seeds of their day images, on the training's device."""

    model: LatentModel  # the averaged network, and the autoencoder whose latents are learnt
    latents: torch.Tensor  # capacity 6 c h w, float16, in the order of CONDITIONS
    seeds: torch.Tensor  # capacity c h w, float16
    ends: torch.Tensor  # capacity, float32: abar of the level that a seed lies at
    made_at: np.ndarray  # capacity: training step of the seed; -1 where there is none
    lights: torch.Tensor  # capacity 6 h w, bool: cells with a light, in the dark conditions
    learnt: np.ndarray  # capacity 6, bool: the conditions that may be learnt from; of a pair of photos only one
    paired: np.ndarray  # capacity, bool: made of photos
    count: int = 0

    @classmethod
    def empty(cls, model: LatentModel, size: tuple[int, int], capacity: int) -> StreetBank:
        """Room for `capacity` streets of `size` (w, h in pixels)."""
        shape = model.latent_channels, size[1] // model.latent_factor, size[0] // model.latent_factor
        half: dict[str, Any] = {"dtype": torch.float16, "device": model.device}
        latents, seeds = torch.zeros(capacity, len(CONDITIONS), *shape, **half), torch.zeros(capacity, *shape, **half)
        lights = torch.zeros(capacity, len(CONDITIONS), *shape[1:], dtype=torch.bool, device=model.device)
        ends, made_at = torch.zeros(capacity, device=model.device), np.full(capacity, -1)
        learnt, paired = np.ones((capacity, len(CONDITIONS)), bool), np.zeros(capacity, bool)
        return cls(model, latents, seeds, ends, made_at, lights, learnt, paired)

    @torch.no_grad()
    def add(self, street: torch.Tensor, only: Sequence[str] | None = None) -> None:
        """Encode one street, uint8 `6 3 h w`; of a pair of photos `only` one condition is learnt from."""
        if only is not None:
            self.paired[self.count], self.learnt[self.count] = True, [c in only for c in CONDITIONS]
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.model.device.type == "cuda"):
            self.latents[self.count] = self.model.encode(to_pixels(street.to(self.model.device))).half()
        self.lights[self.count] = cells_of_lights(street.to(self.model.device), self.model.latent_factor)
        self.count += 1

    @property
    def usable(self) -> np.ndarray:
        """Rows with a seed."""
        return np.flatnonzero(self.made_at[: self.count] >= 0)

    def draw(self, aligned: int, fresh: int, settings: AlignedSettings, rng: np.random.Generator) -> np.ndarray:
        """Rows and conditions of a batch, `b 2`: those that need a seed first, some of them pairs of photos."""
        usable, paired = self.usable, self.paired
        of_photos, of_streets = usable[paired[usable]], usable[~paired[usable]]
        streets = np.flatnonzero(~paired[: self.count])
        rows = np.concatenate([rng.choice(of_streets, aligned), rng.choice(streets, fresh)])
        conditions = rng.choice(len(CONDITIONS), aligned + fresh, p=settings.weights)
        if len(of_photos):
            for k in np.flatnonzero(rng.random(aligned) < settings.paired_share):
                rows[k] = rng.choice(of_photos)
                conditions[k] = rng.choice(np.flatnonzero(self.learnt[rows[k]]))
        return np.stack([rows, conditions], 1)

    @torch.no_grad()
    def refresh(self, settings: AlignedSettings, step: int, rng: np.random.Generator) -> None:
        """Invert the day images whose seeds are oldest, with the averaged network and a day prompt."""
        oldest = np.argsort(self.made_at[: self.count], kind="stable")[: settings.refresh_batch]
        clean = self.latents[oldest, DAY].float()
        said = rng.random(len(oldest)) < 0.5
        prompts = [canonical_prompt("day") if s else write_prompt("day", "scene", rng) for s in said]
        steps, schedule = int(rng.choice(settings.inversion_steps)), self.model.schedule
        with torch.autocast(self.model.device.type, torch.bfloat16):
            path = invert(with_context(self.model.denoiser, self.model.embed(prompts)), clean, schedule, steps)
        self.seeds[oldest] = path[-1].half()
        self.ends[oldest] = schedule.abar(schedule.timesteps(steps)[0])
        self.made_at[oldest] = step

    def save_seeds(self, path: Path) -> None:
        """Keep the seeds, so that a resumed training need not invert anew."""
        n = self.count
        tensors = {"seeds": self.seeds[:n].cpu(), "ends": self.ends[:n].cpu()}
        save_checkpoint(path, tensors, {"made_at": self.made_at[:n].tolist()})

    def resume(self, path: Path, loader: StreetLoader) -> None:
        """The streets and seeds that an earlier training saved there."""
        tensors, state = load_checkpoint(path) if path.is_file() else ({}, {"made_at": []})
        n = min(len(state["made_at"]), len(self.made_at))
        loader.start(0)
        while self.count < n and (street := loader.take(block=True)) is not None:
            self.add(street)
        if n:
            self.seeds[:n], self.ends[:n] = tensors["seeds"][:n].to(self.seeds), tensors["ends"][:n].to(self.ends)
            self.made_at[:n] = state["made_at"][:n]


def cells_of_lights(street: torch.Tensor, factor: int) -> torch.Tensor:
    """Latent cells of one street, uint8 `6 3 h w`, that touch a light or lie beside one: bool `6 h w`; none by day."""
    luma = (street.float() * street.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32).view(3, 1, 1)).sum(1)
    cells = F.max_pool2d((luma > GLOW).float()[:, None], factor)
    near = F.max_pool2d(cells, 3, stride=1, padding=1)[:, 0] > 0
    near[[i for i, condition in enumerate(CONDITIONS) if condition not in DARK]] = False
    return near


def coupled_noise(seed: torch.Tensor, clean: torch.Tensor, abar_end: torch.Tensor) -> torch.Tensor:
    """The noise with which the path of `clean` (image B) ends in `seed`: (z_T - sqrt(abar_T) x_B) / sqrt(1 - abar_T).

    Where sampling starts the network then sees what it will see there: the day's seed, without a trace of B.
    """
    return (seed - abar_end.sqrt() * clean) / (1 - abar_end).sqrt()


@dataclass(eq=False)
class PromptBank:
    """Prompts as tokens on the device: `count` written ones for each condition and medium, the profile's own, none."""

    tokens: torch.Tensor  # n length
    written: Mapping[tuple[str, str], np.ndarray]  # (condition, medium) -> rows of `tokens`
    canonical: Mapping[tuple[str, str], int]  # the plain ones; a photo's says that it is one, but by day

    @classmethod
    def write(
        cls, tokenize: Tokenize, count: int, rng: np.random.Generator, device: torch.device | str = "cpu"
    ) -> PromptBank:
        """Row 0 is the empty prompt. A photo's prompt says that it is one, so that a plain prompt leads to none."""
        texts = [""]
        written: dict[tuple[str, str], np.ndarray] = {}
        canonical: dict[tuple[str, str], int] = {}
        for condition in CONDITIONS:
            for medium, said in (("scene", ""), ("photo", "" if condition == "day" else "photo")):
                canonical[condition, medium] = len(texts)
                texts.append(canonical_prompt(condition, said))
                drawn = [write_prompt(condition, medium, rng) for _ in range(4 * count)]
                kept = [p for p in drawn if medium == "scene" or "photo" in p][:count]
                written[condition, medium] = np.arange(len(texts), len(texts) + len(kept))
                texts += kept
        return cls(tokenize(texts).to(device), written, canonical)

    def draw(self, condition: str, medium: str, canonical_share: float, rng: np.random.Generator) -> int:
        """A row for that condition."""
        if medium == "scene" and rng.random() < canonical_share:
            return self.canonical[condition, medium]
        rows = self.written[condition, medium]
        return int(rows[rng.integers(len(rows))])  # `choice` costs ten times that, a hundred times a step


@dataclass(frozen=True, eq=False)
class Batch:
    """Clean latents and noise `b c h w`, tokens `b n`, and each sample's kind as an index into KINDS, on the device."""

    clean: torch.Tensor
    noise: torch.Tensor
    tokens: torch.Tensor
    kinds: torch.Tensor
    lights: torch.Tensor  # b h w, bool


def draw_batch(
    bank: StreetBank,
    photos: Sequence[tuple[str, torch.Tensor]],
    prompts: PromptBank,
    settings: AlignedSettings,
    rng: np.random.Generator,
) -> Batch:
    """Aligned samples, then those with fresh noise, in their shares; `photos`: domain and latents `n c h w` float16."""
    wanted, device = settings.aligned_share * settings.batch, bank.latents.device
    aligned = int(wanted) + int(rng.random() < wanted - int(wanted))
    fresh = settings.batch - aligned
    is_photo = (rng.random(fresh) < settings.photo_share) & bool(photos)
    streets, conditions = bank.draw(aligned, fresh, settings, rng).T
    clean, lights = bank.latents[streets, conditions].float(), bank.lights[streets, conditions]
    rows = [
        prompts.canonical[CONDITIONS[c], "photo"]
        if bank.paired[street]
        else prompts.draw(CONDITIONS[c], "scene", settings.canonical_share, rng)
        for street, c in zip(streets, conditions, strict=True)
    ]
    for k in aligned + np.flatnonzero(is_photo):
        domain, latents = photos[int(rng.integers(len(photos)))]
        clean[k] = latents[int(rng.integers(len(latents)))].float()
        rows[k], lights[k] = prompts.draw(domain, "photo", 0, rng), False
    dropout = np.where(np.arange(settings.batch) < aligned, settings.aligned_prompt_dropout, settings.prompt_dropout)
    for k in np.flatnonzero(rng.random(settings.batch) < dropout):
        rows[k] = 0
    noise = torch.randn_like(clean) + settings.offset_noise * torch.randn_like(clean[:, :, :1, :1])
    coupled = torch.from_numpy(streets[:aligned]).to(device)
    ends = bank.ends[coupled].view(-1, 1, 1, 1)
    noise[:aligned] = coupled_noise(bank.seeds[coupled].float(), clean[:aligned], ends)
    kinds = np.concatenate([conditions[:aligned], np.where(is_photo, PHOTO, FRESH)])
    return Batch(clean, noise, prompts.tokens[rows], torch.from_numpy(kinds).to(device), lights)


def train_step(
    training: DenoiserTraining, batch: Batch, objective: Objective, settings: AlignedSettings, rate: float
) -> torch.Tensor:
    """One step of what `objective` asks for; gives each sample's plain loss, ` b`, on the device.

    Cells of lights weigh `1 + light_weight`: the mean that a cell learns stays what it was, it is only learnt sooner.
    """
    square = objective(training.networks, batch.clean, batch.noise, batch.tokens)
    weight = 1 + settings.light_weight * batch.lights[:, None]
    training.update((weight * square).mean(), rate, settings.ema)
    return square.detach().mean((1, 2, 3))


def learning_rate(step: int, done: float, settings: AlignedSettings) -> float:
    """Warm-up, a constant, and from the share `decay_from` of the training on a cosine to a twentieth.

    `done`: the share so far, of steps or of seconds.
    """
    rate = settings.lr * min(1.0, (step + 1) / settings.warm_up)
    if settings.decay_from and done > settings.decay_from:
        share = min(1.0, (done - settings.decay_from) / max(1e-9, 1 - settings.decay_from))
        rate *= 0.05 + 0.95 * (0.5 + 0.5 * float(np.cos(np.pi * share)))
    return rate


@dataclass(eq=False)
class Journal:
    """`log.jsonl`: what the training did, a line every few steps, losses smoothed by kind and read only then."""

    path: Path
    losses: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    before: float = 0.0  # seconds of earlier runs
    pending: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of training, over all runs."""
        return self.before + time.monotonic() - self.started

    def write(self, step: int, settings: AlignedSettings, streets: int, rate: float) -> None:
        """One line, with the losses since the last one smoothed in."""
        for kinds, losses in self.pending:
            for kind, loss in zip([KINDS[k] for k in kinds.tolist()], losses.tolist(), strict=True):
                for name in (kind, "all"):
                    self.losses[name] = SMOOTH * self.losses.get(name, loss) + (1 - SMOOTH) * loss
        self.pending.clear()
        losses_now = {k: round(v, 4) for k, v in sorted(self.losses.items())}
        line = {"step": step, "samples": step * settings.batch, "seconds": round(self.seconds), "streets": streets}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"loss": losses_now, "lr": rate}) + "\n")


def train_aligned(
    training: DenoiserTraining,
    bank: StreetBank,
    loader: StreetLoader,
    prompts: PromptBank,
    photos: Sequence[tuple[str, torch.Tensor]],
    settings: AlignedSettings,
    folder: Path,
    objective: Objective,
    *,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
    on_save: Callable[[DenoiserTraining, StreetBank], None] = lambda _training, _bank: None,
) -> DenoiserTraining:
    """Train until `settings.steps`, `seconds` or `stopped`; resumes what `folder` holds, saves every `save_every` s.

    The bank's model holds the averaged networks of `training`: it inverts. New streets come from `loader` when they are
    there. Raises DatasetError where there is none at all.
    """
    first, checkpoint, seeds = (
        loader.source.settings.first,
        folder / "aligned.safetensors",
        folder / "seeds.safetensors",
    )
    training.resume(checkpoint)
    first += bank.count  # pairs of photos are in it already
    bank.resume(seeds, loader)
    journal = Journal(folder / "log.jsonl", before=training.curve[-1][1] if training.curve else 0.0)
    rng, saved, started = np.random.default_rng([settings.rng_key, training.step]), time.monotonic(), journal.seconds
    torch.manual_seed(settings.rng_key + training.step)
    while bank.count < first and not stopped() and (street := loader.take(block=True)) is not None:
        bank.add(street)
    if bank.paired[: bank.count].all():
        raise DatasetError(f"{loader.source.folder}: no street was rendered in {loader.patience:.0f} s")
    while len(bank.usable) < min(first, bank.count):
        bank.refresh(settings, training.step, rng)
    log.info("begin at step %d with %d streets", training.step, bank.count)
    while training.step < settings.steps and (spent := journal.seconds - started) < seconds and not stopped():
        rate = learning_rate(training.step, max(training.step / settings.steps, spent / seconds), settings)
        batch = draw_batch(bank, photos, prompts, settings, rng)
        journal.pending.append((batch.kinds, train_step(training, batch, objective, settings, rate)))
        if training.step % settings.new_street_every == 0 and (street := loader.take(block=False)) is not None:
            bank.add(street)
        if training.step % settings.refresh_every == 0:
            bank.refresh(settings, training.step, rng)
        if training.step % settings.log_every == 0:
            journal.write(training.step, settings, bank.count, rate)
        if time.monotonic() - saved > settings.save_every:
            saved = time.monotonic()
            _save(training, bank, checkpoint, seeds, journal)
            on_save(training, bank)
    _save(training, bank, checkpoint, seeds, journal)
    on_save(training, bank)
    return training


def _save(training: DenoiserTraining, bank: StreetBank, checkpoint: Path, seeds: Path, journal: Journal) -> None:
    """Seeds first: a checkpoint never knows of streets that are not there. `curve`: step and seconds of training."""
    bank.save_seeds(seeds)
    training.curve.append((training.step, journal.seconds))
    training.save(checkpoint)
