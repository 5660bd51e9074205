"""The registry: built-in names, classes of one's own, what installed packages offer.

What is wrong is one line, and nothing heavy is imported.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engine_here import rows_of, run_here

from s2st_aug.config.load import parse_config
from s2st_aug.engine.augment import augment
from s2st_aug.errors import ConfigError, ModelError, PlanMismatch
from s2st_aug.lights.weights import hash_lights
from s2st_aug.methods import METHODS, Method, Translated, find_method, method_names
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset
from s2st_aug.testing.methods import FAKE, JUDGED

BASE = {"dataset": {"format": "bdd100k", "root": "/data"}, "domains": ["night"]}
INVERT = """
from pydantic import BaseModel
from s2st_aug.methods import Method, MethodIdentity, Translated
from s2st_aug.records.verdicts import Judgement


class InvertSettings(BaseModel, frozen=True, extra="forbid"):
    level: int = 255


class InvertTranslator:
    def __init__(self, level):
        self.level = level

    def translate(self, photos, domains, objects=None, keys=None):
        return [{d: Translated(self.level - p, self.level - p) for d in domains} for p in photos]


class Invert(Method[InvertSettings]):
    settings, version = InvertSettings, "3"

    def identify(self, config):
        profiles = dict.fromkeys(config.domains, "none")
        return MethodIdentity(config.name, self.version, config.settings.model_dump(), "none", profiles)

    def load(self, config, device):
        return InvertTranslator(config.settings.level)

    def judge(self, config):
        return lambda source, variant, raw, objects, domain: Judgement("ok", (), (), (), 1.0, 1.0, 1.0)


class Nameless(Method[InvertSettings]):
    def identify(self, config): ...
    def load(self, config, device): ...


class Unfinished(Method[InvertSettings]):
    settings, version = InvertSettings, "1"


NOT_ONE = 7
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """A module of somebody else's; its name."""
    name = f"invert_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(INVERT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def offer(folder: Path, package: str) -> None:
    """What pip leaves of a package with an entry point."""
    info = folder / "invert-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: invert\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[s2st_aug.methods]\ninvert = {package}:Invert\n")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_registry_is_one(name):
    found = find_method(name)
    assert isinstance(found, Method)
    assert found.settings().model_config["frozen"] and found.settings().model_config["extra"] == "forbid"
    assert found.version


