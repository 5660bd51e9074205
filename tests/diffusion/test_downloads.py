"""A download from the hub says how far it is, to the user of the command line too. The hub is a server of this test."""

from __future__ import annotations

import json

import pytest

from s2st_aug.cli import progress, terminal
from s2st_aug.cli.progress import DownloadLines
from s2st_aug.diffusion.downloads import Download, listening
from s2st_aug.diffusion.model_files import find_model
from tests.helpers.fake_hub import fake_hub

MIB = 2**20


def test_the_bytes_of_a_model_are_told_until_all_are_here(own_folder, tmp_path, monkeypatch, capsys):
    told: list[Download] = []
    weights = sum(p.stat().st_size for p in own_folder.rglob("*.safetensors"))
    with fake_hub(own_folder, tmp_path / "cache", monkeypatch), listening(told.append):
        folder = find_model("owner/model")
        found = list(told)
        assert find_model("owner/model") == folder
        assert told == found, "nothing is told of what is here"
    configs, model = (d for d in found if d.ended)
    assert (model.repository, model.done, model.total) == ("owner/model", weights, weights)
    assert 0 < configs.total < weights
    assert (folder / "unet/config.json").is_file()
    assert capsys.readouterr() == ("", ""), "the library prints nothing"


def test_nobody_is_told_who_does_not_listen_any_more(own_folder, tmp_path, monkeypatch):
    told: list[Download] = []
    with listening(told.append):
        pass
    with fake_hub(own_folder, tmp_path / "cache", monkeypatch):
        find_model("owner/model")
    assert told == []


def lines_of(capsys, moments):
    times = iter(moments)
    show = DownloadLines(clock=lambda: next(times)[0])
    for seconds, done in moments:
        show(Download("owner/model", done * MIB, 5120 * MIB, seconds, ended=done == 5120))
    return capsys.readouterr().err.splitlines()


MOMENTS = [(1, 50), (2, 100), (31, 1550), (60, 3000), (102, 5120)]


def test_off_a_terminal_a_line_comes_every_thirty_seconds_and_at_the_end(capsys):
    assert lines_of(capsys, MOMENTS) == [
        "downloading owner/model: 0.05 of 5.00 GiB, 50 MiB/s, 2 min left",
        "downloading owner/model: 1.51 of 5.00 GiB, 50 MiB/s, 1 min left",
        "downloaded owner/model: 5.00 GiB in 102 s",
    ]


def test_as_json_it_is_an_event_a_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "logs_json", lambda: True)
    first, *_, last = (json.loads(line) for line in lines_of(capsys, MOMENTS))
    assert first == {
        "event": "download", "repository": "owner/model", "bytes": 50 * MIB, "bytes_total": 5120 * MIB,
        "eta_seconds": 101.4, "ended": False,
    }  # fmt: skip
    assert (last["ended"], last["eta_seconds"]) == (True, None)


def test_a_few_configs_are_not_worth_a_line(capsys):
    DownloadLines()(Download("owner/model", 100, 1000, 0.1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["--version"], ["translate", "--help"]])
def test_the_command_line_listens_and_then_no_more(words, capsys):
    from s2st_aug.cli import main
    from s2st_aug.diffusion import downloads

    with pytest.raises(SystemExit):
        main(words)
    assert downloads._listeners == []
    assert not terminal.logs_json()
