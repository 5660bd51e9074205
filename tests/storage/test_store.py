"""Writes are whole or absent, names cannot leave the folder, secrets are not shown, one run holds a folder."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2st_aug.errors import RunFolderError, Stopped
from s2st_aug.storage import lock as locks
from s2st_aug.storage.lock import RunLock, is_live, read_holder
from s2st_aug.storage.naming import image_name, safe_part
from s2st_aug.storage.progress import Progress, Snapshot, read_snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import LocalStore, mask_uri


@given(st.text(max_size=300), st.text(max_size=20))
def test_no_name_leaves_its_folder(scene_id, domain):
    parts = Path(image_name(domain, scene_id, "png")).parts
    assert parts[0] == "images"
    assert not {"..", ".", ""} & set(parts)
    assert all(len(p.encode()) < 255 and not p.startswith(".") for p in parts)


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_names_stay_two(one, other):
    assert (safe_part(one) == safe_part(other)) == (one == other)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.write_many({"a/b": b"old"})

    def no_room(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(Stopped, match="disk is full"):
        store.write_many({"a/b": b"new", "c": b"1"})
    assert store.read("a/b") == b"old"
    assert sorted(store.names("")) == ["a/b"]


def test_the_users_umask_is_kept(tmp_path):
    before = os.umask(0o027)
    try:
        LocalStore(tmp_path).write_many({"x/y": b"1"})
    finally:
        os.umask(before)
    assert (tmp_path / "x/y").stat().st_mode & 0o777 == 0o640


def test_a_second_writer_is_refused_by_the_file_system(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    assert store.write_new("mark", b"1")
    assert not store.write_new("mark", b"2")

    def no_links(a, b):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    assert store.write_new("other", b"1")
    assert not store.write_new("other", b"2")
    assert (store.read("mark"), store.read("other")) == (b"1", b"1")


def test_passing_storage_errors_are_tried_again(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"1")
    tries = iter([OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "io"), None])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    real = Path.read_bytes

    def flaky(path):
        error = next(tries)
        if error:
            raise error
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    assert LocalStore(tmp_path).read("x") == b"1"


@pytest.mark.parametrize(
    "place",
    ["s3://key:pa55word@bucket/run", "s3://bucket/run?secret_key=pa55word&region=eu", "gs://b/r?access_token=pa55word"],
)
def test_secrets_are_masked(place):
    assert "pa55word" not in mask_uri(place)
    assert "bucket/run" in mask_uri(place) or "b/r" in mask_uri(place)


def test_one_run_holds_a_folder(tmp_path):
    run = RunFolder(tmp_path)
    with RunLock(run), pytest.raises(RunFolderError, match=f"process {os.getpid()}"), RunLock(run):
        pass
    assert read_holder(run) is None


def test_a_dead_process_or_a_silent_machine_is_stale(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    with RunLock(run):
        me = read_holder(run)
    fields = {name: getattr(me, name) for name in me.__slots__}
    assert is_live(locks.LockHolder(**{**fields}))
    assert not is_live(locks.LockHolder(**{**fields, "pid": 2**22 + 1}))
    elsewhere = {**fields, "host": "another"}
    assert is_live(locks.LockHolder(**{**elsewhere, "beat": time.time() - 100}))
    stale = {**elsewhere, "beat": time.time() - 200}
    assert not is_live(locks.LockHolder(**stale))
    run.store.write_many({"lock": json.dumps(stale).encode()})
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.2)
    with RunLock(run):
        assert read_holder(run).host != "another"


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_holder_whose_clock_jumped_is_not_robbed_while_it_gives_signs(tmp_path, monkeypatch, jump):
    """Two machines whose clocks are an hour apart: the record looks stale, or of the future, and yet it beats."""
    run = RunFolder(tmp_path)
    with RunLock(run):
        me = read_holder(run)
    elsewhere = {**{name: getattr(me, name) for name in me.__slots__}, "host": "another"}
    monkeypatch.setattr(locks, "WATCH_SECONDS", 30.0)
    beating, stop = threading.Event(), threading.Event()

    def beat():
        while not stop.wait(0.05):
            run.store.write_many({"lock": json.dumps({**elsewhere, "beat": time.time() + jump}).encode()})
            beating.set()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert beating.wait(60)
        with pytest.raises(RunFolderError, match="another"), RunLock(run):
            pass
    finally:
        stop.set()
        thread.join()
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.2)
    with RunLock(run):  # it has fallen silent
        assert read_holder(run).host != "another"


def test_progress_does_not_mind_a_clock_that_jumps(tmp_path, monkeypatch):
    """Rate, time left and busy time come from the monotonic clock; the time of the last sign is the wall clock's."""
    progress = Progress(RunFolder(tmp_path), Snapshot("running", 100, 0, 0, 0, time.time(), time.time(), 0.0))
    for jump in (0, -7200, 7200):
        monkeypatch.setattr(time, "time", lambda jump=jump: 1e9 + jump)
        time.sleep(0.01)
        progress.add(["ok"], [[]], "a")
        snapshot = progress.snapshot("running")
        assert snapshot.rate > 0
        assert 0 < snapshot.eta_seconds < 60
        assert 0 < snapshot.busy_seconds < 60
    assert snapshot.done == 3


