"""`verify` finds each way in which a run folder can be wrong, and `repair` makes it resumable."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import rows_to_table
from s2st_aug.storage import repair as repairing
from s2st_aug.storage.repair import repair, set_rows_aside
from s2st_aug.storage.run_folder import FAILED_PART
from s2st_aug.storage.shards import Shard, commit_shard, gather, write_part
from s2st_aug.storage.verify import verify


def image_of(made, name="images/night/train/s1.png"):
    path = made.run.path / name
    assert path.is_file()
    return path


def finished_part(made):
    return made.run.path / made.run.manifest_parts()[0]


def rows_of(made) -> pa.Table:
    return made.run.read_manifest()


def broken(made, how: str) -> None:
    """One fault of each kind."""
    if how == "torn":
        image_of(made).write_bytes(image_of(made).read_bytes()[:-5])
    elif how == "torn part":
        part = finished_part(made)
        part.write_bytes(part.read_bytes()[:-20])
    elif how == "torn decisions":
        (made.run.path / "decisions").mkdir()
        (made.run.path / "decisions/a.parquet").write_bytes(b"half")
    elif how == "missing":
        image_of(made).unlink()
    elif how == "extra":
        (made.run.path / "images/night/train/stranger.png").write_bytes(b"x")
    elif how == "doubled":
        write_part(made.run, rows_of(made).slice(0, 1))
    elif how == "foreign file":
        (made.run.path / "notes.txt").write_text("mine")
    elif how == "foreign row":
        rows = rows_of(made)
        strange = rows.slice(0, 1).set_column(1, rows.schema.field(1), pa.array(["train/never planned"]))
        write_part(made.run, strange)
    elif how == "left":
        (made.run.path / ".state/tmp").mkdir(parents=True, exist_ok=True)
        (made.run.path / ".state/tmp/abc").write_bytes(b"half")
    elif how == "changed":
        (made.run.dataset_root() / "s2.png").write_bytes(b"another photo")


FAULTS = [
    "torn",
    "torn part",
    "torn decisions",
    "missing",
    "extra",
    "doubled",
    "foreign file",
    "foreign row",
    "left",
    "changed",
]


def test_a_finished_run_holds(finished):
    report = verify(finished.run)
    assert report.holds
    assert (report.planned, report.rows, report.images_hashed, report.sources_hashed) == (8, 8, 8, 4)


@pytest.mark.parametrize("how", FAULTS)
def test_every_fault_is_named_by_its_kind(finished, how):
    broken(finished, how)
    report = verify(finished.run)
    assert not report.holds
    assert report.counts()[how.split()[0]] >= 1


@pytest.mark.parametrize("how", [f for f in FAULTS if f != "changed"])
def test_after_repair_only_unfinished_work_is_left(finished, how):
    broken(finished, how)
    assert repair(finished.run, verify(finished.run)) >= 1
    report = verify(finished.run)
    assert not report.findings
    for number in range(4):  # what resuming does
        if report.unfinished:
            finished.commit(number, attempt=2)
    if report.unfinished:
        gather(finished.run)
        keys = {(r["scene_id"], r["domain"]) for r in rows_of(finished).to_pylist()}
        assert len(keys) == 8
    assert list((finished.run.path / "quarantine").rglob("*"))


def test_a_failed_row_that_is_repaired_can_be_committed_under_its_old_name(made):
    for number in range(4):
        made.commit(number, status="failed" if number == 1 else "ok")
    gather(made.run)
    set_rows_aside(made.run, {"train/s1\tnight", "train/s1\train"})
    made.commit(1)
    gather(made.run)
    assert verify(made.run).holds


def test_a_kill_while_rows_are_set_aside_leaves_none_that_cannot_be_made_again(made, monkeypatch):
    """The failed row was gone while a part still claimed its batch: what was committed under that name was dropped."""
    rows = [made.row(0, "night", "failed"), made.row(0, "rain")]
    shard = Shard(made.batches[0].key, 1)
    made.run.store.write_many({rows[1].image: made.pixels(0, "rain")})
    commit_shard(made.run.store, shard, rows_to_table(rows))
    gather(made.run)
    rewrite = repairing._rewrite

    def killed(run, part, rows):
        rewrite(run, part, rows)
        if part == FAILED_PART:
            raise KeyboardInterrupt

    monkeypatch.setattr(repairing, "_rewrite", killed)
    with pytest.raises(KeyboardInterrupt):
        set_rows_aside(made.run, {"train/s0\tnight", "train/s0\train"})
    monkeypatch.undo()
    made.run.store.write_many({rows[1].image.replace("rain", "night"): made.pixels(0, "night")})
    commit_shard(made.run.store, shard, rows_to_table([made.row(0, "night")]))
    gather(made.run)
    assert sorted(r["domain"] for r in rows_of(made).to_pylist()) == ["night", "rain"]


def test_an_unfinished_run_says_how_much_is_there(made):
    made.commit(0)
    gather(made.run)
    report = verify(made.run)
    assert (report.holds, report.unfinished, report.planned) == (False, 6, 8)


def test_a_torn_manifest_part_is_one_clear_line_where_it_is_needed(finished):
    broken(finished, "torn part")
    with pytest.raises(RunFolderError, match=r"cannot be read .*--repair` moves it to quarantine/"):
        finished.run.read_manifest()


def test_a_row_cannot_point_outside(finished):
    rows = rows_of(finished)
    index = rows.schema.get_field_index("image")
    names = ["../../etc/passwd", *rows["image"].to_pylist()[1:]]
    part = finished.run.path / finished.run.manifest_parts()[0]
    pq.write_table(rows.set_column(index, rows.schema.field(index), pa.array(names)), part)
    report = verify(finished.run)
    assert any("outside" in f.what for f in report.findings)
    with pytest.raises(RunFolderError, match="outside"):
        finished.run.image_file("../../etc/passwd")


def test_a_moved_run_folder_still_holds(finished, tmp_path):
    moved = tmp_path / "elsewhere"
    finished.run.path.rename(moved)
    assert verify(type(finished.run)(moved)).holds


def test_a_folder_that_was_copied_without_its_plan_says_so_and_keeps_its_rows_and_images(finished):
    shutil.rmtree(finished.run.path / ".state/plan")
    report = verify(finished.run)
    assert not report.holds and [f.kind for f in report.findings] == ["missing"]
    assert "copied without `.state`" in report.findings[0].what
    assert repair(finished.run, report) == 0
    assert verify(finished.run).rows == report.rows > 0
    assert not (finished.run.path / "quarantine").exists()
