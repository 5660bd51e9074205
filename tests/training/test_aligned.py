"""Training with aligned seeds: the coupling is exact, batches have their shares, and a stopped training goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from s2st_aug.diffusion.ddim import add_noise, sample
from s2st_aug.diffusion.denoiser import with_context
from s2st_aug.diffusion.schedule import NoiseSchedule
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ConfigError, DatasetError, ModelError
from s2st_aug.images import to_lab
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.testing.models import CONTEXT_DIM, tiny_latent_model
from s2st_aug.training import aligned_recipe
from s2st_aug.training.aligned import (
    FRESH,
    KINDS,
    PHOTO,
    AlignedSettings,
    PromptBank,
    StreetBank,
    cells_of_lights,
    coupled_noise,
    draw_batch,
    learning_rate,
    train_aligned,
    train_step,
)
from s2st_aug.training.aligned_recipe import (
    AlignedRecipe,
    lean_weights,
    package_weights,
    read_aligned_config,
    renderer_command,
)
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint
from s2st_aug.training.compiling import compile_within
from s2st_aug.training.data import TrainingSample
from s2st_aug.training.denoiser import DenoiserTraining, start_training
from s2st_aug.training.objectives import sd3_velocity, v_prediction
from s2st_aug.training.parts import join_parts, write_parts
from s2st_aug.training.photo_pairs import photo_pairs, recoloured
from s2st_aug.training.streets import DAY, StreetFolder, StreetLoader, StreetSettings, wait_for

STREETS = StreetSettings(size=(64, 48), rendered=(128, 96), first=3, most=12)
SMALL = AlignedSettings(
    new_street_every=20, refresh_every=2, refresh_batch=4, warm_up=2, inversion_steps=(4,), prompts=8, log_every=25
)
OBJECTIVE = v_prediction(NoiseSchedule.stable_diffusion(), torch.device("cpu"))


class TinyUnet(nn.Module):
    """A convolution shifted by the prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.shift = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(CONTEXT_DIM, 4)

    def forward(
        self, latents: torch.Tensor, _steps: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> SimpleNamespace:
        return SimpleNamespace(sample=self.conv(latents) + self.shift(encoder_hidden_states.mean(1))[:, :, None, None])


class TinyText(nn.Module):
    """An embedding of hashed words."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(64, CONTEXT_DIM)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.words(tokens),)


def tokenize(prompts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(p) % 64, sum(map(ord, p)) % 64] for p in prompts])


def new_training() -> DenoiserTraining:
    torch.manual_seed(0)
    return start_training({"unet": TinyUnet(), "text_encoder": TinyText()}, 5e-4)


def new_bank(folder: Path, streets: StreetSettings = STREETS) -> tuple[StreetBank, StreetLoader]:
    return StreetBank.empty(tiny_latent_model(), streets.size, streets.most), StreetLoader(
        StreetFolder(folder, streets)
    )


@pytest.fixture(scope="module")
def prompts() -> PromptBank:
    return PromptBank.write(tokenize, 8, np.random.default_rng(0))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of streets, rendered once for all tests."""
    folder = tmp_path_factory.mktemp("streets")
    for index in range(3):
        StreetFolder(folder, STREETS).render(index)
    return folder


@pytest.fixture
def bank(rendered: Path) -> StreetBank:
    made, loader = new_bank(rendered)
    loader.start(0)
    for _ in range(3):
        made.add(loader.take(block=True))
    made.refresh(SMALL, 0, np.random.default_rng(0))
    return made


def test_the_path_of_b_ends_in_the_seed() -> None:
    seed, clean = torch.randn(2, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    for abar in (0.01, 0.3, 0.9):
        noise = coupled_noise(seed, clean, torch.tensor(abar))
        assert torch.allclose(add_noise(clean, noise, abar), seed, atol=1e-5)


def test_seeds_lead_back_to_the_day(bank: StreetBank) -> None:
    """With the network that inverted: the seed's level and the sampler's first one are the same."""
    model = bank.model
    assert bank.ends[0] == pytest.approx(model.schedule.abar(model.schedule.levels(4)[-1]))
    start = bank.seeds[:1].float()
    back = sample(with_context(model.denoiser, model.embed(["a street by day"])), start, model.schedule, 4)
    day = bank.latents[:1, DAY].float()
    assert (back - day).abs().mean() < 0.5 * day.abs().mean()


def test_shares_of_a_batch(bank: StreetBank, prompts: PromptBank) -> None:
    rng = np.random.default_rng(0)
    photos = [("night", torch.zeros(2, 4, 12, 16, dtype=torch.float16))]
    batches = [draw_batch(bank, photos, prompts, SMALL, rng) for _ in range(200)]
    kinds = Counter(KINDS[k] for b in batches for k in b.kinds.tolist())
    assert sum(kinds[c] for c in CONDITIONS) == 0.75 * 1600
    assert kinds["photo"] == pytest.approx(0.15 * 0.25 * 1600, rel=0.4)
    dropped = [bool((row == prompts.tokens[0]).all()) for b in batches for row in b.tokens[b.kinds >= FRESH]]
    assert np.mean(dropped) == pytest.approx(0.12, abs=0.05)
    assert all(b.clean[b.kinds == PHOTO].abs().sum() == 0 for b in batches)


def test_an_aligned_sample_ends_in_the_seed_of_its_day(bank: StreetBank, prompts: PromptBank) -> None:
    settings = SMALL.model_copy(update={"aligned_share": 1.0, "weights": (0, 0, 1.0, 0, 0, 0)})
    batch = draw_batch(bank, [], prompts, settings, np.random.default_rng(0))
    abar = float(bank.ends[0])
    for clean, noise in zip(batch.clean, batch.noise, strict=True):
        end = add_noise(clean[None], noise[None], abar)
        street = min(range(3), key=lambda i: float((clean - bank.latents[i, 2].float()).abs().max()))
        assert torch.equal(clean, bank.latents[street, 2].float())
        assert (end - bank.seeds[street].float()).abs().max() < 0.01


def test_pairs_of_photos_are_learnt_from_their_own_seed_and_as_photos(bank: StreetBank, prompts: PromptBank) -> None:
    """A photo at dusk, whose made-up day gives a seed and nothing else; and a day that leads to itself."""
    rng = np.random.default_rng(0)
    photos = torch.from_numpy(rng.integers(0, 120, (2, 3, 48, 64), dtype=np.uint8))
    samples = [TrainingSample(Path(), d, "photo") for d in ("dusk", "day")]
    pairs = list(photo_pairs(samples, photos, ["dusk"], each=1, rng_key=0))
    assert [only for _, only in pairs] == [["dusk"], ["day"]] * 2
    assert torch.equal(pairs[2][0][1], photos[0])  # the second is not mirrored
    assert torch.equal(pairs[0][0][1], photos[0].flip(-1))
    made = StreetBank.empty(bank.model, (64, 48), 8)
    for street, only in pairs:
        made.add(street, only)
    for _ in range(3):
        made.add(torch.full((6, 3, 48, 64), 255, dtype=torch.uint8))
    made.refresh(SMALL.model_copy(update={"refresh_batch": 7}), 0, rng)
    always = {"aligned_share": 1.0, "paired_share": 1.0, "aligned_prompt_dropout": 0.0}
    batch = draw_batch(made, [], prompts, SMALL.model_copy(update=always), rng)
    assert {KINDS[k] for k in batch.kinds.tolist()} == {"dusk", "day"}
    rows = {KINDS[k]: row.tolist() for k, row in zip(batch.kinds.tolist(), batch.tokens, strict=True)}
    assert rows["dusk"] == tokenize(["a photo of a street at dusk"])[0].tolist()
    assert rows["day"] == tokenize(["a street by day"])[0].tolist()
    none = draw_batch(made, [], prompts, SMALL.model_copy(update={"aligned_share": 0.5, "paired_share": 0.0}), rng)
    whites = made.latents[6].float()
    assert all(any(torch.equal(c, w) for w in whites) for c in none.clean)  # streets alone


def test_a_photo_takes_a_days_colours_and_keeps_its_place() -> None:
    rng = np.random.default_rng(0)
    dusk, day = rng.integers(20, 60, (24, 32, 3), dtype=np.uint8), rng.integers(120, 250, (24, 32, 3), dtype=np.uint8)
    made = recoloured(dusk, day)
    assert abs(float(made.mean()) - float(day.mean())) < 4
    assert np.corrcoef(to_lab(made)[..., 0].ravel(), to_lab(dusk)[..., 0].ravel())[0, 1] > 0.95
    with pytest.raises(DatasetError, match="pairs of photos: none of day among"):
        list(photo_pairs([TrainingSample(Path(), "dusk", "photo")], torch.zeros(1, 3, 8, 8), ["dusk"], 1, 0))


def test_photo_prompts_say_that_they_are_photos() -> None:
    texts: list[str] = []
    bank = PromptBank.write(lambda t: texts.extend(t) or tokenize(t), 16, np.random.default_rng(0))
    assert all("photo" in texts[row] for row in bank.written["night", "photo"])
    assert texts[bank.canonical["night", "scene"]] == "a street at night"


def test_oldest_seeds_are_refreshed_first(bank: StreetBank) -> None:
    bank.made_at[:3] = [7, -1, 5]
    bank.refresh(SMALL.model_copy(update={"refresh_batch": 2}), 9, np.random.default_rng(0))
    assert bank.made_at[:3].tolist() == [7, 9, 9]


@pytest.mark.parametrize(("step", "rate"), [(0, 0.5), (1, 1.0), (50, 1.0), (100, 0.05), (75, 0.525)])
def test_learning_rate(step: int, rate: float) -> None:
    assert learning_rate(step, step / 100, AlignedSettings(lr=1.0, warm_up=2, decay_from=0.5)) == pytest.approx(rate)


def test_a_stopped_training_goes_on(tmp_path: Path, rendered: Path, prompts: PromptBank) -> None:
    stops = iter([False] * 33 + [True])  # three streets, thirty steps

    def train(settings: AlignedSettings, stopped) -> DenoiserTraining:
        bank, loader = new_bank(rendered)
        return train_aligned(
            new_training(), bank, loader, prompts, [], settings, tmp_path, OBJECTIVE, seconds=60, stopped=stopped
        )

    first = train(SMALL, lambda: next(stops))
    assert first.step == 30
    more = train(SMALL.model_copy(update={"steps": 60}), lambda: False)
    assert more.step == 60
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [25, 50]
    assert lines[1]["samples"] == 400
    assert lines[1]["streets"] > lines[0]["streets"]
    assert lines[1]["seconds"] >= lines[0]["seconds"]
    assert not torch.equal(*[training.networks["unet"].conv.weight for training in (first, more)])


def test_another_set_of_streets_is_not_mixed_in(tmp_path: Path) -> None:
    settings = [STREETS.model_copy(update=u) for u in ({}, {"rng_key": 1}, {"size": (32, 24)}, {"rendered": (64, 48)})]
    assert len({StreetFolder(tmp_path, s).path(0) for s in settings}) == 4


def test_streets_of_other_processes_are_awaited_in_order(tmp_path: Path) -> None:
    source = StreetFolder(tmp_path, STREETS.model_copy(update={"most": 4}))
    loader = StreetLoader(source, wait=True, patience=20)
    loader.start(0)
    assert loader.take(block=False) is None
    assert source.render_share(1, 2) == 2
    assert loader.take(block=False) is None
    assert wait_for(source, 4, 0.1) == 0
    assert source.render_share(0, 2, iter([False, True]).__next__) == 1
    first = loader.take(block=True)
    assert torch.equal(first, source.render(0))
    assert torch.equal(loader.take(block=True), source.render(1))
    assert wait_for(source, 4, 0.1) == 2
    loader.stop()


def test_a_training_without_a_street_says_so(tmp_path: Path, prompts: PromptBank) -> None:
    bank, _ = new_bank(tmp_path)
    loader = StreetLoader(StreetFolder(tmp_path, STREETS), wait=True, patience=0.1)
    with pytest.raises(DatasetError, match="no street was rendered"):
        train_aligned(new_training(), bank, loader, prompts, [], SMALL, tmp_path, OBJECTIVE, seconds=5)
    loader.stop()


def test_parts_come_back_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(range(256)) * 10)
    assert write_parts(tmp_path / "w.bin", tmp_path / "parts", limit=1000) == 3
    assert join_parts(tmp_path / "parts", tmp_path / "out").read_bytes() == bytes(range(256)) * 10
    (tmp_path / "parts" / "w.bin.1").write_bytes(b"older")
    with pytest.raises(ModelError, match="do not belong together"):
        join_parts(tmp_path / "parts", tmp_path / "out")
    (tmp_path / "parts" / "w.bin.1").unlink()
    with pytest.raises(ModelError, match=r"w\.bin\.1 is missing \(1 of 3\)"):
        join_parts(tmp_path / "parts", tmp_path / "out")
    with pytest.raises(ModelError, match="no parts"):
        join_parts(tmp_path, tmp_path / "out")


def test_a_slow_compiler_is_given_up() -> None:
    network = SimpleNamespace(compile=lambda: None, _compiled_call_impl="compiled")
    assert compile_within(network, lambda: time.sleep(5), 0.05) == "not used: not ready in 0 s"
    assert network._compiled_call_impl is None
    assert compile_within(network, lambda: 1 / 0, 5) == "not used: ZeroDivisionError: division by zero"
    assert compile_within(network, lambda: None, 5).startswith("used, ready in 0.")


@pytest.fixture(scope="module")
def config(repo: Path):
    """The shipped config, small: 64x48, two levels, no photos."""
    changes = {
        "photos": [],
        "streets": STREETS.model_dump(),
        "aligned": SMALL.model_dump() | {"batch": 2, "steps": 4},
        "denoiser": {"channels": [8, 16], "text_width": 16, "text_layers": 1},
        "init_from": None,
        "seconds": 60,
    }

    def read(**more):
        return read_aligned_config(repo / "configs" / "aligned_street_mini.yaml", changes | more)

    return read


def test_a_config_of_one_folder_of_photos_or_of_none_is_still_read(config, tmp_path: Path) -> None:
    folder = {"root": str(tmp_path), "domain": "day"}
    assert config(photos=None).photos == ()
    assert config(photos=folder).photos == config(photos=[folder]).photos


def test_shapes_are_the_configs(config, tmp_path: Path, rendered: Path) -> None:
    """Factor 8, 16 channels and attention at two levels: trained, written in parts, joined, packaged, opened."""
    auto = {"channels": 8, "blocks": [1, 1, 1, 1], "steps": 2, "batch": 2, "crop": 32}
    made = config(
        autoencoder=auto, latent_channels=16, autoencoder_streets=1, attention_levels=2, autoencoder_seconds=30
    )
    (tmp_path / "streets").symlink_to(rendered)
    AlignedRecipe(made, tmp_path, parts=tmp_path / "parts").run(["false"])
    weights = join_parts(tmp_path / "parts", tmp_path / "joined")
    assert package_weights(weights, tmp_path / "model") == 4
    card = (tmp_path / "model/README.md").read_text()
    assert all(
        told in card for told in ("## What it cannot do", "aligned seeds", "native size 64x48", "license: apache-2.0")
    )
    model = load_model(tmp_path / "model", self_test=False)
    assert (model.native_size, model.latent_channels, model.latent_factor, model.stride) == ((64, 48), 16, 8, 16)
    assert torch.isfinite(model.decode(model.encode(torch.zeros(1, 3, 48, 64)))).all()
    unet = json.loads((tmp_path / "model" / "unet" / "config.json").read_text())
    assert unet["down_block_types"] == ["CrossAttnDownBlock2D"] * 2


def test_a_flow_is_trained_packaged_and_opened(config, tmp_path: Path, rendered: Path) -> None:
    flow = {"heads": 2, "head_width": 16, "layers": 1, "text_width": 8}
    recipe = AlignedRecipe(config(flow=flow), tmp_path)
    (tmp_path / "streets").symlink_to(rendered)
    weights = recipe.run(["false"])
    assert lean_weights(weights, tmp_path / "small.safetensors") == 4  # the autoencoder is street-mini's
    whole, lean = (load_checkpoint(file)[0] for file in (weights, tmp_path / "small.safetensors"))
    kept = {name for name in whole if not name.startswith("vae.")}
    assert lean.keys() == kept < whole.keys()
    assert {name.partition(".")[0] for name in kept} == {"transformer", "text_encoder", "text_encoder_2"}
    assert package_weights(tmp_path / "small.safetensors", tmp_path / "model") == 4
    model, (_, ours, _) = load_model(tmp_path / "model", self_test=False), recipe.start(recipe.autoencoder())
    assert (model.native_size, model.latent_channels, model.stride) == ((56, 56), 4, 8)
    assert (model.prediction_type, model.schedule.name) == ("velocity", "rectified flow, shift 1")
    pixels = torch.zeros(1, 3, 48, 64)
    torch.testing.assert_close(model.encode(pixels), ours.encode(pixels), atol=1e-5, rtol=1e-4)


def test_a_flow_learns_the_velocity_from_image_to_noise() -> None:
    """Of black latents x = s n: a network that answers x / s is right at every time."""

    class Exact(nn.Module):
        def forward(self, x: torch.Tensor, *, timestep: torch.Tensor, **_prompt: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=x * 1000 / timestep.view(-1, 1, 1, 1))

    class Clip(nn.Module):
        def forward(self, tokens: torch.Tensor, *, output_hidden_states: bool) -> SimpleNamespace:
            states = torch.zeros(*tokens.shape, 4)
            return SimpleNamespace(hidden_states=[states, states], text_embeds=states[:, 0])

    noise, tokens = torch.randn(8, 4, 6, 8), torch.zeros(8, 3, dtype=torch.long)
    parts = nn.ModuleDict({"transformer": Exact(), "text_encoder": Clip(), "text_encoder_2": Clip()})
    assert sd3_velocity(8)(parts, torch.zeros_like(noise), noise, tokens).max() < 1e-10
    off = sd3_velocity(8)(parts, torch.ones_like(noise), noise, tokens)  # x / s = n - x0 + x0 / s there
    assert off.mean() > 1


def test_weights_without_the_autoencoder_that_was_trained_are_refused(config, tmp_path: Path) -> None:
    auto = {"channels": 8, "blocks": [1, 1], "steps": 1, "batch": 1, "crop": 32}
    state = {"config": config(autoencoder=auto).model_dump_json(), "step": 1}
    save_checkpoint(tmp_path / "w.safetensors", {"unet.a": torch.zeros(1)}, state)
    with pytest.raises(ModelError, match="no autoencoder in it"):
        package_weights(tmp_path / "w.safetensors", tmp_path / "model")
    with pytest.raises(ModelError, match="its autoencoder was trained with it"):
        lean_weights(tmp_path / "w.safetensors", tmp_path / "lean.safetensors")


def test_a_training_that_is_killed_early_leaves_its_autoencoder(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(aligned_recipe, "train_aligned", killed)
    recipe = AlignedRecipe(config(), tmp_path, parts=tmp_path / "parts")
    vae = recipe.autoencoder()
    with pytest.raises(KeyboardInterrupt):
        recipe.train(vae)
    tensors, state = load_checkpoint(join_parts(tmp_path / "parts", tmp_path / "joined"))
    assert state["step"] == 0
    assert torch.equal(tensors["vae.encoder.layers.0.weight"], vae.state_dict()["encoder.layers.0.weight"].half())


def test_a_training_begins_from_the_shipped_weights(config, repo: Path, tmp_path: Path) -> None:
    made = config(init_from="street-mini", denoiser={"channels": [64, 128, 192]})
    recipe = AlignedRecipe(made, tmp_path)
    _, model, _ = recipe.start(recipe.autoencoder())
    shipped = load_model("street-mini")
    torch.testing.assert_close(*(m.embed(["a street at night"]).tokens for m in (model, shipped)))
    latents = torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(0))
    context = shipped.embed(["a street at night"])
    with torch.no_grad():
        torch.testing.assert_close(model.denoiser(latents, 500, context), shipped.denoiser(latents, 500, context))
    narrow = AlignedRecipe(config(init_from="street-mini"), tmp_path)
    vae = narrow.autoencoder()
    with pytest.raises(ModelError, match="unet has another shape than the config"):
        narrow.start(vae)


def test_a_wrong_config_names_the_key(config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"streets\.colour: unknown key"):
        config(**{"streets.colour": 3})
    with pytest.raises(ConfigError, match="cannot be read"):
        read_aligned_config(tmp_path / "none.yaml")


def test_renderers_are_processes_of_the_script(repo: Path) -> None:
    command = renderer_command(Path("c.yaml"), "--set", "a=1")
    assert Path(command[1]) == repo / "pipelines" / "train_aligned.py"
    assert command[2:] == ["c.yaml", "--set", "a=1", "--render"]


def test_cells_of_lights_are_those_of_dark_conditions() -> None:
    street = torch.zeros(len(CONDITIONS), 3, 32, 48, dtype=torch.uint8)
    street[:, :, 17, 21] = 255  # one bright pixel under every condition
    cells = cells_of_lights(street, 4)
    assert cells.shape == (len(CONDITIONS), 8, 12)
    for condition, found in zip(CONDITIONS, cells, strict=True):
        if condition in ("dusk", "night", "night_rain"):
            assert set(map(tuple, found.nonzero().tolist())) == {(y, x) for y in (3, 4, 5) for x in (4, 5, 6)}
        else:
            assert not found.any()


def test_lights_weigh_more_and_the_reported_loss_stays_plain(bank: StreetBank, prompts: PromptBank) -> None:
    losses, weights = [], []
    for light_weight in (0.0, 50.0):
        training = new_training()
        settings = SMALL.model_copy(update={"light_weight": light_weight, "aligned_share": 1.0})
        torch.manual_seed(0)
        batch = draw_batch(bank, [], prompts, settings, np.random.default_rng(0))
        batch.lights[:] = False
        batch.lights[:, 2, 3] = True
        losses.append(train_step(training, batch, OBJECTIVE, settings, 1e-3))
        weights.append(training.networks["unet"].conv.weight.detach().clone())
    assert torch.equal(losses[0], losses[1]) and not torch.equal(weights[0], weights[1])


def test_aligned_samples_lose_their_prompt_as_often_as_asked(bank: StreetBank, prompts: PromptBank) -> None:
    settings = SMALL.model_copy(update={"batch": 400, "aligned_share": 1.0, "aligned_prompt_dropout": 0.25})
    prompts = PromptBank.write(tokenize, 8, np.random.default_rng(0))
    batch = draw_batch(bank, [], prompts, settings, np.random.default_rng(0))
    empty = (batch.tokens == prompts.tokens[0]).all(1).float().mean()
    assert 0.18 < float(empty) < 0.32