def test_progress_is_flushed_a_few_times_a_second_and_always_at_the_end(tmp_path):
    run = RunFolder(tmp_path)
    progress = Progress(run, Snapshot("running", 100, 0, 0, 0, time.time(), time.time(), 0.0))
    progress.write("running")
    for _ in range(5):
        progress.add(["ok"], [[]], "a")
        assert progress.tick().done <= 5
    assert read_snapshot(run).done < 5
    assert progress.write("finished").done == read_snapshot(run).done == 5
    time.sleep(0.3)
    progress.add(["ok"], [[]], "a")
    progress.tick()
    assert read_snapshot(run).done == 6


def test_a_start_with_nothing_to_do_adds_no_time(tmp_path):
    """Each rerun of a finished run added what it took to look: its price per variant grew."""
    told = {"updated": time.time(), "started": time.time(), "busy_seconds": 10.0}
    progress = Progress(RunFolder(tmp_path), Snapshot("running", 4, 3, 0, 1, **told))
    time.sleep(0.01)
    assert progress.write("finished").busy_seconds == 10.0
    assert Progress(RunFolder(tmp_path), Snapshot("running", 4, 3, 0, 0, **told)).write("running").busy_seconds > 10.0


def test_no_rename_over_a_file_is_needed(tmp_path, no_replacing):
    store = LocalStore(tmp_path)
    store.write_many({"run.json": b"1", "a/b": b"1"})
    store.write_many({"run.json": b"2", "a/b": b"2"})
    assert (store.read("run.json"), store.read("a/b")) == (b"2", b"2")
    assert sorted(store.names("")) == ["a/b", "run.json"]


@pytest.mark.parametrize("step", ["unlink", "rename"])
def test_a_kill_between_taking_the_old_file_away_and_placing_the_new_one_loses_nothing(
    tmp_path, no_replacing, monkeypatch, step
):
    class Killed(BaseException):
        pass

    store = LocalStore(tmp_path)
    store.write_many({"run.json": b"1"})
    real = getattr(Path, step)

    def killed(self, *arguments, **named):
        if self == tmp_path / "run.json" or (step == "rename" and arguments and arguments[0] == tmp_path / "run.json"):
            raise Killed
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, step, killed)
    with pytest.raises(Killed):
        store.write_many({"run.json": b"2"})
    monkeypatch.setattr(Path, step, real)
    assert store.read("run.json") in (b"1", b"2")
    assert store.size("run.json") == 1
    store.restore_spares()
    assert store.read("run.json") in (b"1", b"2")
    assert not list(store.names(".state/spare"))


def test_passing_errors_of_writes_are_tried_again(tmp_path, monkeypatch):
    tries = iter([OSError(errno.EIO, "io"), OSError(errno.ESTALE, "stale"), None, None])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    real = os.fsync

    def flaky(fd):
        error = next(tries, None)
        if error:
            raise error
        real(fd)

    monkeypatch.setattr(os, "fsync", flaky)
    LocalStore(tmp_path).write_many({"x": b"1"})
    assert LocalStore(tmp_path).read("x") == b"1"
    assert not list(LocalStore(tmp_path).names(".state/tmp"))
