from __future__ import annotations

import pytest

from s2st_aug.cli import main
from s2st_aug.cli.report import next_commands
from s2st_aug.export import own_format
from s2st_aug.formats import load_card
from s2st_aug.records.manifest import SCHEMA_VERSION
from s2st_aug.storage import RunFolder
from s2st_aug.storage.run_folder import RunInfo
from s2st_aug.testing.reviewed_runs import PLAN
from s2st_aug.testing.runs import write_run


def called(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_export_says_what_it_wrote(tmp_path, native, capsys):
    root, split = native("bdd100k")
    write_run(tmp_path / "run", load_card("bdd100k"), root, split)
    assert (
        called(tmp_path / "run", "--format", "kitti", "--out", tmp_path / "out", "--link", "hard", "--mix", "0.5") == 0
    )
    said = capsys.readouterr().out
    assert "1 real and 1 synthetic images in kitti form" in said
    assert "loss_report.json" in said
    assert (tmp_path / "out/s2st_aug.lock.json").is_file()


@pytest.mark.parametrize(("card", "form"), [("bdd100k", "bdd100k"), ("coco", "coco"), ("gone.yaml", "coco")])
def test_the_next_command_that_is_proposed_exports_the_datasets_own_format(tmp_path, card, form):
    run = RunFolder(tmp_path / "run")
    config = {"dataset": {"format": card}}
    run.write_run_json(RunInfo(SCHEMA_VERSION, "0", PLAN, "b" * 64, "fake", "c" * 64, str(tmp_path), config))
    assert own_format(run) == form
    assert f"--format {form} --out" in next_commands(run.path)[-1][0]


@pytest.mark.parametrize(
    ("more", "clue"),
    [
        (["--format", "pascal"], "pascal"),
        (["--format", "kity"], "did you mean 'kitti'"),
        (["--format", "coco", "--unjudged", "void"], "is not one of 'ignore', 'train', 'train-all'"),
        (["--format", "coco", "--unjudged", "train", "--unread", "void"], "contradict one another"),
        (["--format", "coco", "--mix", "1.5"], "from 0 to 1"),
        (["--format", "coco", "--accepted-only"], "nothing to export"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path, native, capsys, more, clue):
    root, split = native("bdd100k")
    write_run(tmp_path / "run", load_card("bdd100k"), root, split)
    assert called(tmp_path / "run", "--out", tmp_path / "out", *more) == 2
    said = capsys.readouterr().err
    assert clue in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--unjudged", "train"], ["--unread", "train"]])
def test_both_spellings_leave_unjudged_labels_in_training(tmp_path, native, words):
    root, split = native("bdd100k")
    write_run(tmp_path / "run", load_card("bdd100k"), root, split, verdicts=lambda scene, item: "ignore")
    assert called(tmp_path / "run", "--format", "bdd100k", "--out", tmp_path / "out", *words) == 0
    assert '"ignored": true' not in (tmp_path / "out/labels/det_20/det_train.json").read_text()


def test_no_run_folder_is_exit_2(tmp_path):
    assert called(tmp_path, "--format", "coco", "--out", tmp_path / "out") == 2
