"""Errors that a first hour meets: each says what is wrong, and before a model is loaded."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import yaml
from trees import image

from s2st_aug.cli import augment, build_group
from s2st_aug.cli.terminal import explain, run_group
from s2st_aug.config.load import load_config
from s2st_aug.config.shipped import KINDS
from s2st_aug.diffusion import model_files, stable_diffusion
from s2st_aug.diffusion.model_files import MIRRORS, find_model
from s2st_aug.errors import DatasetError, ModelError
from s2st_aug.export import export_run
from s2st_aug.formats import load_card, read_scenes
from s2st_aug.methods import checks
from s2st_aug.testing.datasets import make_dataset
from s2st_aug.testing.runs import write_run

CONFIGS = Path(__file__).parents[2] / "configs"
DEMO = CONFIGS / "demo.yaml"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run_group(build_group(), words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens a model in this test has begun too early."""

    def began(*_args, **_words):
        raise AssertionError("a model was looked for before what is wrong was said")

    for module in (model_files, checks, stable_diffusion):  # all imported before: none keeps the fake
        monkeypatch.setattr(module, "find_model", began)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("cluster.actors=2", lambda c: c.cluster.actors == (2, 2)),
        ("dataset.select.timeofday=daytime", lambda c: c.dataset.select == {"timeofday": ("daytime",)}),
        ("domains=night", lambda c: c.domains == ("night",)),
        ("domains=night,rain", lambda c: c.domains == ("night", "rain")),
    ],
)
def test_one_value_stands_for_a_list_of_it(change: str, found) -> None:
    assert found(load_config(DEMO, [change]))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["augment", str(CONFIGS / "gain_scenes.yaml")], "is a config for `s2st-aug gain`, not for `s2st-aug augment`"),
        (["gain", str(DEMO)], "is a config for `s2st-aug augment`, not for `s2st-aug gain`"),
        (["augment", str(CONFIGS / "train_street_mini.yaml")], "is a config for training a model"),
    ],
)
def test_a_config_of_another_command_is_named_as_such(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(words, capsys)
    assert named in line and len(line) < 200


def test_every_shipped_config_is_of_one_kind_at_most() -> None:
    for path in CONFIGS.glob("*.yaml"):
        raw = yaml.safe_load(path.read_text())
        kinds = [kind for kind, keys in KINDS.items() if all(key in raw for key in keys)]
        assert len(kinds) <= 1, (path, kinds)


@pytest.mark.parametrize("name", ["model", "model.onnx", "notes.yaml"])
def test_a_file_that_is_there_is_not_called_missing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match="a file that is not a model; expected street-mini"):
        find_model(tmp_path / name)


@pytest.mark.parametrize("name", sorted(MIRRORS))
def test_a_repository_that_moved_is_no_remedy(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as refused:
        find_model(name)
    assert MIRRORS[name] in str(refused.value)
    assert "hf download" not in str(refused.value)


@pytest.mark.parametrize("name", ["stabilityai/sd-turbo", "stabilityai/sdxl-turbo@main", "Tongyi-MAI/Z-Image-Turbo"])
def test_a_distilled_repository_is_refused_before_it_is_told_to_be_downloaded(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"is distilled to few steps and cannot be inverted; use \S+/\S+$"):
        find_model(name)


def test_a_split_without_images_is_told_with_those_that_have_some(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "data", 2)
    with pytest.raises(DatasetError, match="split 'val' of bdd100k holds no image; splits with images: train"):
        list(read_scenes(load_card("bdd100k"), root, "val"))


@pytest.mark.parametrize(
    "line",
    [
        "translate {photo} --to nigt --out {tmp}/out",
        "translate {photo} --to {tmp}/nowhere.safetensors --out {tmp}/out",
        "translate {photo} --to night --out /proc/s2st",
        "translate {photo} --to night --out {photo}/out",
        "augment {demo} --set dataset.root={tmp} --set domains=[{tmp}/nowhere.safetensors]",
        "augment {demo} --set dataset.root={tmp} --run /proc/s2st",
        "augment {demo} --set dataset.root={tmp}/nowhere",
        "preview {demo} --set dataset.root={tmp} --set domains=[{tmp}/nowhere.safetensors]",
        "preview {demo} --set dataset.root={tmp} --out /proc/s2st.png",
        "domain build x --references {tmp} --prompt p --model street-mini --out /proc/x.safetensors",
    ],
)
def test_places_and_domains_are_checked_before_a_model_is_looked_for(
    line: str, nothing_loads: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.png").write_bytes(b"no picture at all")
    told = said(line.format(photo=tmp_path / "photo.png", tmp=tmp_path, demo=DEMO).split(), capsys)
    assert "unexpected" not in told and "Assertion" not in told


NUMBERS = sorted(n for n in errno.errorcode if n not in (errno.EPIPE, errno.EINTR))


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: errno.errorcode[n])
def test_every_error_of_the_system_has_its_line(number: int) -> None:
    line, code = explain(OSError(number, os.strerror(number), "/data/x"))
    if not isinstance(OSError(number, ""), ConnectionError):
        assert "unexpected" not in line and "/data/x" in line
        assert code in (2, 4)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["a.png", "a__night.png"], "would replace an input"), ([f"{'x' * 245}.png"], "has more than 255 bytes")],
)
def test_a_result_replaces_no_input_and_has_a_name_that_a_disk_takes(tmp_path, capsys, names, told):
    photos = [image(tmp_path, name, (32, 32)) for name in names]
    before = [photo.read_bytes() for photo in photos]
    words = ["translate", *map(str, photos), "--to", "night", "--method", "histogram", "--out", str(tmp_path)]
    assert told in said(words, capsys)
    assert [photo.read_bytes() for photo in photos] == before
    assert len(list(tmp_path.iterdir())) == len(names)


def test_a_dataset_that_is_an_earlier_export_is_told_so(tmp_path, capsys):
    root = make_dataset(tmp_path / "data", 2)
    write_run(tmp_path / "run", load_card("bdd100k"), root)
    export_run(tmp_path / "run", "bdd100k", tmp_path / "out")
    augment.tell_earlier_export(str(root))
    assert capsys.readouterr().err == ""
    augment.tell_earlier_export(str(tmp_path / "out"))
    assert "2 images in it are variants" in capsys.readouterr().err
    assert run_group(build_group(), ["doctor", "--dataset", "bdd100k", str(tmp_path / "out")]) == 0
    assert "2 images in it are variants" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words",
    [
        ["augment", str(DEMO), "--set", "domains=[real]"],
        ["augment", str(DEMO), "--set", "domains=[profiles/source.safetensors]"],
        ["domain", "build", "real", "--references", ".", "--prompt", "street", "--out", "real.safetensors"],
    ],
)
def test_no_domain_is_called_what_the_real_images_are(words, capsys, nothing_loads):
    assert "stands for your own images" in said(words, capsys)
