"""One word for a device at every door, and one line for a device that is not there."""

from __future__ import annotations

import inspect

import pytest
import torch

from s2st_aug import api
from s2st_aug.cli import COMMANDS, build_group, load
from s2st_aug.cli.terminal import run_group
from s2st_aug.config.augment import ClusterConfig
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.engine.engine import devices_of
from s2st_aug.errors import UsageError

HERE = "cuda:0" if torch.cuda.is_available() else "cpu"
DOORS = ("translate", "augment", "preview", "domain build", "calibrate", "gain")


def test_auto_is_what_is_there():
    assert (resolve_device(), resolve_device("auto"), resolve_device("cpu")) == (HERE, HERE, "cpu")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("gpu", r"device 'gpu': expected auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", r"device 'cuda:x': expected auto"),
        ("cuda:99", r"device cuda:99: this machine has \d+ CUDA devices"),
        ("mps", r"device mps: torch finds no Metal device"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(wanted, message):
    if wanted == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match=message) as error:
        resolve_device(wanted)
    assert "\n" not in str(error.value)


def test_every_door_takes_one():
    group = build_group()
    for door in DOORS:
        command = group
        for word in door.split():
            command = command.commands[word]
        options = {o for p in load(command).params for o in p.opts}
        assert door in COMMANDS and "--device" in options, door
    for function in (api.translate, api.load_method, api.load_translator):
        assert inspect.signature(function).parameters["device"].default == "auto"


def test_a_runs_actors_take_the_device_that_is_named():
    assert devices_of(ClusterConfig(device="cpu", gpus_per_actor=2)) == ["cpu", "cpu"]
    assert devices_of(ClusterConfig()) == ["cpu"]
    with pytest.raises(UsageError, match="cuda:99"):
        devices_of(ClusterConfig(device="cuda:99"))


@pytest.mark.skipif(HERE != "cpu", reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_and_auto_falls_back():
    with pytest.raises(UsageError, match="cuda"):
        devices_of(ClusterConfig(device="cuda", gpus_per_actor=1))
    assert devices_of(ClusterConfig(device="auto", gpus_per_actor=2)) == ["cpu", "cpu"]


@pytest.mark.parametrize("words", ["augment {0} --device cuda:99 --run {1}", "preview {0} --device cuda:99"])
def test_commands_refuse_it_before_anything_is_started(words, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        f"dataset: {{format: bdd100k, root: {tmp_path / 'data'}}}\ndomains: [night]\nmethod: {{name: histogram}}\n"
    )
    (tmp_path / "data/images/100k/train").mkdir(parents=True)
    assert run_group(build_group(), words.format(config, tmp_path / "run").split()) == 2
    assert "device cuda:99: this machine has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    config.write_text(config.read_text() + "cluster: {device: gpu}\n")
    assert run_group(build_group(), ["augment", str(config)]) == 2
    assert "cluster.device" in capsys.readouterr().err
