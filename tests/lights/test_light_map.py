"""The map of a photo, and the file of its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from s2st_aug.errors import ModelError
from s2st_aug.lights.emission import NIGHTS, add_lights
from s2st_aug.lights.layer import LightLayer
from s2st_aug.lights.light_map import HIGHEST, WIDTH, light_map
from s2st_aug.lights.network import KINDS, LightNetwork
from s2st_aug.lights.radiance import decoded, encoded, linear, shown
from s2st_aug.lights.weights import light_map_sha256, load_light_network, write_light_map
from s2st_aug.procedural.mesh import Glow
from s2st_aug.records.scene import SceneObject
from s2st_aug.training.light_streets import light_street

CAR = SceneObject("1", "box", "car", (20.0, 20.0, 60.0, 50.0))


@pytest.fixture(scope="module")
def network() -> LightNetwork:
    torch.manual_seed(0)
    return LightNetwork().eval()


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(180, 320), (97, 1301)])
def test_a_map_covers_the_photo_at_640_pixels_across(network, height, width):
    found = light_map(network, photo(height, width))
    rows = round(WIDTH * height / width)
    assert found.masks.shape == (len(KINDS), rows, WIDTH)
    assert found.radiance.shape == (rows, WIDTH, 3)
    assert found.dry.shape == found.wet.shape == (-(-rows // 4), WIDTH // 4, 3)
    assert found.masks.min() >= 0 and found.masks.max() <= 1 and found.dry.min() >= 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (400, 40), (37, 1000)])
def test_any_shape_of_photo_has_a_map_of_bearable_size(network, height, width):
    found = light_map(network, photo(height, width))
    assert found.masks.shape[1] <= HIGHEST and found.masks.shape[2] <= WIDTH
    variant = photo(height, width)
    assert add_lights(variant, variant, found, NIGHTS["night_rain"]).shape == variant.shape


def test_the_network_is_not_told_of_labels(network):
    day = photo(90, 160)
    np.testing.assert_array_equal(light_map(network, day, [CAR]).masks, light_map(network, day).masks)


def test_no_map_is_predicted_where_no_domain_is_dark(network):
    lit = LightLayer(network, 1.0).over(photo(90, 160), ["rain", "fog"])
    assert lit.found is None
    variant = photo(90, 160)
    assert lit.on("rain", variant) is variant


def test_weights_come_back_in_half_precision(network, tmp_path):
    path = tmp_path / "map.safetensors"
    write_light_map(network.state_dict(), path, "nothing")
    back = load_light_network(str(path))
    day = photo(90, 160)
    np.testing.assert_allclose(light_map(back, day).masks, light_map(network, day).masks, atol=0.01)
    assert len(light_map_sha256(str(path))) == 64


@pytest.mark.parametrize("wrong", ["absent", "text", "other", "smaller"])
def test_a_file_that_is_no_light_map_is_refused_in_one_line(network, tmp_path, wrong):
    path = tmp_path / f"{wrong}.safetensors"
    if wrong == "text":
        path.write_text("no weights")
    elif wrong == "other":
        save_file({"a": torch.zeros(1)}, path)
    elif wrong == "smaller":
        write_light_map({k: v[:1] for k, v in network.state_dict().items()}, path, "cut")
    with pytest.raises(ModelError) as error:
        load_light_network(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_linear_light_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    np.testing.assert_allclose(shown(linear(levels)), levels, atol=0.01)
    ratio = np.array([0.0, 0.1, 2.0], np.float32)
    np.testing.assert_allclose(decoded(encoded(ratio)), ratio, atol=1e-5)


def test_labels_lie_where_they_are_in_the_map(network):
    found = light_map(network, photo(90, 160), [CAR])
    assert found.label("vehicle")[81:199, 81:239].min() == 1.0 == found.label("vehicle").max()
    assert found.label("signal").max() == 0


def test_the_shipped_map_finds_lights_of_a_street_it_never_saw():
    street = light_street(820_017, 3)
    found = light_map(load_light_network(), street["day"])
    for kind, glow in (("head", Glow.HEAD), ("pane", None)):
        true = street["panes"] > 0 if glow is None else street["kinds"] == glow
        p = found.mask(kind)
        assert p[true].mean() > max(0.3, 4 * float(p[~true].mean()))
