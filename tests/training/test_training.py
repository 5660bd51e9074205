"""The training recipe in miniature: data, prompts, vocabulary, resuming, the finished folder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2st_aug.diffusion.networks import build_autoencoder, build_tokenizer
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ConfigError, DatasetError, UsageError
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.training import autoencoder as ae
from s2st_aug.training.aligned_recipe import AlignedConfig, AlignedRecipe
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint
from s2st_aug.training.data import Source, TrainingSample, balanced_indices, list_samples, load_images, to_pixels
from s2st_aug.training.denoiser import DenoiserSettings
from s2st_aug.training.objectives import stratified_steps
from s2st_aug.training.prompts import canonical_prompt, vocabulary_corpus, write_prompt
from s2st_aug.training.recipe import Recipe, TrainingConfig, read_training_config
from s2st_aug.training.tokenizer import learn_vocabulary


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six pictures each of two domains, bright and dark, of several sizes."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for domain, level in (("day", 170), ("night", 30)):
        (root / domain).mkdir()
        for i in range(6):
            base = np.full((60 + 8 * i, 100, 3), level, np.uint8)
            base[30:, 20 * (i % 4) : 20 * (i % 4) + 25] = rng.integers(0, 255, 3)
            cv2.imwrite(str(root / domain / f"{i:04d}.png"), base)
    return root


def test_sources_select_by_path(photos, tmp_path):
    few = Source(root=photos, match=r"/000[0-2]", exclude="night/0001")
    assert [s.path.relative_to(photos).as_posix() for s in list_samples([few], ["day", "night"])] == [
        "day/0000.png", "day/0001.png", "day/0002.png", "night/0000.png", "night/0002.png",
    ]  # fmt: skip
    flat = Source(root=photos / "day", domain="fog", medium="scene")
    assert {(s.domain, s.medium) for s in list_samples([flat], CONDITIONS)} == {("fog", "scene")}
    with pytest.raises(DatasetError, match="no such folder"):
        list_samples([Source(root=tmp_path / "nowhere")], CONDITIONS)
    with pytest.raises(DatasetError, match="no training image of rain"):
        list_samples([Source(root=photos)], ["rain"])


def test_every_image_gets_the_same_size(photos):
    samples = list_samples([Source(root=photos)], ["day", "night"])
    images = load_images(samples, (64, 48), quality=92, rng=np.random.default_rng(0))
    assert images.shape == (12, 3, 48, 64)
    assert images[:6].float().mean() > 100 > images[6:].float().mean()


def test_batches_are_even_over_domains_and_media():
    samples = (
        [TrainingSample(None, "day", "photo")] * 90
        + [TrainingSample(None, "day", "scene")] * 9
        + [TrainingSample(None, "rain", "scene")]
    )
    rng = np.random.default_rng(0)
    drawn = [samples[i] for _ in range(50) for i in balanced_indices(samples, 8, rng, photo_share=0.75)]
    assert sum(s.domain == "rain" for s in drawn) == 200
    assert sum(s.domain == "day" and s.medium == "photo" for s in drawn) == pytest.approx(150, abs=25)


@pytest.mark.parametrize("domain", CONDITIONS)
def test_prompts_vary_and_say_the_condition(domain):
    rng = np.random.default_rng(0)
    prompts = {write_prompt(domain, medium, rng) for medium in ("photo", "scene") for _ in range(100)}
    assert len(prompts) > 60
    assert not any("  " in prompt or prompt != prompt.strip() for prompt in prompts)
    others = {canonical_prompt(other) for other in CONDITIONS if other != domain}
    assert not prompts & others


def test_own_domains_are_spoken_of_by_name():
    assert "snow storm" in write_prompt("snow_storm", "photo", np.random.default_rng(0))
    with pytest.raises(ConfigError, match="did you mean 'night'"):
        canonical_prompt("nigth")


VOCABULARY, MERGES = learn_vocabulary(vocabulary_corpus())
TOKENIZER = build_tokenizer(VOCABULARY, MERGES, max_length=24)


@given(st.text(max_size=40))
def test_any_text_can_be_written_in_the_vocabulary(text):
    ids = TOKENIZER(text, padding="max_length", max_length=24, truncation=True).input_ids
    assert len(ids) == 24
    assert max(ids) < len(VOCABULARY)


def test_words_of_prompts_are_single_tokens():
    for phrase in ("a street at night", "in heavy rain", "at dusk", "in thick fog"):
        assert len(TOKENIZER(phrase).input_ids) == len(phrase.split()) + 2
    assert TOKENIZER("a zebra").input_ids[-2] != VOCABULARY["<|endoftext|>"]


def test_checkpoints_come_back_and_are_never_half_written(tmp_path):
    path = tmp_path / "deep" / "c.safetensors"
    save_checkpoint(path, {"a": torch.arange(3)}, {"step": 7, "curve": [[1, 0.5]]})
    tensors, state = load_checkpoint(path)
    assert (tensors["a"].tolist(), state) == ([0, 1, 2], {"step": 7, "curve": [[1, 0.5]]})
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]


def test_steps_cover_every_stratum():
    steps = stratified_steps(8, 1000)
    strata = ((steps / 1000) ** (1 / 0.9) * 8).long().clamp_max(7)
    assert sorted(strata.tolist()) == list(range(8))
    assert stratified_steps(1000, 1000).float().mean() > 515


def test_folding_normalises_the_latents_and_keeps_the_picture():
    torch.manual_seed(0)
    network = build_autoencoder(channels=8, blocks=(1, 1))
    with torch.no_grad():
        network.encoder.layers[-1].weight.mul_(0.2)
        network.encoder.layers[-1].bias.copy_(torch.tensor([0.05, -0.05, 0.02, 0.0]))
    pixels = torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        raw = network.encoder(pixels)
        before = network.decoder.layers[0](raw)[..., 1:-1, 1:-1]
        ae.fold_normalisation(network, [pixels])
        latents = network.encoder(pixels)
        after = network.decoder.layers[0](latents)[..., 1:-1, 1:-1]
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_the_loss_sees_blur_colour_and_shift():
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ae.reconstruction_loss(target, target) == 0
    grey = target.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert ae.reconstruction_loss(grey, target) > (grey - target).abs().mean()
    assert ae.reconstruction_loss(target.roll(1, -1), target) > ae.reconstruction_loss(target + 0.1, target)


def tiny_config(photos, out, **denoiser: object) -> TrainingConfig:
    return TrainingConfig(
        name="tiny",
        out=out,
        data=(Source(root=photos),),
        domains=("day", "night"),
        sizes=((32, 16), (16, 32)),
        autoencoder=ae.AutoencoderSettings(channels=8, blocks=(1, 1), steps=4, decoder_steps=2, batch=2, crop=16),
        denoiser=DenoiserSettings(
            channels=(8, 16), text_width=16, text_layers=1, vocabulary=600, batch=2, **{"steps": 4} | denoiser
        ),
        device="cpu",
    )


@pytest.mark.parametrize(
    ("device", "says"), [("gpu", "device 'gpu': expected auto, cpu"), ("cuda:99", "device cuda:99: this machine has")]
)
def test_a_device_that_is_not_there_is_one_line_before_anything_is_read(tmp_path, device, says):
    """No photos, no street and no checkpoint are there."""
    small = tiny_config(tmp_path / "photos", tmp_path / "out").model_copy(update={"device": device})
    with pytest.raises(UsageError, match=says):
        Recipe(small, tmp_path / "checkpoints").run()
    with pytest.raises(UsageError, match=says):
        AlignedRecipe(AlignedConfig(name="tiny", device=device), tmp_path / "aligned")
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    base = tmp_path_factory.mktemp("trained")
    Recipe(tiny_config(photos, base / "model"), base / "checkpoints").run()
    return base


def test_the_recipe_writes_a_model_that_loads(trained):
    model = load_model(trained / "model", self_test=False)
    assert (model.native_size, model.stride) == ((32, 16), 4)
    assert model.embed(["a street at night"]).tokens.shape == (1, 18, 16)
    assert torch.isfinite(model.decode(model.encode(torch.zeros(1, 3, 16, 32)))).all()


def test_training_resumes_where_it_stopped(photos, trained):
    recipe = Recipe(tiny_config(photos, trained / "longer", steps=6), trained / "checkpoints")
    recipe.run(("denoiser", "package"))
    assert load_checkpoint(trained / "checkpoints" / "denoiser.safetensors")[1]["step"] == 6
    assert (trained / "longer" / "model_index.json").is_file()


def test_init_from_keeps_latents_and_vocabulary(photos, trained):
    config = tiny_config(photos, trained / "second", steps=1).model_copy(update={"init_from": trained / "model"})
    Recipe(config, trained / "checkpoints2").run()
    first, second = load_model(trained / "model", self_test=False), load_model(trained / "second", self_test=False)
    pixels = to_pixels(
        torch.randint(0, 255, (1, 3, 16, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    )
    torch.testing.assert_close(second.encode(pixels), first.encode(pixels))
    assert first.sha256 != second.sha256


def test_another_width_trains_on_the_same_autoencoder_and_vocabulary(photos, trained):
    config = tiny_config(photos, trained / "wide", steps=1)
    wider = config.denoiser.model_copy(update={"channels": (16, 16)})
    config = config.model_copy(update={"autoencoder_from": trained / "model", "denoiser": wider})
    Recipe(config, trained / "checkpoints3").run(("denoiser", "package"))
    first, wide = load_model(trained / "model", self_test=False), load_model(trained / "wide", self_test=False)
    pixels = to_pixels(
        torch.randint(0, 255, (1, 3, 16, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    )
    torch.testing.assert_close(wide.encode(pixels), first.encode(pixels))
    assert (trained / "wide" / "tokenizer" / "vocab.json").read_bytes() == (
        trained / "model" / "tokenizer" / "vocab.json"
    ).read_bytes()
    assert not (trained / "checkpoints3" / "autoencoder.safetensors").exists()


def test_shipped_configs_load(repo, named_photos):
    for path in sorted((repo / "configs").glob("train_*.yaml")):
        assert read_training_config(path).name in ("street-mini", "street-photo", "short", "half")


def test_a_wrong_config_lists_every_problem(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\nout: y\ndata: []\ndomain: [day]\nthreads: many\n")
    with pytest.raises(ConfigError, match=r"threads: .*domain: unknown key; did you mean 'domains'"):
        read_training_config(path)
