"""Same Street: both ends of its scales, entries by method and by folder, and the table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import same_street
from benchmarks.same_street import (
    DOMAINS,
    NOTHING,
    TRUTH,
    as_markdown,
    entries,
    maker,
    read_board,
    rows_of,
    write_board,
)
from s2st_aug.errors import UsageError
from s2st_aug.images import encode_png


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    same_street.render_streets(folder, 1, (320, 180))
    return list(same_street.streets(folder, 24))


@pytest.fixture
def pictures(shown, tmp_path):
    """The true views, as an entry that knows them would hand them in."""
    folder = tmp_path / "perfect"
    folder.mkdir()
    for street in shown:
        name = street.scene.image.rpartition("/")[2].rpartition(".")[0]
        for domain in DOMAINS:
            (folder / f"{name}__{domain}.png").write_bytes(encode_png(street.views[domain]))
    return folder


def measured(spec, shown):
    name, about, make = maker(str(spec))
    return entries(name, about, list(rows_of(make, shown)), timed=False, date="")


def test_the_scales_end_at_the_truth_and_at_doing_nothing(shown):
    truth, nothing = measured(TRUTH, shown), measured(NOTHING, shown)
    assert [e.domain for e in truth] == list(DOMAINS) and {e.n for e in truth} == {1}
    assert {(e.distance, e.structure) for e in truth} == {(0.0, 1.0)}
    strengths = [e.strength for e in nothing if e.strength is not None]  # null where the day lies in the domain already
    assert {e.distance for e in nothing} == {1.0} and strengths and all(abs(s) < 1e-6 for s in strengths)
    assert {e.passed for e in nothing} == {0.0}
    assert next(e for e in truth if e.domain == "night").lights_f1 == 1.0


def test_a_folder_of_pictures_is_an_entry(shown, pictures):
    found = measured(pictures, shown)
    assert {(e.translator, e.distance) for e in found} == {("perfect", 0.0)}
    for path in pictures.glob("*fog*"):
        path.unlink()
    assert [e.domain for e in measured(pictures, shown)] == ["dusk", "night", "rain"]
    for path in pictures.iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no picture of any street"):
        measured(pictures, shown)


def test_a_method_with_settings_is_an_entry(shown):
    whole, half = measured("histogram", shown), measured("histogram,share=0.5", shown)
    assert half[1].translator == "histogram,share=0.5" and half[1].domain == "night"
    assert whole[1].distance < half[1].distance < 1
    with pytest.raises(UsageError, match=r"histogarm: neither a folder of pictures nor a method: .*did you mean"):
        maker("histogarm")


def test_the_board_keeps_a_version_and_its_table_ranks_by_distance(shown, tmp_path):
    board = [*measured(NOTHING, shown), *measured(TRUTH, shown), *measured("gamma", shown)[:2]]
    write_board(tmp_path / "board.json", board)
    kept = read_board(tmp_path / "board.json")
    assert [e.domain for e in kept] == [e.domain for e in board]
    lines = as_markdown(kept).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {TRUTH}", f"| {NOTHING}", "| gamma"]
    assert len({line.count("|") for line in lines}) == 1
    text = (tmp_path / "board.json").read_text().replace('"version": 1', '"version": 0')
    (tmp_path / "board.json").write_text(text)
    with pytest.raises(UsageError, match="holds Same Street 0, this is Same Street 1"):
        read_board(tmp_path / "board.json")


def test_a_device_that_is_not_there_is_one_line_before_a_street_is_rendered(repo, tmp_path):
    words = ["--device", "gpu", "--streets", str(tmp_path / "streets"), "--json", str(tmp_path / "board.json")]
    done = subprocess.run(
        [sys.executable, "pipelines/leaderboard.py", *words], cwd=repo, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "error: device 'gpu': expected auto, cpu, cuda, cuda:N or mps\n")
    assert not (tmp_path / "streets").exists()
