"""status, verify, rescore, merge and migrate on run folders made by the engine's fake, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_here import run_here
from schema_1 import schema_1_run

from s2st_aug.cli import main
from s2st_aug.cli.augment import print_summary
from s2st_aug.config.hashes import validation_hash
from s2st_aug.engine.attempts import AttemptTracker
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import Options, RunSummary
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.engine.translate import TranslateStage
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.storage.generations import replace_manifest
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import gather
from s2st_aug.testing.datasets import make_config, make_dataset
from s2st_aug.testing.methods import FAKE, RAISES


def call(*words: object) -> int:
    """The exit code of `s2st-aug WORDS`."""
    with pytest.raises(SystemExit) as end:
        main([str(w) for w in words])
    return int(end.value.code or 0)


@pytest.fixture
def config(tmp_path):
    return make_config(make_dataset(tmp_path / "data", 6), cluster={"batch_size": 2})


@pytest.fixture
def run(config, tmp_path) -> RunFolder:
    return run_here(config, tmp_path / "run")


def test_verify_says_that_every_promise_holds(run, capsys):
    assert call("verify", run.place, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["holds"], report["rows"], report["torn"]) == (True, 12, 0)


def test_verify_says_of_how_many_sources_it_could_see_none(run, config, tmp_path, capsys):
    Path(config.dataset.root).rename(tmp_path / "elsewhere")
    assert call("verify", run.place) == 0
    assert f"6 sources not checked: there is no folder {config.dataset.root}" in capsys.readouterr().out
    assert call("verify", run.place, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sources_hashed"], report["sources_unchecked"]) == (0, 6)


def test_the_summary_of_a_run_lists_the_samples_that_failed_and_why(tmp_path, capsys):
    root = make_dataset(tmp_path / "data", 14, magic=dict.fromkeys(range(1, 13), RAISES))
    run = run_here(make_config(root), tmp_path / "run")
    print_summary(RunSummary(run.place, read_snapshot(run)))
    told = capsys.readouterr().out.partition("failed: ")[2].splitlines()
    assert told[0].startswith("images/100k/train/f000001.png in night, rain: ")
    assert sum(line.startswith("failed: ") for line in told) == 9
    assert told[10].startswith("... and 2 more images")


def test_one_run_under_two_names_is_not_merged_with_itself(run, tmp_path, capsys):
    (tmp_path / "again").symlink_to(run.path)
    assert call("merge", run.place, tmp_path / "again", "--out", tmp_path / "merged") == 2
    assert "the same run folder" in capsys.readouterr().err


def test_resuming_with_other_thresholds_says_which_verdicts_stay(config, tmp_path, caplog):
    """run.json, its hash and the rows never speak of different thresholds, and nothing changes in silence."""
    other = config.model_copy(update={"validation": config.validation.model_copy(update={"min_side_px": 14.0})})
    old, new = validation_hash(config.validation), validation_hash(other.validation)
    run = run_here(config, tmp_path / "run", batches=slice(1))
    held = {"half": run, "whole": run_here(config, tmp_path / "whole")}
    run_here(other, run.place)
    assert "4 variants keep the verdicts of other thresholds; `s2st-aug rescore " in caplog.text
    caplog.clear()
    run_here(other, held["whole"].place)
    assert "12 variants keep the verdicts of other thresholds" in caplog.text
    for name, sha256, side, rows in (("half", new, 14.0, {old: 4, new: 8}), ("whole", old, 10.0, {old: 12})):
        info = held[name].run_json()
        assert (info.validation_sha256, info.config["validation"]["min_side_px"]) == (sha256, side)
        assert Counter(held[name].read_manifest(["validation_sha256"])["validation_sha256"].to_pylist()) == rows
    caplog.clear()
    run_here(config, held["whole"].place)
    assert "other thresholds" not in caplog.text


def test_verify_repair_and_resume_mend_a_torn_image(run, config, capsys):
    image = run.path / "images/night/train/f000003.png"
    before = image.read_bytes()
    image.write_bytes(before[:50])
    assert call("verify", run.place) == 3
    assert "torn: images/night/train/f000003.png" in capsys.readouterr().err
    assert call("verify", run.place, "--repair") == 3
    assert "11 of 12" in capsys.readouterr().out
    run_here(config, run.path, batches=slice(0, 0))  # takes up the plan, does nothing
    ready = prepare(with_absolute_root(config), run, Options(), identify(config))
    (left,) = [b for name in ready.pending for b in table_to_batches(pq.read_table(run.path / name))]
    assert sorted(left.todo) == [(), ("night",)]
    CommitStage(ready.context)(ValidateStage(ready.context)(TranslateStage(ready.context, AttemptTracker())(left)))
    gather(run)
    assert image.read_bytes() == before
    assert call("verify", run.place) == 0


def test_verify_of_no_run_folder_is_wrong_usage(tmp_path, capsys):
    assert call("verify", tmp_path / "nothing") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_status_without_progress_json_says_what_is_there(config, tmp_path, capsys):
    """It said that nothing was started, of a folder with rows too."""
    run = run_here(config, tmp_path / "run")
    (run.path / "progress.json").unlink()
    rows = run.read_manifest(["status"]).num_rows
    assert call("status", run.place) == 2
    assert f"no progress.json; found {rows} rows; the same augment command resumes" in capsys.readouterr().err
    shutil.rmtree(run.path / "manifest")
    assert call("status", run.place) == 2
    assert "no progress.json; found 0 rows" in capsys.readouterr().err


def test_status_reads_the_files_alone(config, tmp_path, capsys):
    run_here(config, tmp_path / "half", batches=slice(0, 2))
    (tmp_path / "data").rename(tmp_path / "gone")
    start = time.perf_counter()
    assert call("status", tmp_path / "half", "--json") == 0
    assert time.perf_counter() - start < 5
    report = json.loads(capsys.readouterr().out)
    assert (report["state"], report["done"], report["left"], report["eta_seconds"]) == ("interrupted", 8, 4, None)
    assert call("status", tmp_path / "half") == 0
    assert "interrupted: 8 of 12" in capsys.readouterr().out


def test_rescore_judges_anew_and_keeps_the_old_manifest(run, tmp_path, capsys):
    images = {p: p.read_bytes() for p in run.path.rglob("images/**/*.png")}
    strict = tmp_path / "strict.yaml"
    strict.write_text("validation: {min_strength: 0.99}\n")
    assert call("rescore", run.place, "--config", strict) == 0
    assert set(run.read_manifest()["status"].to_pylist()) == {"rejected"}
    assert run.run_json().generation == 1
    assert list((run.path / "manifest/.old/0").glob("*.parquet"))
    assert call("verify", run.place) == 0
    assert {p: p.read_bytes() for p in images} == images
    strict.write_text("min_strenght: 0.1\n")
    capsys.readouterr()
    assert call("regate", run.place, "--config", strict) == 2
    assert "did you mean 'min_strength'" in capsys.readouterr().err
    strict.write_text("min_strength: 3\n")
    assert call("regate", run.place, "--config", strict) == 2
    assert capsys.readouterr().err.strip().endswith("strict.yaml: min_strength 3 is above max_strength 2.5")


@pytest.mark.parametrize("moves", range(4))
def test_a_rescore_that_is_killed_is_ended_by_the_next_command(run, monkeypatch, moves):
    class Killed(BaseException):
        pass

    done, real = [], type(run.store).move

    def move(store, name, to):
        if len(done) == moves:
            raise Killed
        done.append(name)
        real(store, name, to)

    monkeypatch.setattr(type(run.store), "move", move)
    try:
        replace_manifest(run, lambda rows: rows, {}, "new")
    except Killed:
        monkeypatch.undo()
        from s2st_aug.storage.generations import finish_replacement

        finish_replacement(run)
    assert run.read_manifest().num_rows == 12
    assert run.run_json().validation_sha256 == "new"


def test_merge_joins_two_halves_of_one_plan(config, tmp_path, capsys):
    run_here(config, tmp_path / "a", batches=slice(0, 2))
    run_here(config, tmp_path / "b", batches=slice(1, 3))
    assert call("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both") == 0
    assert call("verify", tmp_path / "both") == 0
    assert RunFolder(tmp_path / "both").read_manifest().num_rows == 12
    assert call("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both") == 2
    other = run_here(config.model_copy(update={"run": config.run.model_copy(update={"rng_key": 5})}), tmp_path / "c")
    assert call("merge", tmp_path / "a", other.place, "--out", tmp_path / "d") == 2
    assert "two plans" in capsys.readouterr().err
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file() and p.name != "lock"}
    for out, held in ((tmp_path / "a/sub", "/a,"), (Path(config.dataset.root) / "merged", config.dataset.root)):
        assert call("merge", tmp_path / "a", tmp_path / "b", "--out", out) == 2
        assert f"lies inside {tmp_path / 'a' if held == '/a,' else held}," in capsys.readouterr().err
        assert not out.exists()
    assert before == {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file() and p.name != "lock"}


def test_migrate_brings_an_older_folder_up_to_date(tmp_path, capsys):
    run = schema_1_run(tmp_path)
    assert call("migrate", run.place) == 0
    assert "schema version 1 is now 2" in capsys.readouterr().out
    assert call("verify", run.place) == 0
    assert call("migrate", run.place) == 0
    assert "is of schema version 2 already" in capsys.readouterr().out
    raw = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**raw, "schema_version": 99}))
    assert call("migrate", run.place) == 2


UNMIGRATED = (
    "verify {run}",
    "verify {run} --repair",
    "rescore {run} --config {strict}",
    "merge {run} {run} --out {new}",
    "export {run} --format bdd100k --out {new}",
    "report {run}",
    "review push {run}",
    "augment {config} --run {run}",
)


@pytest.mark.parametrize("words", UNMIGRATED)
def test_an_older_folder_is_refused_in_one_line_that_names_migrate(words, tmp_path, capsys):
    run = schema_1_run(tmp_path)
    strict, config = tmp_path / "strict.yaml", tmp_path / "config.yaml"
    strict.write_text("min_strength: 0.1\n")
    config.write_text(f"dataset: {{format: bdd100k, root: {tmp_path}/dataset}}\ndomains: [night, rain]\n")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    given = words.format(run=run.place, strict=strict, config=config, new=tmp_path / "new")
    assert call(*given.split()) == 2
    said = capsys.readouterr().err.strip()
    assert f"run `s2st-aug migrate {run.place}`" in said.replace("\n", "")
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_verify_reads_no_sentence(run, capsys):
    """The same report whatever the reasons say: a null measure needs the word in its column, not a sentence."""
    assert call("verify", run.place, "--json") == 0
    before = capsys.readouterr().out
    _rewrite(run, lambda row: {"reasons": ["oom_split", "identity: a lie", "attempt 7"]})
    assert call("verify", run.place, "--json") == 0
    assert capsys.readouterr().out == before
    _rewrite(run, lambda row: {"strength": None})
    assert call("verify", run.place) == 3
    assert "12 unmeasured" in capsys.readouterr().out
    _rewrite(run, lambda row: {"strength": None, "strength_null": "source_in_target", "reasons": []})
    assert call("verify", run.place) == 0


def _rewrite(run, change):
    """Other values in some columns of every row."""
    for name in run.manifest_parts():
        table = pq.read_table(run.path / name)
        rows = [{**row, **change(row)} for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), run.path / name)


def test_a_held_folder_is_refused(run, tmp_path, capsys):
    from s2st_aug.storage.lock import RunLock

    strict = tmp_path / "strict.yaml"
    strict.write_text("min_strength: 0.1\n")
    with RunLock(run):
        assert call("regate", run.place, "--config", strict) == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_a_dry_run_counts_and_finds_bad_labels(config, tmp_path, capsys):
    root = tmp_path / "data"
    path = tmp_path / "dry.yaml"
    path.write_text(f"dataset: {{format: bdd100k, root: {root}}}\ndomains: [night, rain]\n")
    assert call("augment", path, "--dry-run", "--method", FAKE, "--run", tmp_path / "never") == 0
    assert "12 in 2 domains" in capsys.readouterr().out
    labels = root / "labels/det_20/det_train.json"
    labels.write_text(labels.read_text().replace('"x1": 5.0', '"x1": "five"', 1))
    assert call("augment", path, "--dry-run=full", "--method", FAKE, "--run", tmp_path / "never") == 1
    assert "train/f000000" in capsys.readouterr().err
    (root / "images/100k/train/f000001.png").unlink()
    assert call("augment", path, "--dry-run", "--method", FAKE) == 0
    assert "5 (1 more without an image, left out)" in capsys.readouterr().out
    assert not (tmp_path / "never").exists()
