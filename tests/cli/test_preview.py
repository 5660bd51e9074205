from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from s2st_aug.cli import build_group
from s2st_aug.cli.preview import _cell, expand_sweep, notes_of
from s2st_aug.cli.terminal import run_group
from s2st_aug.images import read_image
from s2st_aug.records.verdicts import ObjectVerdict, VerdictKind
from s2st_aug.testing.methods import FAKE

DEMO = Path(__file__).parents[2] / "configs/demo.yaml"
CONFIG = (
    "dataset: {{format: bdd100k, root: {root}, split: train}}\ndomains: [night, rain]\nmethod: {{name: '{fake}'}}\n"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "s"
    assert (
        run_group(
            build_group(),
            ["scenes", str(out), "--count", "3", "--size", "192x108", "--val-share", "0", "--conditions", "day"],
        )
        == 0
    )
    return out


@pytest.fixture
def config(scenes: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG.format(root=scenes / "day", fake=FAKE))
    return path


def preview(config: Path, *words: str) -> int:
    return run_group(build_group(), ["preview", str(config), *words])


def test_a_sweep_makes_a_column_for_each_value_and_domain(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, swept = tmp_path / "plain.png", tmp_path / "swept.png"
    assert preview(config, "-n", "2", "--out", str(plain)) == 0
    assert preview(config, "-n", "2", "--sweep", "method.number=2,3", "--out", str(swept)) == 0
    assert read_image(swept).shape[1] - read_image(plain).shape[1] == 2 * (384 + 8)
    shown = capsys.readouterr().out
    assert "number=3" in shown
    assert str(swept) in shown
    assert (
        "the 3 scenes of the dataset, as configured: about" in shown
        and "the 3 scenes of the dataset, number=2: about" in shown
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain.png", "small.yaml", "swept.png"]


def variant(domain: str, status: str, *reasons: str) -> SimpleNamespace:
    row = SimpleNamespace(
        domain=domain, status=status, reasons=reasons, strength=0.5, structure=0.5, objects=(judged("keep"),) * 3
    )
    return SimpleNamespace(row=row, image=np.zeros((9, 16, 3), np.uint8))


def judged(verdict: VerdictKind) -> ObjectVerdict:
    return ObjectVerdict("1", "box", "car", (0.0, 0.0, 1.0, 1.0), verdict)


def test_a_caption_tells_labels_or_the_rejection_and_a_note_is_told_once() -> None:
    """Each caption said, cut off, that strength rejects nothing for the domain, in place of its labels."""
    weak = "note: strength rejects nothing, its discriminant has under 0.8 accuracy elsewhere"
    source = SimpleNamespace(objects=())
    found = [variant("rain", "ok", weak), variant("rain", "rejected", "unchanged: 0.1", weak), variant("night", "ok")]
    assert [_cell(v, source).caption[1] for v in found] == ["keep 3", "unchanged: 0.1", "keep 3"]
    assert notes_of(found) == [f"rain: {weak.removeprefix('note: ')} (2 of 2 images)"]


def test_a_method_that_cannot_work_here_is_one_line_and_no_empty_sheet(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sheet of sources without a variant was written, and the exit code was 0."""
    monkeypatch.setenv("S2ST_FAKE_ILL", "device")
    assert preview(config, "-n", "2", "--out", str(tmp_path / "plain.png")) == 4
    assert "CUDA error: an illegal memory access" in capsys.readouterr().err
    assert not (tmp_path / "plain.png").exists()


@pytest.mark.parametrize(
    ("sweeps", "names"),
    [
        (["method.guidance=1.5,2.5"], ["guidance=1.5", "guidance=2.5"]),  # a decimal point is no separator of keys
        (["method.guidance=1,2", "run.seed=0"], ["guidance=1 seed=0", "guidance=2 seed=0"]),
        (["cluster.actors=[1,1],[1,2]"], ["actors=[1,1]", "actors=[1,2]"]),
        (["domains=[night],[rain]"], ["domains=[night]", "domains=[rain]"]),
        (["model=street-mini,street-mini"], ["model=street-mini"]),
        (["dataset.select.rng_key=[a]", "run.rng_key=0"], ["dataset.select.rng_key=[a] run.rng_key=0"]),
    ],
)
def test_every_value_of_a_sweep_is_a_setting_with_a_name_of_its_own(sweeps: list[str], names: list[str]) -> None:
    assert list(expand_sweep(DEMO, [], sweeps)) == names


def test_json_tells_each_column_and_what_the_whole_dataset_would_take(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(config, "-n", "2", "--sweep", "method.number=2,3", "--out", str(tmp_path / "x.png"), "--json") == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert said.err == "", "quiet when piped"
    assert (told["sheet"], told["scenes"]) == (str(tmp_path / "x.png"), 3)
    assert [(c["domain"], c["setting"], c["tried"]) for c in told["columns"]] == [
        (domain, f"number={value}", 2) for value in (2, 3) for domain in ("night", "rain")
    ]
    assert all(c["seconds"] > 0 and c["labels"] >= c["labels_kept"] for c in told["columns"])


def test_a_scene_that_cannot_be_read_is_a_grey_cell_and_exit_1(config: Path, scenes: Path, tmp_path: Path) -> None:
    broken = next((scenes / "day" / "images").rglob("*.[jp][pn]g"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    try:
        assert preview(config, "--out", str(tmp_path / "x.png")) == 1
    finally:
        broken.write_bytes(whole)
    assert (tmp_path / "x.png").is_file()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--sweep", "method.guidnce=1,2", "--method", "s2st"], "did you mean 'guidance'"),
        (["--sweep", "method.guidance"], "key=a,b,c"),
        (["--sweep", "run.rng_key=" + ",".join(map(str, range(13)))], "26 columns"),
        (["--sweep", "run.seed=1", "--sweep", "run.seed=2"], "swept twice"),
        (["-n", "0"], "greater than or equal to 1"),
        (["--out", "/no/such/folder/x.png"], "is not a folder"),
    ],
)
def test_wrong_usage_starts_nothing(
    config: Path, words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(config, *words) == 2
    assert hint in capsys.readouterr().err
