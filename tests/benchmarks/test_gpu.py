"""Suite `gpu` where there is no such device, and the scripts for a lent one, before a minute of it is spent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import SUITES, run_suite, write_figures
from benchmarks import gpu as suite
from benchmarks.gpu.carry import carry_average, carry_photos
from benchmarks.gpu.checks import FUNCTIONS
from benchmarks.gpu.measure import merged
from s2st_aug.errors import ModelError
from s2st_aug.training.checkpoints import load_checkpoint, save_checkpoint
from s2st_aug.training.parts import join_parts

FOLDER = Path(suite.__file__).parent
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@without_cuda
def test_without_a_device_every_figure_says_so() -> None:
    figures = run_suite("gpu", quick=True)
    assert {f.name for f in figures} >= set(SUITES["gpu"])
    assert {(f.value, f.holds, f.why) for f in figures} == {(None, None, "no CUDA device here")}
    assert [f for f in figures if (f.goal, f.unit) != SUITES["gpu"].get(f.name, (f.goal, f.unit))] == []


def test_a_check_keeps_what_it_had_and_says_why_there_is_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "sd21_seconds_per_variant", "value": 2.0, "unit": "s", "goal": None, "holds": None, "n": 1}
    row |= {"interval": [1.0, 3.0], "why": "measured"}
    begin = f"import sys, time, json; open(sys.argv[1], 'a').write(json.dumps({row!r}) + chr(10));"
    for end, why in (("time.sleep(60)", "ended after 1 s"), ("raise OSError('no\\n\\nkernel')", "failed: kernel")):
        code = begin + end
        monkeypatch.setattr(suite, "module_command", lambda *w, code=code: [sys.executable, "-c", code, str(w[5])])
        began = time.monotonic()
        found, said = suite._measure("sd21", "cuda", 1 if "sleep" in end else 30, quick=True)
        assert time.monotonic() - began < 25
        assert [(f.name, f.value, f.interval) for f in found] == [("sd21_seconds_per_variant", 2.0, (1.0, 3.0))]
        assert why in said


def test_every_check_has_its_function() -> None:
    assert list(FUNCTIONS) == list(suite.CHECKS)


def test_no_check_begins_without_time() -> None:
    figures = list(suite.run_checks(quick=True, device="cpu", seconds=0))
    assert {f.why for f in figures} == {"no time was left of the 0 s for all checks"}
    assert len({f.name for f in figures}) == len(figures)


def test_figures_of_two_calls_are_put_together(tmp_path: Path) -> None:
    asked = list(suite.run_checks(quick=True, device="cpu", seconds=0, names=["parity"]))
    assert {f.why for f in asked if f.name != "cuda_parity"} == {"not asked for in this call"}
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    for path, name in zip(paths, ("cuda_parity", "gpu_busy"), strict=True):
        write_figures([replace(f, value=1.0, interval=(0.0, 2.0)) if f.name == name else f for f in asked], path)
    together = {f.name: f.value for f in merged(paths)}
    assert list(together) == [f.name for f in asked]
    assert {name for name, value in together.items() if value == 1.0} == {"cuda_parity", "gpu_busy"}


def test_photos_and_weights_are_carried_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for domain in ("day", "night"):
        (tmp_path / "photos" / domain).mkdir(parents=True)
        image = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (640, 480))
        cv2.imwrite(str(tmp_path / "photos" / domain / "a photo.png"), image)
    assert carry_photos(tmp_path / "photos", tmp_path / "out") == 2
    images = sorted((tmp_path / "out").rglob("*.jpg"))
    assert [p.parent.name for p in images] == ["day", "night"]
    assert cv2.imread(str(images[0])).shape == (288, 512, 3)
    weights = {"unet.a": torch.ones(3), "text_encoder.b": torch.ones(2), "vae.c": torch.ones(4)}
    whole = {f"{k}.{n}": v for k in ("average", "network") for n, v in weights.items()} | {"adam.0.step": torch.ones(1)}
    for name, tensors in (("whole", whole), ("average", weights)):
        save_checkpoint(tmp_path / name, tensors, {})
        assert carry_average(tmp_path / name, tmp_path / "carried") == 5
        carried = load_checkpoint(tmp_path / "carried")[0]
        assert {n: t.dtype for n, t in carried.items()} == dict.fromkeys(("unet.a", "text_encoder.b"), torch.float16)
    save_checkpoint(tmp_path / "other", {"x": torch.ones(1)}, {})
    with pytest.raises(ModelError, match="neither a training's checkpoint"):
        carry_average(tmp_path / "other", tmp_path / "carried")


def test_the_call_fits_and_names_what_is_there(repo: Path) -> None:
    page = (FOLDER / "README.md").read_text()
    calls = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", page, re.S)]
    asked = [
        check
        for call in calls
        for words in re.findall(r"CHECKS='([\w ]+)'", call["command"])
        for check in words.split()
    ]
    assert sorted(asked) == sorted(suite.CHECKS)
    for call in calls:
        limits = sum(int(n) for n in re.findall(r"_SECONDS=(\d+)", call["command"]))
        assert limits + 45 <= call["timeout_s"] <= 600
        assert len(call["command"]) <= 2000
        assert call["carry"] == [".gpu/carry"]
    assert "/.gpu/" in (repo / ".gitignore").read_text().splitlines()
    for name in re.findall(r"(?:configs|benchmarks)/[\w/]+\.(?:yaml|sh)", page):
        assert (repo / name).is_file()


@pytest.mark.parametrize("name", ["run.sh", "pack.sh"])
def test_scripts_are_sound_bash(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(FOLDER / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_moved_away_comes_back(tmp_path: Path) -> None:
    script = tmp_path / "benchmarks" / "gpu" / "pack.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes((FOLDER / "pack.sh").read_bytes())
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    weights = tmp_path / ".gpu" / "away" / "s2st_aug" / "weights" / "street-photo"
    weights.mkdir(parents=True)
    (weights / "w").write_text("weights")
    (tmp_path / ".gpu" / "away" / "docs").mkdir()
    (tmp_path / "docs").mkdir()  # made anew meanwhile: left as it is
    (tmp_path / "docs" / "page").write_text("new")
    subprocess.run(["bash", str(script), "--back"], check=True, capture_output=True)
    assert (tmp_path / "s2st_aug" / "weights" / "street-photo" / "w").read_text() == "weights"
    assert [p.name for p in (tmp_path / "docs").iterdir()] == ["page"]
    assert (tmp_path / "docs" / "page").read_text() == "new"


@pytest.mark.slow
@without_cuda
def test_dry_run_on_the_cpu(tmp_path: Path) -> None:
    """The whole of run.sh at a tiny size with tiny limits, nothing carried: each step runs, what comes back fits."""
    tiny = [
        "streets.size=[96,64]",
        "streets.rendered=[192,128]",
        "streets.first=2",
        "streets.most=6",
        "aligned.batch=2",
    ]
    tiny += ["aligned.steps=6", "aligned.refresh_batch=2", "aligned.prompts=8", "aligned.log_every=2"]
    tiny += ["aligned.inversion_steps=[2]"]
    limits = {
        "CHECK_SECONDS": "240",
        "TRAIN_SECONDS": "240",
        "LOOK_SECONDS": "240",
        "LOOK_STREETS": "1",
        "RENDERERS": "1",
    }
    places = {
        "OUT": str(tmp_path / "out"),
        "WORK": str(tmp_path / "work"),
        "CARRY": "nothing",
        "PYTHON": sys.executable,
    }
    env = {k: v for k, v in os.environ.items() if k != "S2ST_AUG_DATA"} | limits | places | {"DEVICE": "cpu"}
    command = ["nice", "-n", "19", "bash", str(FOLDER / "run.sh"), "configs/aligned_gpu_native.yaml", *tiny]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout[-6000:], done.stderr[-2000:])
    steps = re.findall(r"== \d+ s: (suite gpu|training|look) ended \((\d+)\)", done.stdout)
    assert steps == [("suite gpu", "0"), ("training", "0"), ("look", "0")]
    figures = {f["name"]: f for f in json.loads((tmp_path / "out" / "gpu.json").read_text())}
    assert figures.keys() >= set(SUITES["gpu"])
    assert {f["holds"] for f in figures.values()} == {None}
    assert figures.keys() >= {f"sd21_seconds_{preset}" for preset in ("draft", "standard", "paper")}
    spent = (
        r"a dry run: |no time was left|check \w+ was ended after"  # the last two on a machine that is busy otherwise
    )
    assert [f["why"] for f in figures.values() if not re.match(spent, f["why"])] == []
    came = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert came == ["gpu.json", "look.jpg", "parts.json", "run.log", "weights.safetensors.0", "weights.safetensors.1"]
    assert load_checkpoint(join_parts(tmp_path / "out", tmp_path / "joined"))[1]["step"] == 6
    assert '"light_recall"' in (tmp_path / "out" / "run.log").read_text()
