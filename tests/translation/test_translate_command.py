"""`s2st-aug translate` and `s2st-aug domain build` as a user meets them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2st_aug.api import load_translator
from s2st_aug.cli import main
from s2st_aug.cli.translate import _tell
from s2st_aug.diffusion.model_files import EMBEDDED
from s2st_aug.errors import ConfigError
from s2st_aug.images import encode_png, read_photo
from s2st_aug.profiles import load_profile, save_profile


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.full((48, 64, 3), 120, np.uint8)))
    return path


def test_two_inputs_of_one_stem_are_refused(photo, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "a.jpg"
    other.write_bytes(photo.read_bytes())
    assert call("translate", photo, other, "--to", "night", "--out", tmp_path / "out") == 2
    assert "inputs with the same file name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_path_is_wrong_usage(photo, tmp_path, capsys):
    assert call("translate", photo, tmp_path / "gone.png", "--to", "night", "--out", tmp_path / "out") == 2
    assert "no such image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--to", "nihgt"), "unknown domain 'nihgt'; did you mean 'night'"),
        (("--to", "night", "--preset", "fast"), "unknown preset 'fast'"),
        (("--to", "night", "--model", "street-mimi"), "street-mimi"),
        (("--to", "./gone.safetensors"), "no such profile file"),
    ],
)
def test_what_is_unknown_is_named_in_one_line(photo, tmp_path, capsys, extra, message):
    assert call("translate", photo, *extra, "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("door", ["translate", "build", "calibrate"])
def test_every_door_takes_a_pinned_hub_id(photo, tmp_path, capsys, monkeypatch, door):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for i in range(8):
        (tmp_path / f"copy{i}.png").write_bytes(photo.read_bytes())
    arguments = {
        "translate": ("translate", photo, "--to", "night", "--out", tmp_path / "out"),
        "build": (
            "domain",
            "build",
            "night",
            "--references",
            tmp_path,
            "--prompt",
            "night",
            "--out",
            tmp_path / "p.safetensors",
        ),
        "calibrate": ("calibrate", "--photos", tmp_path),
    }
    assert call(*arguments[door], "--model", "owner/tiny@abc") == 2
    assert "owner/tiny@abc: no such folder, not in the local cache" in capsys.readouterr().err


def rain_named(path: Path, name: str) -> Path:
    """The shipped rain, written under another name."""
    rain = load_profile(EMBEDDED["street-mini"] / "profiles" / "rain.safetensors")
    save_profile(dataclasses.replace(rain, name=name), path)
    return path


def test_two_profiles_of_one_name_are_refused(photo, tmp_path, capsys):
    mine = rain_named(tmp_path / "mine.safetensors", "night")
    assert call("translate", photo, "--to", "night", "--to", mine, "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert f"{mine} is a second profile named 'night'" in err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="second profile named 'night'"):
        load_translator(["night", str(mine)])
    assert list(load_translator(["night", "night"]).profiles) == ["night"]


@pytest.mark.parametrize("name", ["../night", "a/b", "a\\b", ".night", "", "a\nb"])
def test_a_domain_whose_name_is_no_part_of_a_file_name_is_refused(photo, tmp_path, capsys, name):
    out = tmp_path / "p.safetensors"
    assert call("domain", "build", name, "--references", tmp_path, "--prompt", "night", "--out", out) == 2
    assert "cannot be part of a file's name" in capsys.readouterr().err
    assert not out.exists()
    profile = rain_named(tmp_path / "esc.safetensors", name)
    assert call("translate", photo, "--to", profile, "--out", tmp_path / "out") == 2
    assert "cannot be part of a file's name" in capsys.readouterr().err


def test_wrong_sources_of_a_domain_are_named(tmp_path, capsys):
    folder = tmp_path / "refs"
    folder.mkdir()
    common = ("domain", "build", "mist", "--references", folder, "--prompt", "a street in mist")
    assert call(*common, "--source", "day", "--out", tmp_path / "p.safetensors") == 2
    assert "expected NAME=DIR" in capsys.readouterr().err
    assert call(*common, "--source", f"day={tmp_path / 'gone'}", "--out", tmp_path / "p.safetensors") == 2
    assert "no such folder of photos" in capsys.readouterr().err
    assert call(*common, "--out", tmp_path / "p.npz") == 2
    assert "ending in .safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "strength", "reasons", "told"),
    [
        ("ok", 0.81, (), ""),
        ("ok", 0.81, ("note: strength rejects nothing",), ""),
        ("ok", None, ("note: strength is null, the source",), "  strength is null, the source"),
        ("rejected", 0.1, ("unchanged: 0.1", "note: strength rejects nothing"), "  rejected: unchanged: 0.1"),
    ],
)
def test_a_line_says_why_the_checks_rejected_an_image_or_could_not_measure_it(capsys, status, strength, reasons, told):
    measures = {"structure": 0.5, "structure_raw": 0.4, "strength": strength, "evaluations": 12}
    _tell({"error": None, "image": "a__night.png", "status": status, "reasons": list(reasons), **measures}, quiet=False)
    shown = "null" if strength is None else f"{strength:.2f}"
    line = f"a__night.png  structure 0.50  structure_raw 0.40  strength {shown}  12 evaluations{told}"
    assert capsys.readouterr().out == line + "\n"


def test_files_of_any_form_come_back_in_it_and_a_broken_one_is_told(tmp_path, capsys):
    """The embedded model end to end, at draft."""
    deep = np.dstack([np.full((40, 64, 3), 40000, np.uint16), np.full((40, 64), 30000, np.uint16)])
    deep[10:30, 20:40, :3] = 9000
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    assert (
        call(
            "translate",
            tmp_path / "deep.png",
            tmp_path / "broken.jpg",
            "--to",
            "night",
            "--preset",
            "draft",
            "--out",
            tmp_path / "out",
        )
        == 1
    )
    captured = capsys.readouterr()
    assert "broken.jpg: not a readable image" in captured.err
    assert "structure" in captured.out
    made = read_photo(tmp_path / "out" / "deep__night.png")
    assert made.rgb.shape == (40, 64, 3)
    assert made.form.bits == 16
    assert (made.form.alpha == 30000).all()
    assert made.rgb.mean() < 0.6 * 255 * 40000 / 65535
