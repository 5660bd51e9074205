"""What verdicts depend on is hashed: every threshold, every constant of the checks, every byte of their networks."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from s2st_aug import validation
from s2st_aug.config.hashes import validation_hash
from s2st_aug.errors import ModelError
from s2st_aug.records import classes
from s2st_aug.validation import identity
from s2st_aug.validation.detectors import find_detector
from s2st_aug.validation.settings import ValidationSettings

MODULES = [importlib.import_module(f"s2st_aug.validation.{m.name}") for m in pkgutil.iter_modules(validation.__path__)]


def other_values(value: Any) -> Iterator[Any]:
    """The value with each single number in it changed, however deep."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value * (1 + 1e-9) if isinstance(value, float) and value else value + 1
    elif isinstance(value, np.ndarray):
        changed = value.copy()
        changed.flat[-1] += 1
        yield changed
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from ((*value[:i], other, *value[i + 1 :]) for other in other_values(item))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (value | {key: other} for other in other_values(item))


def numbers() -> Iterator[tuple[ModuleType, str, Any]]:
    for module in MODULES:
        for name, value in vars(module).items():
            if name.isupper():
                yield from ((module, name, other) for other in other_values(value))


def test_the_value_of_every_constant_is_hashed(monkeypatch):
    whole, seen = identity.checks_sha256.__wrapped__, set()
    before = whole()
    for module, name, other in numbers():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, other)
            assert whole() != before, f"{module.__name__}.{name}"
        seen.add((module.__name__.rsplit(".")[-1], name))
    assert seen >= {("hallucinations", "EXPLAINED"), ("gates", "IN_PLACE"), ("objects", "RING"), ("signals", "HUES")}
    assert len(seen) > 60


def test_a_constant_in_the_dark_is_refused(monkeypatch):
    """One that has no plain value would change verdicts and no hash."""
    monkeypatch.setattr(MODULES[0], "STRANGE", object(), raising=False)
    with pytest.raises(TypeError, match="must be a plain value to be hashed"):
        identity.checks_sha256.__wrapped__()


def test_another_spelling_and_the_networks_bytes_are_hashed(monkeypatch, tmp_path):
    whole = identity.checks_sha256.__wrapped__
    before = whole()
    with monkeypatch.context() as patch:
        patch.setitem(classes._MEANS, "tramway", "train")
        assert whole() != before
    package = tmp_path / "validation"
    shutil.copytree(validation.__path__[0], package)
    monkeypatch.setattr(identity, "files", lambda _: package)
    assert whole() == before
    network = package / "lights.safetensors"
    data = bytearray(network.read_bytes())
    data[-1] ^= 1
    network.write_bytes(data)
    assert whole() != before


def test_thresholds_and_a_detectors_bytes_decide_and_not_its_place(tmp_path):
    plain = validation_hash(ValidationSettings())
    assert validation_hash(ValidationSettings(min_strength=0.5)) != plain
    own, moved = tmp_path / "own.onnx", tmp_path / "moved.onnx"
    own.write_bytes(find_detector("street-mini-detector").read_bytes())
    shutil.copy(own, moved)
    named = validation_hash(ValidationSettings(detector="street-mini-detector"))
    assert named != plain
    assert validation_hash(ValidationSettings(detector=str(own))) == named
    assert validation_hash(ValidationSettings(detector=str(moved))) == named
    moved.write_bytes(own.read_bytes()[:-1])
    assert validation_hash(ValidationSettings(detector=str(moved))) != named
    with pytest.raises(ModelError, match=r"no detector at .*gone\.onnx"):
        validation_hash(ValidationSettings(detector=str(tmp_path / "gone.onnx")))


def test_the_hash_costs_a_process_milliseconds():
    start = time.process_time()
    identity.checks_sha256.__wrapped__()
    assert time.process_time() - start < 0.1
    start = time.process_time()
    for _ in range(100):
        validation_hash(ValidationSettings())
    assert (time.process_time() - start) / 100 < 0.002
