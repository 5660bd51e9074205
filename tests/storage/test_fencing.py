"""One writer at a time: who lost the lock writes nothing, a stale lock is taken by one, two gathers double no row."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from object_store import s3_server

from s2st_aug.errors import LockLost, RunFolderError
from s2st_aug.storage import lock as locks
from s2st_aug.storage import shards
from s2st_aug.storage.lock import Fence, RunLock, read_holder
from s2st_aug.storage.run_folder import RunFolder, parquet_bytes
from s2st_aug.storage.shards import gather, list_shards
from s2st_aug.storage.store import open_store
from s2st_aug.storage.verify import verify

NO_PROCESS = 2**22 + 1


def keys(run: RunFolder) -> Counter:
    return Counter((r["scene_id"], r["domain"]) for r in run.read_manifest(["scene_id", "domain"]).to_pylist())


def make_stale(run: RunFolder) -> None:
    """The holder's records as those of a process that is gone: for who looks, the folder is free."""
    for name in ["lock", *run.store.names(".state/epochs")]:
        record = json.loads((run.path / name).read_text())
        (run.path / name).write_text(json.dumps({**record, "pid": NO_PROCESS}))


def test_two_gathers_at_once_double_no_row(made):
    for number in range(4):
        made.commit(number, status="failed" if number == 3 else "ok")
    start = threading.Barrier(2)

    def one(_):
        run = RunFolder(made.run.path)
        start.wait()
        return gather(run)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(one, range(2))) == 4
    assert len(keys(made.run)) == 8 and set(keys(made.run).values()) == {1}
    assert not list(list_shards(made.run.store))


def test_a_gather_that_slept_while_another_worked_takes_what_is_left_only(made, monkeypatch):
    """It has read three batches and is about to write their part; meanwhile another gathers them, and a fourth."""
    for number in (0, 1, 3):
        made.commit(number)
    slept = []

    def sleep(table):
        if not slept:
            slept.append(True)
            gather(RunFolder(made.run.path))
            made.commit(2)
        return parquet_bytes(table)

    monkeypatch.setattr(shards, "parquet_bytes", sleep)
    gather(made.run)
    gather(made.run)
    assert len(keys(made.run)) == 8 and set(keys(made.run).values()) == {1}


def test_a_kill_between_a_part_and_its_failed_rows_loses_none(made, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*arguments):
        raise Killed

    made.commit(0, status="failed")
    made.commit(1)
    monkeypatch.setattr(shards, "merge_failed", killed)
    with pytest.raises(Killed):
        gather(made.run)
    monkeypatch.undo()
    gather(made.run)
    assert Counter(r["status"] for r in made.run.read_manifest(["status"]).to_pylist()) == {"failed": 2, "ok": 2}


def test_who_lost_the_lock_writes_nothing_and_leaves_the_new_holders_lock(made):
    """A driver that slept wakes after its lock was taken: it gathers, writes progress.json, deletes work lists."""
    made.commit(0)
    with ExitStack() as stack:
        old, new = RunFolder(made.run.path), RunFolder(made.run.path)
        stack.enter_context(RunLock(old))
        make_stale(new)
        holder = stack.enter_context(RunLock(new))
        new.store.write_many({".state/pending/00000.parquet": b"the new driver's"})
        before = {name: new.store.read(name) for name in new.store.names("")}
        old.store.guard.__self__._fence._seen = -float("inf")  # a second has passed since it last looked
        for write in (
            lambda: gather(old),
            lambda: old.store.write_many({"progress.json": b"stopped"}),
            lambda: old.store.delete(".state/pending/00000.parquet"),
            lambda: old.store.move("run.json", "x"),
            lambda: old.store.write_new("manifest/part-00000001.parquet", b""),
        ):
            with pytest.raises(LockLost, match="taken by another run"):
                write()
        assert {name: new.store.read(name) for name in new.store.names("")} == before
        assert read_holder(new).token == holder.token
        assert gather(new) == 1
    assert read_holder(new) is None


@pytest.mark.parametrize("error", [RunFolderError("pending/00000.parquet: cannot be read"), FileNotFoundError("rows")])
def test_what_fails_after_the_lock_was_lost_is_the_locks_loss(made, error):
    """A driver that woke could not read the work list that the new one had deleted: code 2, as for a wrong call."""

    def wake():
        make_stale(made.run)
        with RunLock(RunFolder(made.run.path)):
            raise error

    with pytest.raises(LockLost, match="lock was taken by another run"), RunLock(made.run):
        wake()
    with pytest.raises(type(error)), RunLock(made.run):
        raise error  # while the lock is held


def test_an_error_of_the_holder_is_its_own_though_another_run_is_next_at_once(made, monkeypatch):
    lock, successors = RunLock(made.run), ExitStack()
    delete = made.run.store.delete

    def released(name):
        delete(name)
        successors.enter_context(RunLock(RunFolder(made.run.path)))

    def fail():
        with lock:
            monkeypatch.setattr(lock._store, "delete", released)
            raise RunFolderError("pending/00000.parquet: cannot be read")

    with successors, pytest.raises(RunFolderError, match="cannot be read"):
        fail()


