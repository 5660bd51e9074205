"""The config.

What is wrong is said at once, what may change on resume changes no hash, every YAML of the repository loads.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from s2st_aug.api import load_translator
from s2st_aug.config import load_config
from s2st_aug.config.hashes import plan_hash, validation_hash
from s2st_aug.config.load import choose_method, parse_config, read_yaml
from s2st_aug.errors import ConfigError, S2STError
from s2st_aug.methods import MethodIdentity, find_method

BASE = {"dataset": {"format": "bdd100k", "root": "/data"}, "domains": ["night", "rain"]}


def identity_of(config, *, model: str = "model", rain: str = "b") -> MethodIdentity:
    """The method's own identity of its settings, with names in place of the hashes of weights and profiles."""
    found = find_method(config.method.name).identify(config.for_method())
    return replace(found, model_sha256=model, profiles={"night": "a", "rain": rain})


def hashed(changes: dict | None = None, **names: str) -> str:
    config = parse_config({**BASE, **(changes or {})})
    return plan_hash(config, identity_of(config, **names))


def write(folder: Path, value: object) -> Path:
    path = folder / "run.yaml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return path


def test_every_problem_is_named_at_once_with_what_was_meant(tmp_path):
    raw = {
        **BASE,
        "modell": "x",
        "method": {"preset": "standard", "stps": 3},
        "cluster": {"batch_size": 0},
        "run": {"rng_kay": 1},
    }
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, raw))
    text = str(error.value)
    for part in ("modell", "'model'", "method.stps", "'steps'", "cluster.batch_size", "run.rng_kay", "'rng_key'"):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({**BASE, "domains": ["nigth"]}, "'night'"),
        ({**BASE, "domains": ["night", "night"]}, "twice"),
        ({**BASE, "domains": []}, "domains"),
        ({**BASE, "method": {"preset": "standart"}}, "'standard'"),
        ({**BASE, "cluster": {"actors": [3, 1]}}, "actors"),
        ({**BASE, "cluster": {"actors": "two"}}, "cluster.actors: expected a list (got 'two')"),
        ({**BASE, "cluster": {"batch_size": "four"}}, "cluster.batch_size: expected a whole number (got 'four')"),
        ({**BASE, "cluster": {"batch_size": 0}}, "cluster.batch_size: must be greater than or equal to 1 (got 0)"),
        ({**BASE, "run": {"image_format": "gif"}}, "run.image_format: must be 'png' or 'jpeg' (got 'gif')"),
        ({**BASE, "validation": 3}, "validation: expected a group of keys (got 3)"),
        ({**BASE, "cluster": {"gpus_per_actor": 1.5}}, "gpus_per_actor"),
        ({"domains": ["night"]}, "dataset: missing"),
        ("- a list", "mapping"),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_a_wrong_config_is_one_line(tmp_path, raw, part):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        load_config(write(tmp_path, raw))
    assert part in str(error.value)


def test_changes_are_read_as_yaml(tmp_path):
    changes = [
        "dataset.limit=7",
        "domains=[rain]",
        "method.steps=5",
        "validation.min_strength=null",
        "dataset.root=/other=place",
    ]
    config = load_config(write(tmp_path, BASE), changes)
    assert (config.dataset.limit, config.domains, config.method.settings.steps) == (7, ("rain",), 5)
    assert config.validation.min_strength is None
    assert config.dataset.root == "/other=place"
    with pytest.raises(ConfigError, match="key=value"):
        load_config(write(tmp_path, BASE), ["limit"])
    with pytest.raises(ConfigError, match="did you mean 'limit'"):
        load_config(write(tmp_path, BASE), ["dataset.limits=3"])


