"""DDIB, SDEdit and LEDITS++ as methods: without an edit the source comes back, and no row knows of its neighbours."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from s2st_aug.config.load import parse_config
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.engine.context import identify
from s2st_aug.errors import Diverged
from s2st_aug.images import resize
from s2st_aug.methods import find_method
from s2st_aug.methods.editing import EditingTranslator
from s2st_aug.records.profile import DomainProfile
from s2st_aug.testing.models import tiny_latent_model

MODEL = tiny_latent_model()
FLAT = np.zeros((4, 4, 32), np.float32)
ONES = {"day": np.ones((4, 4), np.float32)}
NIGHT = DomainProfile("night", "a night photo", "a day photo", MODEL.sha256, FLAT, FLAT, ONES, ONES, (), (), None, "")
NAMES = ("ddib", "sdedit", "ledits")


def photo(number: int = 0, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    coarse = np.random.default_rng(number).integers(20, 235, (6, 8, 3)).astype(np.float32)
    return np.clip(resize(coarse, size), 0, 255).astype(np.uint8)


def made(name: str, photos, keys=None, model=MODEL, **settings):
    method = find_method(name)
    translator = EditingTranslator(method, model, {"night": NIGHT}, method.settings(**settings))
    return [result["night"] for result in translator.translate(photos, ["night"], keys=keys)]


def decoded(image: np.ndarray) -> np.ndarray:
    size = image.shape[1::-1]
    with torch.no_grad():
        pixels = (MODEL.decode(MODEL.encode_photos([image], MODEL.working_size(*size)))[0] + 1) * 127.5
    return np.clip(resize(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy(), np.float32), size), 0, 255)


@pytest.mark.parametrize(("name", "settings"), [("ledits", {"guidance": 0.0}), ("sdedit", {"strength": 0.02})])
def test_without_an_edit_the_source_comes_back(name, settings):
    (found,) = made(name, [photo()], **settings)
    assert np.abs(found.image - decoded(photo())).mean() < (1.0 if name == "ledits" else 6.0)


def test_guidance_edits_more_and_a_narrow_mask_less():
    still = decoded(photo())
    moved = [np.abs(made("ledits", [photo()], guidance=g)[0].image - still).mean() for g in (2.0, 8.0)]
    masked = np.abs(made("ledits", [photo()], guidance=8.0, threshold=0.9)[0].image - still).mean()
    assert 0 < moved[0] < moved[1] and masked < 0.6 * moved[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_same_whoever_shares_its_batch(name):
    photos = [photo(0), photo(1), photo(2, (80, 64))]
    together = made(name, photos, [5, 6, 7])
    for i, one in enumerate(together):
        alone = made(name, [photos[i]], [5 + i])[0]
        assert one.image.shape == photos[i].shape
        assert np.abs(one.image.astype(int) - alone.image).max() <= 1
        assert one.forward_evals == alone.forward_evals == find_method(name).evaluations(find_method(name).settings())


@pytest.mark.parametrize("name", ["sdedit", "ledits"])
def test_noise_belongs_to_the_samples_key(name):
    images = [made(name, [photo()], [key])[0].image for key in (1, 1, 2)]
    assert (images[0] == images[1]).all() and (images[0] != images[2]).any()


def test_what_is_not_finite_fails_alone():
    broken = dataclasses.replace(
        MODEL, decode=lambda z: MODEL.decode(z) * torch.tensor([1.0, torch.nan])[:, None, None, None]
    )
    good, bad = made("ddib", [photo(0), photo(1)], model=broken)
    assert isinstance(bad, Diverged) and good.image.shape == photo().shape


@pytest.mark.parametrize("name", NAMES)
def test_an_editing_method_is_identified_by_model_profiles_and_settings(name):
    def identity(**settings):
        raw = {"dataset": {"format": "bdd100k", "root": "/data"}, "domains": ["night", "rain"]}
        return identify(parse_config({**raw, "method": {"name": name, **settings}}))

    found = identity()
    assert (found.name, set(found.profiles), len(found.model_sha256)) == (name, {"night", "rain"}, 64)
    assert found != identity(guidance=1.5) and found.evals_per_scene[0] > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_on_street_mini(name):
    from s2st_aug.api import load_method

    assert EMBEDDED["street-mini"].is_dir()
    loaded = load_method(["night"], method=name, settings={"steps": 6})
    (result,) = loaded.translator.translate([photo(3, (256, 160))], ["night"])
    assert result["night"].image.shape == (160, 256, 3)