def test_a_heartbeat_of_who_lost_the_lock_stops(made, monkeypatch):
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    with RunLock(made.run) as old:
        make_stale(made.run)
        new = RunFolder(made.run.path)
        with RunLock(new) as holder:
            assert old.lost.wait(5)
            assert (holder.epoch, old.epoch) == (2, 1)
            until = time.monotonic() + 5  # its last heartbeat may have gone over the new holder's record
            while read_holder(new).token != holder.token and time.monotonic() < until:
                time.sleep(0.02)
            assert read_holder(new).token == holder.token and not holder.lost.is_set()


def test_a_heartbeat_where_no_rename_over_a_file_is_possible_does_not_lose_the_lock(made, no_replacing, monkeypatch):
    """For an instant the epoch's file is away, and only its spare is there: who looked then saw a lost lock."""
    seen = []
    with RunLock(made.run) as lock:
        rename = Path.rename

        def rename_later(self, target):
            if target.parent.name == "epochs":
                seen.append((target.exists(), Fence(made.run.store, lock.token, 0.0).holds()))
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", rename_later)
        lock._store.write_many({locks._name(lock.epoch): locks._encode(lock._fresh())})
        assert seen == [(False, True)]
    (made.run.path / ".state/epochs").rename(made.run.path / ".state/gone")
    assert not Fence(made.run.store, lock.token, 0.0).holds()


@pytest.mark.parametrize("kind", ["none", "stale", "left by an older version"])
def test_of_many_starts_at_once_one_holds_the_folder(tmp_path, monkeypatch, kind):
    real, seen = locks.is_live, threading.Barrier(4)

    def is_live(holder):  # all find it stale before the first one takes it
        found = real(holder)
        with suppress(threading.BrokenBarrierError):
            seen.wait(0.2)
        return found

    monkeypatch.setattr(locks, "is_live", is_live)
    for turn in range(10):
        seen.reset()
        run = RunFolder(tmp_path / str(turn))
        if kind != "none":
            with RunLock(run):
                record = asdict(replace(read_holder(run), pid=NO_PROCESS))
            if kind != "stale":
                record = {k: v for k, v in record.items() if k not in ("epoch", "released")}
            run.store.write_many({"lock": json.dumps(record).encode()})
        start, tried = threading.Barrier(4), threading.Barrier(4)

        def one(_, run=run, start=start, tried=tried):
            with ExitStack() as stack:
                start.wait()
                try:
                    stack.enter_context(RunLock(RunFolder(run.path)))
                except RunFolderError:
                    return False
                finally:
                    tried.wait()
                return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(one, range(4))) == 1


def test_a_kill_while_the_lock_is_taken_leaves_it_free_for_the_next(made):
    with RunLock(made.run):
        record = asdict(replace(read_holder(made.run), pid=NO_PROCESS, epoch=2))
    made.run.store.write_many({".state/epochs/00000002": json.dumps(record).encode()})  # and no `lock` yet
    with RunLock(made.run) as lock:
        assert lock.epoch == 3
    assert verify(made.run).counts()["foreign"] == 0


@pytest.mark.parametrize("client", ["boto3", "none"])
def test_a_lock_on_an_object_store_is_held_by_one(client, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE_SECONDS", 0.5)
    if client == "none":
        monkeypatch.setattr("s2st_aug.storage.store.conditional_put", lambda uri: None)
    with s3_server(0) as address:
        place = address.format("run")
        assert open_store(place).exclusive == (client == "boto3")
        start, tried = threading.Barrier(3), threading.Barrier(3)

        def one(_):
            with ExitStack() as stack:
                run = RunFolder(place)
                start.wait()
                try:
                    stack.enter_context(RunLock(run))
                except RunFolderError:
                    return False
                finally:
                    tried.wait()
                run.store.write_many({"x": b"1"})
                return True

        with ThreadPoolExecutor(3) as pool:
            assert sum(pool.map(one, range(3))) == 1
        with RunLock(RunFolder(place)) as lock:
            assert lock.epoch == 2


def test_a_put_whose_answer_was_lost_is_the_writers_own():
    """Each seventh request is throttled, each eighth dropped: with or without having been done."""
    with s3_server(7) as address:
        store = open_store(address.format("run"))
        assert all(store.write_new(f"n{i}", b"%d" % i) for i in range(12))
        assert not any(store.write_new(f"n{i}", b"other") for i in range(12))
        assert [store.read(f"n{i}") for i in range(12)] == [b"%d" % i for i in range(12)]


def test_fsspec_stores_that_can_create_do(tmp_path):
    store = open_store("memory://fencing/run")
    assert store.exclusive
    assert (store.write_new("a", b"1"), store.write_new("a", b"2"), store.read("a")) == (True, False, b"1")


@pytest.mark.parametrize("newer", ["lock", ".state/epochs/00000001"])
def test_a_holder_that_ended_between_the_two_files_of_a_heartbeat_is_stale(tmp_path, monkeypatch, newer):
    """The two differed for ever, which was taken for a sign of life: no other machine could take the lock again."""
    run = RunFolder(tmp_path)
    with RunLock(run):
        dead = {**asdict(read_holder(run)), "host": "another", "beat": time.time() - 200}
    for name in ("lock", ".state/epochs/00000001"):
        record = {**dead, "beat": dead["beat"] + 15} if name == newer else dead
        run.store.write_many({name: json.dumps(record).encode()})
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.2)
    with RunLock(run):
        assert read_holder(run).host != "another"