def test_the_registry_names_no_fake():
    assert not [place for place in METHODS.values() if "testing" in place]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("histogramm", "unknown method 'histogramm'; did you mean 'histogram'?"),
        ("nowhere.at_all:Thing", "method 'nowhere.at_all:Thing' cannot be imported: No module named 'nowhere'"),
        ("{package}:Revert", "has no attribute 'Revert'"),
        ("{package}:NOT_ONE", "expected a subclass of s2st_aug.methods.Method, found 7"),
        ("{package}:Nameless", "has no settings and no version"),
        ("{package}:Unfinished", "identify"),
        (":", "cannot be imported"),
        ("7", "unknown method '7'"),
    ],
)
def test_what_is_no_method_is_one_line(package, name, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        parse_config({**BASE, "method": {"name": name.format(package=package)}})
    assert message in str(error.value) and "method.name" in str(error.value)


def test_each_method_has_settings_of_its_own(package):
    method = {"name": f"{package}:Invert", "level": 200}
    config = parse_config({**BASE, "method": method})
    assert config.method.settings.level == 200
    assert config.model_dump(mode="json")["method"] == method
    for wrong, message in (
        ({"preset": "draft"}, "method.preset: unknown key; known: level"),
        ({"levle": 1}, "method.levle: unknown key; did you mean 'level'?"),
        ({"level": "high"}, "method.level: expected a whole number (got 'high')"),
    ):
        with pytest.raises(ConfigError) as error:
            parse_config({**BASE, "method": {"name": f"{package}:Invert", **wrong}})
        assert message in str(error.value)


def test_a_method_of_ones_own_makes_a_run_from_outside(package, tmp_path):
    root = make_dataset(tmp_path / "data", 2)
    config = make_config(root, method={"name": f"{package}:Invert", "level": 255})
    run = run_here(config, tmp_path / "run")
    rows = rows_of(run)
    assert {r["status"] for r in rows.values()} == {"ok"} and len(rows) == 4
    assert (rows["train/f000000", "night"]["inversion_steps"], rows["train/f000000", "night"]["st_iterations"]) == (
        None,
        0,
    )
    info = run.run_json()
    assert (info.method, info.method_version, info.method_settings) == (f"{package}:Invert", "3", {"level": 255})
    assert info.config["method"] == {"name": f"{package}:Invert", "level": 255}
    assert verify(run).holds


def test_an_installed_package_offers_a_short_name(package, tmp_path):
    offer(tmp_path, package)
    assert "invert" in method_names()
    assert find_method("invert").version == "3"
    assert parse_config({**BASE, "method": {"name": "invert"}}).method.settings.level == 255


@pytest.mark.parametrize("begun", [FAKE, JUDGED])
@pytest.mark.parametrize("resumed", ["s2st", "histogram"])
def test_a_run_that_another_method_began_is_refused(begun, resumed, tmp_path, monkeypatch):
    """A changed plan is never mixed in: pixels of one method under the identity of another are one."""
    root = make_dataset(tmp_path / "data", 2)
    run_here(make_config(root, method={"name": begun}), tmp_path / "run")
    monkeypatch.setattr("s2st_aug.engine.driver.Driver.run", lambda *a: pytest.fail("started"))
    with pytest.raises(PlanMismatch, match="method"):
        augment(make_config(root, method={"name": resumed}), tmp_path / "run")


def test_another_version_of_a_method_is_another_plan(package, tmp_path, monkeypatch):
    config = make_config(make_dataset(tmp_path / "data", 2), method={"name": f"{package}:Invert"})
    run_here(config, tmp_path / "run")
    monkeypatch.setattr(sys.modules[package].Invert, "version", "4")
    with pytest.raises(PlanMismatch, match="the method's version changed"):
        augment(config, tmp_path / "run")


@pytest.mark.parametrize("name", [*METHODS, FAKE])
def test_a_config_is_read_without_torch(name):
    """A mistake in a config is told at once, not after the seconds that torch takes to start."""
    code = (
        "import sys; from s2st_aug.config.load import parse_config;"
        f"parse_config({ {**BASE, 'method': {'name': name}}!r});"
        "print(*sorted({'torch', 'ray', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_wrong_pixels_of_a_method_fail_their_rows_alone(package, tmp_path, monkeypatch):
    """An image of another size than its source's, and a domain that was left out."""
    config = make_config(make_dataset(tmp_path / "data", 1), method={"name": f"{package}:Invert"})
    small = np.zeros((8, 8, 3), np.uint8)
    made = {"night": Translated(small, small)}
    monkeypatch.setattr(
        sys.modules[package].InvertTranslator, "translate", lambda self, photos, *more: [made for _ in photos]
    )
    reasons = {key[1]: row["reasons"][0] for key, row in rows_of(run_here(config, tmp_path / "run")).items()}
    assert reasons == {
        "night": "BadResult: for night the method returned 8x8x3 uint8, expected 32x48x3 uint8",
        "rain": "BadResult: for rain the method returned NoneType, expected Translated",
    }


@pytest.mark.parametrize("name", ["s2st", "histogram"])
def test_lights_count_in_the_plan_by_the_bytes_of_their_map_and_not_at_all_where_they_are_off(name, tmp_path):
    path = tmp_path / "map.safetensors"
    path.write_bytes(b"one")
    settings = find_method(name).settings

    def hashed(**given):
        return hash_lights(settings(**given).model_dump(mode="json"))

    assert "lights" not in hashed() and "light_map" not in hashed(light_map=str(path))
    one = hashed(lights=0.5, light_map=str(path))
    path.write_bytes(b"other")
    assert hashed(lights=0.5, light_map=str(path)) != one
    assert one["lights"] == 0.5
    with pytest.raises(ModelError, match=r"no light map at .*absent"):
        hashed(lights=1.0, light_map=str(tmp_path / "absent"))
