"""The whole method on the tiny public model: sizes, batches, labels, what diverges."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from s2st_aug.diffusion.denoiser import Context, CountedDenoiser
from s2st_aug.errors import Diverged, ProfileError
from s2st_aug.images import resize
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation import translator as translator_module
from s2st_aug.translation.cost import cost_line, estimate
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.translator import Translator

MODEL = tiny_latent_model()
FAST = MethodSettings(steps=4, st_iterations=3, to_iterations=3, to_from=0.0, guidance_until=1.0)


def photo(width: int, height: int, key: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(key).integers(20, 235, (6, 8, 3)).astype(np.float32)
    return np.clip(resize(coarse, (width, height)), 0, 255).astype(np.uint8)


def profile(name: str, level: float, model=MODEL) -> DomainProfile:
    quantiles = np.tile(np.linspace(level - 1, level + 1, 32, dtype=np.float32), (4, 4, 1))
    eta = {"day": np.ones((4, 4), np.float32)}
    return DomainProfile(
        name, f"a {name} photo", "a day photo", model.sha256, quantiles, 0.07 * quantiles, eta, eta, (), (), None, ""
    )


PROFILES = {"night": profile("night", -1.2), "fog": profile("fog", 0.6)}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("size", [(161, 95), (64, 64), (95, 161), (40, 400), (1, 1), (1000, 37)])
def test_any_size_comes_back_exactly(size):
    done = Translator(MODEL, PROFILES, FAST).translate([photo(*size)], ["night"])[0]["night"]
    assert done.image.shape == done.raw.shape == (size[1], size[0], 3)
    assert done.image.dtype == np.uint8


def test_four_thousand_pixels_come_back_exactly():
    done = Translator(MODEL, PROFILES, FAST).translate([photo(4096, 2161)], ["night"])[0]["night"]
    assert done.image.shape == (2161, 4096, 3)


def test_night_is_darker_and_fog_is_brighter():
    image = photo(160, 96)
    settings = FAST.model_copy(update={"steps": 8, "st_iterations": 10, "to_iterations": 10})
    done = Translator(MODEL, PROFILES, settings).translate([image], ["night", "fog"])[0]
    assert done["night"].image.mean() < image.mean() - 20
    assert done["fog"].image.mean() > done["night"].image.mean() + 40


def test_lights_change_the_night_and_not_the_fog():
    image, bright = photo(160, 96), FAST.model_copy(update={"lights": 1.0})
    plain, lit = (Translator(MODEL, PROFILES, s).translate([image], ["night", "fog"])[0] for s in (FAST, bright))
    assert (lit["night"].image != plain["night"].image).any()
    np.testing.assert_array_equal(lit["night"].raw, plain["night"].raw)
    np.testing.assert_array_equal(lit["fog"].image, plain["fog"].image)


@pytest.mark.parametrize("method", ["latents", "null_text", "direct", "none"])
def test_a_sample_is_the_same_alone_and_in_a_mixed_batch(method):
    settings = FAST.model_copy(update={"to_method": method, "to_tolerance": 0.05})
    photos = [photo(160, 96, 1), photo(96, 160, 2), photo(161, 95, 3), photo(160, 96, 4)]
    labels = [[SceneObject("0", "box", "car", (10, 10, 60, 60))], [], [], []]
    translator = Translator(MODEL, PROFILES, settings)
    together = translator.translate(photos, ["night", "fog"], labels)
    for i, image in enumerate(photos):
        alone = translator.translate([image], ["fog"], [labels[i]])[0]["fog"]
        assert psnr(alone.image, together[i]["fog"].image) >= 50
        assert alone.to_iterations == together[i]["fog"].to_iterations


def test_the_same_bytes_for_the_same_key_and_variety_from_another():
    settings = FAST.model_copy(update={"seed_noise": 0.5})
    translator, image = Translator(MODEL, PROFILES, settings), photo(160, 96)
    one, again, other = (translator.translate([image], ["night"], keys=[key])[0]["night"].image for key in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_what_is_used_is_what_the_estimate_says():
    translator = Translator(MODEL, PROFILES, FAST)
    done = translator.translate([photo(160, 96)], ["night", "fog"])[0]["fog"]
    assert done.forward_evals == estimate(FAST, domains=2).forward == 4 / 2 + 2 * 4
    assert (done.st_iterations, done.to_iterations, done.backward_evals) == (3, 12, 0)
    assert "2 variants at 10 forward evaluations" in cost_line(translator, images=1, domains=2)


def test_label_maps_are_drawn_once_for_all_domains_of_a_photo(monkeypatch):
    drawn = []
    plain = translator_module.label_maps
    monkeypatch.setattr(translator_module, "label_maps", lambda *a, **k: drawn.append(a[2]) or plain(*a, **k))
    Translator(MODEL, PROFILES, FAST).translate(
        [photo(160, 96)], ["night", "fog"], [[SceneObject("0", "box", "car", (10, 10, 60, 60))]]
    )
    assert len(drawn) == len(set(drawn)) == 2, "one for the latents, one for the detail step"


def test_labels_matter_only_where_they_are_on():
    image, labels = photo(160, 96), [[SceneObject("0", "box", "person", (40, 20, 90, 80))]]
    on, off = (
        Translator(MODEL, PROFILES, FAST),
        Translator(MODEL, PROFILES, FAST.model_copy(update={"label_aware": False})),
    )
    plain = on.translate([image], ["night"])[0]["night"].image
    assert (on.translate([image], ["night"], labels)[0]["night"].image != plain).any()
    assert (off.translate([image], ["night"], labels)[0]["night"].image == plain).all()


def counted(model=MODEL):
    network = CountedDenoiser(model.denoiser)
    return network, dataclasses.replace(model, denoiser=network)


@pytest.mark.parametrize("tolerance", [0.0, 2.5, 50.0])
def test_what_seed_translation_on_x0_books_is_what_the_network_saw(tolerance):
    settings = FAST.model_copy(update={"st_space": "x0", "st_iterations": 5, "st_tolerance": tolerance})
    network, model = counted()
    done = Translator(model, PROFILES, settings).translate([photo(160, 96), photo(160, 96, 1)], ["night", "fog"])
    rows = [row for photo_rows in done for row in photo_rows.values()]
    assert sum(row.forward_evals for row in rows) == network.evaluations
    assert {row.st_iterations for row in rows} == {0.0: {5}, 2.5: {5, 1}, 50.0: {1}}[tolerance]


def test_what_a_second_attempt_books_is_what_the_network_saw():
    network, model = counted(nan_model(in_half_only=True))
    settings = FAST.model_copy(update={"dtype": "bfloat16"})
    done = Translator(model, PROFILES, settings).translate([photo(160, 96), photo(160, 96, 1)], ["night", "fog"])
    booked = [sum(row.forward_evals for row in rows.values()) for rows in done]
    assert sum(booked) == network.evaluations
    assert booked[0] == 2 * booked[1]


def test_latents_that_explode_are_a_diverged_sample_that_says_so():
    loud = dataclasses.replace(MODEL, denoiser=lambda z, t, c: 40 * MODEL.denoiser(z, t, c))
    done = Translator(loud, PROFILES, FAST).translate([photo(160, 96)], ["night"])[0]["night"]
    assert isinstance(done, Diverged)
    assert "exploded (a latent of" in str(done)


def test_much_guidance_is_no_explosion():
    settings = FAST.model_copy(update={"guidance": 20.0, "to_method": "none"})
    assert not isinstance(
        Translator(MODEL, PROFILES, settings).translate([photo(160, 96)], ["night"])[0]["night"], Diverged
    )


def nan_model(*, in_half_only: bool):
    def denoise(z: torch.Tensor, t: int, context: Context) -> torch.Tensor:
        eps = MODEL.denoiser(z, t, context)
        broken = torch.is_autocast_enabled("cpu") if in_half_only else True
        first = (torch.arange(len(z)) == 0)[:, None, None, None]
        return torch.where(first & broken, torch.full_like(eps, float("nan")), eps)

    return dataclasses.replace(MODEL, denoiser=denoise)


def test_nan_in_half_precision_is_tried_again_in_float32(caplog):
    settings = FAST.model_copy(update={"dtype": "bfloat16"})
    done = Translator(nan_model(in_half_only=True), PROFILES, settings).translate(
        [photo(160, 96), photo(160, 96, 1)], ["night"]
    )
    clean = Translator(MODEL, PROFILES, FAST).translate([photo(160, 96)], ["night"])[0]["night"]
    assert psnr(done[0]["night"].image, clean.image) > 50
    assert done[0]["night"].forward_evals > done[1]["night"].forward_evals
    assert "again in float32" in caplog.text


def half_autoencoder_model(*, breaks: str, value: float):
    """A model whose autoencoder breaks in half precision: on the way in, or on the way out of the second row alone."""
    whole = [False]

    @contextmanager
    def full():
        whole[0] = True
        yield
        whole[0] = False

    def spoilt(tensor, row):
        return tensor if whole[0] else tensor.index_fill(0, torch.tensor([row]), value)

    changes = {
        "encode": lambda pixels: spoilt(MODEL.encode(pixels), 1),
        "decode": lambda latents: spoilt(MODEL.decode(latents), 1),
    }
    return dataclasses.replace(MODEL, full_weights=full, **{breaks: changes[breaks]})


@pytest.mark.parametrize(("breaks", "value"), [("encode", np.nan), ("decode", np.nan), ("decode", np.inf)])
def test_an_autoencoder_that_overflows_at_one_photo_is_asked_again_in_float32(breaks, value, caplog):
    """Out of decode comes the source's reconstruction too: as NaN it spoilt a variant that counted as sound."""
    settings = FAST.model_copy(update={"autoencoder_dtype": "float16"})
    photos, names = [photo(160, 96), photo(160, 96, 1)], ["night", "fog"]
    done = Translator(half_autoencoder_model(breaks=breaks, value=value), PROFILES, settings).translate(photos, names)
    clean = Translator(MODEL, PROFILES, FAST).translate(photos, names)
    assert all(psnr(d[n].image, c[n].image) > 50 for d, c in zip(done, clean, strict=True) for n in names)
    assert [d["night"].forward_evals > c["night"].forward_evals for d, c in zip(done, clean, strict=True)] == [
        False,
        True,
    ]
    assert "2 of 4 variants were not finite or too large in float16" in caplog.text