def test_a_preset_can_be_overridden_in_single_settings():
    config = parse_config({**BASE, "method": {"preset": "paper", "guidance": 3.0}})
    assert (config.method.settings.steps, config.method.settings.guidance) == (50, 3.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"format": "bdd100k", "root": "/elsewhere"}},
        {"cluster": {"actors": [4, 8], "batch_size": 2, "threads_per_actor": 3}},
        {"validation": {"min_strength": 0.5}},
    ],
)
def test_places_cluster_and_validation_are_no_part_of_the_plan(changes):
    assert hashed(changes) == hashed()


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"format": "bdd100k", "root": "/data", "limit": 3}},
        {"dataset": {"format": "bdd100k", "root": "/data", "split": "val"}},
        {"dataset": {"format": "bdd100k", "root": "/data", "select": {"timeofday": ["daytime"]}}},
        {"method": {"preset": "draft"}},
        {"method": {"dtype": "bfloat16"}},
        {"method": {"name": "histogram"}},
        {"method": {"name": "histogram", "share": 0.5}},
        {"run": {"rng_key": 1}},
        {"run": {"image_format": "jpeg"}},
    ],
)
def test_what_decides_pixels_is_part_of_the_plan(changes):
    assert hashed(changes) != hashed()


def test_other_weights_or_profiles_are_another_plan():
    assert len({hashed(), hashed(model="other"), hashed(rain="c")}) == 3
    assert validation_hash(parse_config({**BASE, "validation": {"min_strength": 0.5}}).validation) != validation_hash(
        parse_config(BASE).validation
    )


def test_every_augment_config_of_the_repository_loads(repo):
    found = [p for p in (repo / "configs").glob("*.yaml") if "domains" in p.read_text() and "dataset:" in p.read_text()]
    loaded = [load_config(p) for p in found if "task:" not in p.read_text()]
    models = {c.model for c in loaded}
    assert len(models) >= 4
    assert {c.dataset.format for c in loaded} >= {"bdd100k", "cityscapes"}


@pytest.mark.parametrize("run", [{"seed": 7}, {"rng_key": 7}, {"seed": 7, "rng_key": 7}])
def test_seed_and_rng_key_are_two_names_of_one_value(run):
    config = parse_config({**BASE, "run": {**run, "image_format": "png"}})
    assert config.run.rng_key == 7
    assert hashed({"run": run}) == hashed({"run": {"rng_key": 7}})


@pytest.mark.parametrize("stored", ["seed", "rng_key"])
@pytest.mark.parametrize("given", ["seed", "rng_key"])
def test_a_change_of_either_name_replaces_either(tmp_path, stored, given):
    path = write(tmp_path, {**BASE, "run": {stored: 1, "image_format": "jpeg"}})
    config = load_config(path, [f"run.{given}=2"])
    assert (config.run.rng_key, config.run.image_format) == (2, "jpeg")


@pytest.mark.parametrize("how", ["in the file", "as changes"])
def test_two_different_seeds_are_one_line(tmp_path, how):
    both = {"seed": 1, "rng_key": 2}
    path = write(tmp_path, {**BASE, "run": both if how == "in the file" else {}})
    with pytest.raises(ConfigError, match=r"^[^\n]*run\.seed is 1 and run\.rng_key is 2[^\n]*$"):
        load_config(path, [] if how == "in the file" else [f"run.{k}={v}" for k, v in both.items()])


@pytest.mark.parametrize(
    ("run", "message"), [({"sed": 1}, "'seed'"), ({"seed": -1}, "run.seed"), ({"seed": "x"}, "run.seed")]
)
def test_a_wrong_seed_is_told_by_the_name_that_was_written(run, message):
    with pytest.raises(ConfigError) as error:
        parse_config({**BASE, "run": run})
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["s2st", "histogram"])
def test_a_method_on_the_command_line_takes_none_of_the_files_settings_but_its_own(tmp_path, name):
    path = write(tmp_path, {**BASE, "method": {"preset": "draft", "steps": 12}})
    config = load_config(path, method=name)
    assert config.method.name == name
    assert config.method.settings.model_dump().get("steps") == {"s2st": 12, "histogram": None}[name]
    changed = load_config(path, ["method.share=0.5"], method="histogram")
    assert changed.method.settings.model_dump(exclude_defaults=True) == {"share": 0.5}


