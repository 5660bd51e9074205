"""A dry run prices the chosen model and method: measured where that is quick, else counted, and it says which."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from s2st_aug.config.load import load_config
from s2st_aug.diffusion import workload
from s2st_aug.diffusion.families import Z_IMAGE
from s2st_aug.diffusion.workload import workload_of
from s2st_aug.engine import price as pricing
from s2st_aug.engine.context import identify
from s2st_aug.engine.dry_run import dry_run
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.price import price
from s2st_aug.images import encode_png
from s2st_aug.methods.s2st import S2ST
from s2st_aug.testing.datasets import make_dataset
from s2st_aug.testing.methods import FAKE

PHOTO = (128, 72)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_dataset(tmp_path / "data", 3)
    for path in root.rglob("*.png"):
        path.write_bytes(encode_png(np.full((PHOTO[1], PHOTO[0], 3), 90, np.uint8)))
    return root


def config_of(root: Path, *changes: str, method: str | None = None):
    path = root.parent / "config.yaml"
    path.write_text(f"dataset: {{format: bdd100k, root: {root}}}\ndomains: [night, rain]\n")
    return load_config(path, list(changes), method=method)


def priced(config):
    return price(config, identify(config), list(selected_scenes(config.dataset)), PHOTO)


def test_work_is_counted_at_the_size_at_which_the_model_itself_would_diffuse():
    from s2st_aug.diffusion.stable_diffusion import load_model

    work, model = workload_of("street-mini", (1280, 720)), load_model("street-mini")
    assert work.size == model.working_size(1280, 720)
    assert 7e9 < work.operations < 9e9
    half = workload_of("street-mini", (720, 1280))
    assert (half.size, half.operations / work.operations) == ((160, 288), pytest.approx(1, abs=0.01))
    files = Path(workload.find_model("street-mini")).rglob("*/*.safetensors")
    count = sum(np.prod(v) for p in files if p.parent.name != "profiles" for v in shapes(p))
    assert work.weights == 4 * count


def shapes(path: Path) -> list[tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return [tuple(file.get_slice(k).get_shape()) for k in file.keys()]  # noqa: SIM118


def test_a_transformer_is_counted_by_its_parameters_and_tokens(tmp_path):
    (tmp_path / "transformer").mkdir()
    save_file(
        {"w": torch.zeros(30, 10), "b": torch.zeros(7)}, tmp_path / "transformer/diffusion_pytorch_model.safetensors"
    )
    work = workload._flow_workload(tmp_path, Z_IMAGE, (1024, 1024), 614)
    assert (work.operations, work.size, work.weights) == (2 * 307 * (64 * 64 + 256), (1024, 1024), 614)
    assert not work.half
    half = {"w": torch.zeros(30, 10, dtype=torch.bfloat16)}
    save_file(half, tmp_path / "transformer/diffusion_pytorch_model.safetensors")
    assert workload._flow_workload(tmp_path, Z_IMAGE, (1024, 1024), 614).half


def test_a_method_on_this_machine_is_measured(root):
    found = priced(config_of(root, method=FAKE))
    assert found.seconds is not None and 0 < found.seconds < 5
    assert "measured here: one scene of 128x72 to 2 domains on cpu with 1 thread" in found.seconds_from
    assert found.memory is not None and found.memory > 2**26


def test_a_method_without_a_model_asks_for_none(root, monkeypatch):
    monkeypatch.setattr(workload, "find_model", lambda _: pytest.fail("a model was asked for"))
    assert "measured here" in priced(config_of(root, method="gamma")).seconds_from


def test_what_would_take_too_long_to_measure_is_counted_and_never_loaded(root, monkeypatch):
    monkeypatch.setitem(pricing.ASSUMED, "cpu", 1e6)
    monkeypatch.setattr(S2ST, "load", lambda *_: pytest.fail("the model was loaded"))
    config = config_of(root)
    work, found = workload_of(config.model, PHOTO), priced(config)
    passes = sum(identify(config).evals_per_scene) / 2
    assert found.seconds == pytest.approx(passes * work.operations / 1e6)
    assert re.match(
        r"estimated for the network alone: \d+ evaluations of 0\.0\d TFLOP at \d+x\d+ \(counted", found.seconds_from
    )
    assert "assumed for 1 CPU threads" in found.seconds_from
    assert (found.memory, found.memory_from) == (work.weights, "weights only, without activations")


def test_a_gpu_that_is_not_here_is_assumed_and_half_precision_counts(root, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    full, half = (
        priced(config_of(root, "cluster.gpus_per_actor=1", f"method.dtype={dtype}"))
        for dtype in ("float32", "bfloat16")
    )
    assert full.seconds == pytest.approx(5 * half.seconds)
    assert "30 TFLOP/s assumed for an H100-class GPU" in full.seconds_from
    assert "no GPU on this machine" in priced(config_of(root, "cluster.device=cuda", method="gamma")).seconds_from


def test_pictures_of_another_generator_cost_nothing(root):
    config = config_of(root, method="external")
    assert price(config, identify(config_of(root, method=FAKE)), [], PHOTO).seconds_from == "nothing is translated"


def test_a_scene_that_cannot_be_made_is_no_measurement(root, monkeypatch):
    config = config_of(root, method=FAKE)
    scenes = list(selected_scenes(config.dataset))
    (root / scenes[-1].image).write_bytes(b"no image")
    assert price(config, identify(config), scenes, PHOTO).seconds_from.startswith("not measured: ")


def test_a_method_that_fails_whatever_it_is_given_is_no_measurement(root, monkeypatch):
    monkeypatch.setenv("S2ST_FAKE_ILL", "raise")
    config = config_of(root, method=FAKE)
    found = price(config, identify(config), list(selected_scenes(config.dataset)), PHOTO)
    assert found.seconds_from.startswith("not measured: a batch of blank images fails too: ValueError")


def test_the_dry_run_shows_price_time_and_memory(root):
    lines = dict(dry_run(config_of(root, "cluster.actors=[1,4]", method=FAKE), full=False).lines())
    assert "measured here" in lines["time per variant"]
    assert re.fullmatch(r"[\d.e-]+ s on 4 workers, [\d.e-]+ s on 1", lines["time of the run"])
    assert "GiB (measured here" in lines["memory per worker"]
    assert "SD at 512" not in str(lines)
