"""Batches become the manifest once, whatever is killed in between."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.storage import shards
from s2st_aug.storage.plan import plan_files
from s2st_aug.storage.shards import commit_shard, gather, list_shards


class Killed(BaseException):
    """Stands for SIGKILL: nothing below catches it."""


def keys(made) -> list[tuple[str, str]]:
    return sorted((r["scene_id"], r["domain"]) for r in made.run.read_manifest().to_pylist())


def test_gathering_is_complete_and_leaves_no_shard(finished):
    assert len(keys(finished)) == len(set(keys(finished))) == 8
    assert not list(list_shards(finished.run.store))
    assert finished.run.read_manifest().schema.equals(MANIFEST_SCHEMA)


def test_a_part_of_the_manifest_says_itself_from_which_size_a_verdict_is_telling(finished, tmp_path):
    (part,) = (tmp_path / "run/manifest").glob("part-*.parquet")
    assert pq.read_schema(part).metadata[b"s2st_aug.verdicts_telling_from_px"] == b"16"


@pytest.mark.parametrize("deletes", [0, 1, 3])
def test_a_kill_between_the_part_and_the_deletes_counts_nothing_twice(made, monkeypatch, deletes):
    for number in range(4):
        made.commit(number)
    real, calls = type(made.run.store).delete, []

    def delete(store, name):
        if len(calls) == deletes:
            raise Killed
        calls.append(name)
        real(store, name)

    monkeypatch.setattr(type(made.run.store), "delete", delete)
    with pytest.raises(Killed):
        gather(made.run)
    monkeypatch.undo()
    gather(made.run)
    assert len(keys(made)) == len(set(keys(made))) == 8


def test_a_batch_is_committed_once(made):
    shard = made.commit(0)
    assert not commit_shard(made.run.store, shard, MANIFEST_SCHEMA.empty_table())
    gather(made.run)
    assert len(keys(made)) == 2


def test_a_failed_row_is_replaced_by_its_retry(made):
    made.commit(0, status="failed")
    made.commit(1)
    gather(made.run)
    assert {r["status"] for r in made.run.read_manifest().to_pylist()} == {"ok", "failed"}
    made.commit(0, status="ok", attempt=2)
    gather(made.run)
    assert [r["status"] for r in made.run.read_manifest().to_pylist()] == ["ok"] * 4


def test_groups_stay_small(made, monkeypatch):
    monkeypatch.setattr(shards, "PART_ROWS", 3)
    for number in range(4):
        made.commit(number)
    gather(made.run)
    assert len(made.run.manifest_parts()) == 2
    assert len(keys(made)) == 8


def gather_until_the_failed_rows(made, monkeypatch):
    """A kill, or a full disk, after the part and before `manifest/failed.parquet`; then the next start's gather."""

    def killed(*rows):
        raise Killed

    monkeypatch.setattr(shards, "merge_failed", killed)
    with pytest.raises(Killed):
        gather(made.run)
    monkeypatch.undo()
    gather(made.run)


def test_a_kill_before_a_failed_row_gives_way_to_its_retry_leaves_one_row(made, monkeypatch):
    """Both stood in the manifest: "2 duplicate rows", exit code 4 at every start."""
    made.commit(0, status="failed")
    made.commit(1)
    gather(made.run)
    made.commit(0, status="ok", attempt=2)
    gather_until_the_failed_rows(made, monkeypatch)
    assert [r["status"] for r in made.run.read_manifest().to_pylist()] == ["ok"] * 4


def test_a_kill_before_a_second_failure_is_written_down_counts_it(made, monkeypatch):
    """The row said one attempt, so the next was the second again, whose name a part had taken: its rows were lost."""
    made.commit(0, status="failed")
    gather(made.run)
    made.commit(0, status="failed", attempt=2)
    gather_until_the_failed_rows(made, monkeypatch)
    assert {r["attempts"] for r in made.run.read_manifest().to_pylist()} == {2}
    made.commit(0, status="ok", attempt=3)
    gather(made.run)
    assert [r["status"] for r in made.run.read_manifest().to_pylist()] == ["ok"] * 2


@pytest.mark.parametrize("name", [".nfs0000000012ab", "._ab.1.parquet", "note.txt", "ab.x.parquet"])
def test_files_of_others_beside_committed_batches_end_nothing(made, name):
    """NFS keeps a deleted file that is still open under a name of its own; macOS copies put one beside each."""
    shard = made.commit(0)
    (made.run.path / shard.name).with_name(name).write_bytes(b"")
    assert gather(made.run) == 1


def test_files_of_others_in_the_plan_are_no_plan(finished):
    """The copy that macOS puts beside a file came first; the last plan file was deleted as one too many."""
    before = plan_files(finished.run)
    (finished.run.path / before[0]).with_name("._00000.parquet").write_bytes(b"")
    assert plan_files(finished.run) == before