def test_method_is_a_group_of_keys(tmp_path):
    with pytest.raises(ConfigError, match="method: "):
        load_config(write(tmp_path, {**BASE, "method": "histogram"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domains: [night]\nmodel: street-mini\ndomains: [rain]\n", "line 3: domains is there twice"),
        ("run: {rng_key: 1, rng_key: 2}\n", "line 1: rng_key is there twice"),
        ("run:\n  rng_key: 1\nmethod:\n  - {a: 1}\n  - {a: 1, b: 2, a: 3}\n", "line 5: a is there twice"),
        ("[" * 5000, "nested deeper than 64 levels"),
        ("", "holds nothing"),
        ("# a comment\n", "holds nothing"),
    ],
)
def test_a_file_that_says_a_key_twice_or_nothing_is_one_line(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_yaml(tmp_path / "config.yaml")


def test_anchors_may_be_used_again_and_merged(tmp_path):
    text = "a: &one {x: 1, y: 2}\nb: *one\nc: {<<: *one, x: 3}\nd: [*one, *one]\n"
    (tmp_path / "config.yaml").write_text(text)
    assert read_yaml(tmp_path / "config.yaml")["c"] == {"x": 3, "y": 2}


def _numbers(raw, place=()):
    """The places of all numbers in a value read from YAML."""
    parts = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        yield place
    for key, value in parts:
        yield from _numbers(value, (*place, key))


def _loaders():
    """Each kind of config that a person writes: a shipped one, and what reads it."""
    from s2st_aug.cli.rescore import thresholds
    from s2st_aug.formats import load_card
    from s2st_aug.gain.config import load_config as load_gain
    from s2st_aug.profiles.recipe import read_recipe
    from s2st_aug.training.aligned_recipe import read_aligned_config
    from s2st_aug.training.recipe import read_training_config

    return {
        "configs/demo.yaml": load_config,
        "configs/bdd100k_sd21.yaml": load_config,
        "configs/gain_scenes.yaml": load_gain,
        "configs/domains_street_mini.yaml": read_recipe,
        "configs/train_street_mini.yaml": read_training_config,
        "configs/aligned_street_mini.yaml": read_aligned_config,
        "datasets/bdd100k.yaml": load_card,
        "thresholds": thresholds,
    }


MORE = {
    "configs/demo.yaml": {
        "dataset": {"limit": 7, "darkest_day": 3},
        "validation": {"min_strength": 0.1},
        "method": {"steps": 5},
        "run": {"seed": 3},
        "model": {"base": "street-mini", "loras": [{"path": "a.safetensors", "weight": 1}]},
    },
    "thresholds": {"validation": {"min_strength": 0.1, "latent_cells_across": 72}},
    "configs/domains_street_mini.yaml": {"most": 12},
}


@pytest.mark.parametrize("name", _loaders())
def test_no_number_of_any_config_takes_true_for_one(repo, tmp_path, name, monkeypatch):
    """YAML reads `yes` and `on` as true; pydantic counts it as 1."""
    monkeypatch.setenv("S2ST_AUG_DATA", str(tmp_path))
    sound = yaml.safe_load((repo / name).read_text()) if "/" in name else {}
    for group, values in MORE.get(name, {}).items():
        old = sound.get(group)
        sound[group] = old | values if isinstance(old, dict) else values
    places = list(_numbers(sound))
    assert places
    for place in places:
        raw = copy.deepcopy(sound)
        *above, last = place
        inner = raw
        for key in above:
            inner = inner[key]
        inner[last] = True
        path = tmp_path / f"{'-'.join(map(str, place))}.yaml"
        path.write_text(yaml.safe_dump(raw))
        with pytest.raises(S2STError, match=r"^[^\n]*$") as error:
            _loaders()[name](path)
        assert str(last) in str(error.value)


@pytest.mark.parametrize("name", ["s2st", "histogram"])
def test_no_number_of_a_methods_settings_in_python_takes_true_for_one(name):
    problems = []
    setting = {"s2st": "guidance", "histogram": "share"}[name]
    choose_method({"name": name, setting: True}, "street-mini", problems)
    assert problems and f"method.{setting}: " in problems[0]
    if name == "s2st":
        with pytest.raises(ConfigError, match="guidance"):
            load_translator(["night"], overrides={"guidance": True})