def test_nan_in_float32_is_a_diverged_sample_and_no_image():
    settings = FAST.model_copy(update={"guidance": 1.0})
    done = Translator(nan_model(in_half_only=False), PROFILES, settings).translate(
        [photo(160, 96), photo(160, 96, 1)], ["night"]
    )
    assert isinstance(done[0]["night"], Diverged)
    assert done[1]["night"].image.shape == (96, 160, 3)


@pytest.mark.parametrize("changes", [{}, {"st_space": "x0"}, {"to_method": "null_text"}])
def test_losses_that_weigh_nothing_pull_nowhere(changes):
    weights = dict.fromkeys(("st_structure", "st_appearance", "to_structure", "to_appearance"), 0.0)
    network, model = counted()
    settings = FAST.model_copy(update=weights | changes)
    done = Translator(model, PROFILES, settings).translate([photo(160, 96)], ["night"])[0]["night"]
    none = FAST.model_copy(update={"st_iterations": 0, "to_method": "none"})
    assert (
        done.image == Translator(MODEL, PROFILES, none).translate([photo(160, 96)], ["night"])[0]["night"].image
    ).all()
    assert done.forward_evals == network.evaluations


def test_another_models_profile_and_an_unknown_domain_are_refused():
    with pytest.raises(ProfileError, match="another model"):
        Translator(tiny_latent_model(rng_key=1), PROFILES, FAST)
    with pytest.raises(ProfileError, match="did you mean 'night'"):
        Translator(MODEL, PROFILES, FAST).translate([photo(64, 64)], ["nigth"])


def test_looking_at_x0_in_seed_translation_costs_a_forward_and_a_backward_each():
    settings = FAST.model_copy(update={"st_space": "x0"})
    done = Translator(MODEL, PROFILES, settings).translate([photo(160, 96)], ["night"])[0]["night"]
    assert done.backward_evals == 3
    assert done.forward_evals == 4 + 8 + 3
