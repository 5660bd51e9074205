"""A sick worker is not a bad sample: its batch goes back uncounted, its place is avoided; what a worker must see."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from s2st_aug.cli.progress import note_of
from s2st_aug.engine import commit as commits
from s2st_aug.engine import finish, proof, translate
from s2st_aug.engine.attempts import AVOIDED, DRAINING, AttemptTracker, Seat
from s2st_aug.engine.commit import CommitResult, CommitStage
from s2st_aug.engine.context import Sealed, Witness, identify
from s2st_aug.engine.drain import Drain
from s2st_aug.engine.driver import Driver
from s2st_aug.engine.engine import elsewhere
from s2st_aug.engine.finish import FinishStage
from s2st_aug.engine.health import Health
from s2st_aug.engine.options import PLAIN_START, Options
from s2st_aug.engine.overseer import Overseer
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.engine.translate import TranslateStage
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.engine.worker_log import log_to_run
from s2st_aug.errors import WorkerFault
from s2st_aug.images import sha256_file
from s2st_aug.storage import progress as progresses
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.progress import Progress, Snapshot, read_snapshot, report_of
from s2st_aug.storage.run_folder import RunFolder, read_part
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import LocalStore
from s2st_aug.testing import methods as fakes
from s2st_aug.testing.datasets import make_config, make_dataset

ILL = "S2ST_FAKE_ILL"


class Started:
    """A run of six scenes as its driver has prepared it, under its lock; workers of it at any place."""

    def __init__(self, tmp_path, lock, folder, magic=None, batch_size=2):
        root = make_dataset(tmp_path / "data", 6, magic=magic)
        config = with_absolute_root(make_config(root, cluster={"batch_size": batch_size, "share_seconds": 0.1}))
        self.folder, self.root = folder, root
        ready = prepare(config, folder, PLAIN_START, identify(config), place=str(folder.path), lock=lock)
        self.context, self.tracker = ready.context, AttemptTracker()
        self.batches = [b for name in ready.pending for b in table_to_batches(read_part(folder.store, name, None))]

    def worker(self, place="a", context=None):
        context = context or self.context
        seat = Seat(f"{place}:1", place)
        return TranslateStage(context, self.tracker, seat=seat)

    def finish(self, translated):
        result = CommitStage(self.context)(ValidateStage(self.context)(translated))
        self.tracker.end([result.key])
        return result

    def rows(self):
        gather(self.folder)
        return {(r["scene_id"], r["domain"]): r for r in self.folder.read_manifest().to_pylist()}


@pytest.fixture
def started(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with RunLock(folder) as lock:
        yield lambda **changes: Started(tmp_path, lock, folder, **changes)


@pytest.mark.parametrize("ill", ["device", "load", "raise"])
def test_what_fails_outside_of_one_sample_is_the_workers(started, monkeypatch, ill):
    """It took 164 of 320 rows and failed 156 of them."""
    run = started()
    sick, well = run.worker("sick"), run.worker("well")
    monkeypatch.setenv(ILL, ill)
    back = sick(run.batches[0])
    assert back.given_back and back.fault and sick.retire_reason
    assert back.certain == (ill != "device")
    monkeypatch.delenv(ILL)
    for batch in run.batches:
        run.finish(well(batch))
    rows = run.rows()
    assert len(rows) == 12
    assert {(r["status"], r["attempts"]) for r in rows.values()} == {("ok", 1)}


def test_checks_that_fail_on_whatever_they_are_given_are_the_workers(started, monkeypatch):
    """A detector whose runtime was gone on one node failed every row that came to it."""
    run = started()
    done = run.worker()(run.batches[0])
    stage = FinishStage(run.context, run.tracker, seat=Seat("a:1", "a (finishing)"))
    with monkeypatch.context() as ill:
        ill.setenv(ILL, "judge")
        back = stage(done)
    assert back.given_back and stage.retire_reason and not list(run.folder.store.names(".state/rows"))
    assert back.fault == (
        "the checks fail on a blank image too: RuntimeError: the detector's runtime is gone; "
        "first error: RuntimeError: the detector's runtime is gone"
    )

    def judge(source, *rest):
        if source.any():
            raise ValueError("this photo makes the checks raise")

    one = ValidateStage(run.context)
    one._judge = judge
    assert {r.reasons[0] for r in one(done).rows} == {"ValueError: this photo makes the checks raise"}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_bad_sample_is_not_the_workers(started, batch_size):
    run = started(magic={1: fakes.RAISES, 4: fakes.RAISES, 5: fakes.RAISES}, batch_size=batch_size)
    worker = run.worker()
    done = [worker(batch) for batch in run.batches]
    assert not worker.retire_reason and not any(d.given_back for d in done)
    for translated in done:
        run.finish(translated)
    assert sum(r["status"] == "failed" for r in run.rows().values()) == 6


def test_a_photo_that_breaks_one_device_after_another_is_found(started, monkeypatch):
    """Each worker that tries it is replaced; the others' rows are untouched, and no place is avoided for it."""
    run, health = started(magic={3: fakes.ASSERTS}), Health()
    monkeypatch.setenv(ILL, "")
    for turn in range(8):
        left = [b for b in run.batches if not list(run.folder.store.names(f".state/rows/{b.key[:2]}"))]
        for batch in left:
            os.environ[ILL] = ""  # a new process
            worker = run.worker("ab"[turn % 2])
            done = worker(batch)
            if done.given_back:
                assert not health.fault(done.place, batch.key, done.fault, certain=done.certain)
            else:
                run.finish(done)
    rows = run.rows()
    assert len(rows) == 12
    assert {k[0] for k, r in rows.items() if r["status"] == "failed"} == {"train/f000003"}
    assert rows["train/f000003", "night"]["failure"] == "lost_worker"


def test_a_worker_without_the_drivers_run_folder_writes_nothing(started, tmp_path):
    """A node without the share makes a folder of its own at that path: `finished`, and the rows are nowhere."""
    run = started()
    elsewhere = replace(run.context, run=str(tmp_path / "not mounted"))
    back = run.worker("bare", elsewhere)(run.batches[0])
    assert back.given_back and "not the driver's run folder" in back.fault
    done = run.worker("well")(run.batches[0])
    with pytest.raises(WorkerFault, match="not the driver's run folder"):
        CommitStage(elsewhere)(ValidateStage(elsewhere)(done))
    assert not (tmp_path / "not mounted").exists()


def test_a_worker_of_a_driver_that_lost_the_lock_writes_nothing(started, monkeypatch):
    run = started()
    done = run.worker()(run.batches[0])
    other = replace(run.context, witness=Witness("another start's", run.context.witness.files))
    with pytest.raises(WorkerFault, match="another run took its lock"):
        CommitStage(other)(ValidateStage(other)(done))
    assert not list(run.folder.store.names(".state/rows"))


@pytest.mark.parametrize("when", ["before", "while"])
def test_rows_that_went_where_a_lost_share_had_been_are_not_committed(started, tmp_path, monkeypatch, when):
    """A mount goes just after it was seen: twelve rows went into the empty folder below it, and were told as done."""
    run = started()
    commit, judge, share = CommitStage(run.context), ValidateStage(run.context), run.folder.path
    first, second, third = (judge(run.worker()(batch)) for batch in run.batches)
    assert commit(first).statuses

    def lose_share(*given):
        share.rename(tmp_path / "unmounted")
        share.mkdir()
        return placing(*given) if given else None

    placing = commits.place_images
    if when == "while":
        monkeypatch.setattr(commits, "place_images", lose_share)
    else:
        lose_share()
    with pytest.raises(WorkerFault, match="not the driver's run folder"):
        commit(second)
    monkeypatch.undo()
    assert when == "while" or not list(share.iterdir())
    shutil.rmtree(share)
    (tmp_path / "unmounted").rename(share)
    assert commit(second).statuses and commit(third).statuses
    assert len(run.rows()) == 12


def test_a_run_folder_that_cannot_be_looked_at_is_the_workers(started, monkeypatch):
    run = started()
    stage = FinishStage(run.context, run.tracker, seat=Seat("a:1", "a (finishing)"))
    done = [run.worker()(batch) for batch in run.batches[:2]]
    assert stage(done[0]).statuses

    def names(*given):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(LocalStore, "names", names)
    for back in (stage(done[1]), run.worker()(run.batches[2])):
        assert back.given_back and "Stale file handle" in back.fault


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_a_worker_whose_storage_fails_for_good_gives_its_batch_back(started, monkeypatch, number):
    """A share that one node sees read-only, or not at all, is that node's: the run goes on elsewhere."""
    run = started()
    validated = ValidateStage(run.context)(run.worker()(run.batches[0]))

    def fsync(fd):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(WorkerFault, match="storage fails"):
        CommitStage(run.context)(validated)
    monkeypatch.undo()
    assert CommitStage(run.context)(validated).statuses == ["ok"] * 4


def test_a_worker_without_the_dataset_is_not_absent_images(started, tmp_path, monkeypatch):
    run = started()
    dataset = run.context.config.dataset.model_copy(update={"root": str(tmp_path / "empty")})
    bare = replace(run.context, config=run.context.config.model_copy(update={"dataset": dataset}))
    back = run.worker("bare", bare)(run.batches[0])
    assert back.given_back and "not the driver's dataset" in back.fault
    worker = run.worker()
    assert not worker(run.batches[0]).given_back
    shutil.move(run.root, tmp_path / "unmounted")
    back = worker(run.batches[1])
    assert back.given_back and "this node no longer sees the dataset" in back.fault
    shutil.move(tmp_path / "unmounted", run.root)
    (run.root / "images/100k/train/f000004.png").unlink()  # one image alone is a bad sample
    assert not run.worker()(run.batches[2]).given_back


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"model_sha256": "another"}, "the model"),
        ({"profiles": {"night": "another", "rain": "another"}}, "the profiles"),
        ({"settings": {"references": ["another"]}}, "method.references"),
        ({"version": "another"}, "the method's version"),
        (None, "the checks or their detector"),
    ],
)
def test_a_worker_with_other_files_is_refused(started, part, said):
    """Whatever decides a pixel or a verdict: pictures, references and detectors too, not the model alone."""
    run = started()
    identity = replace(run.context.identity, **part) if part else run.context.identity
    other = replace(run.context, identity=identity, **({} if part else {"validation_sha256": "another"}))
    back = run.worker("other", other)(run.batches[0])
    assert back.given_back and said in back.fault and "differs between this node and the driver: " in back.fault


class Places(fakes.FakeSettings):
    plain: str
    hashed: str


class Placed(fakes.FakeMethod):
    """Names a file and hashes another, the two ways in which a method may tell of its files."""

    settings, files = Places, ("plain", "hashed")

    def identify(self, config):
        known = super().identify(config)
        return replace(known, settings={**known.settings, "hashed": sha256_file(Path(config.settings.hashed))})


def test_where_a_methods_file_lies_may_differ_and_what_it_holds_may_not(started, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "find_method", lambda name: Placed())
    run, file = started(), tmp_path / "file"
    file.write_bytes(b"one")
    method = replace(run.context.method, settings=Places(plain=str(file), hashed=str(file)))
    there = Placed().identify(method)
    there = replace(there, settings={**there.settings, "plain": "file"})  # as the driver's user wrote it
    context = replace(run.context, method=method, identity=there)
    proof.Proof(context).show()
    file.write_bytes(b"another")
    with pytest.raises(WorkerFault, match=r"driver: method\.hashed$"):
        proof.Proof(context).show()


def test_a_place_is_avoided_after_three_faults_with_nothing_done_between(monkeypatch):
    health = Health()
    assert [health.fault("a", "k", "why", certain=True) for _ in range(2)] == [False, False]
    health.good("a")
    assert [health.fault("a", "k", "why", certain=True) for _ in range(3)] == [False, False, True]
    assert [health.fault("b", "one batch", "why", certain=False) for _ in range(9)] == [False] * 9
    assert not health.hopeless(["a", "b"]) and not health.hopeless([])
    assert health.hopeless(["a"]).startswith("no healthy worker is left: 1 of 1 failed, last on b: why")


def test_workers_at_a_place_that_is_avoided_begin_nothing(started, monkeypatch):
    monkeypatch.setattr(translate, "AVOIDED_SECONDS", 0.01)
    run = started()
    run.tracker.avoid(["a"])
    assert run.worker("a")(run.batches[0]).fault == "this node or GPU gets no more work"
    assert not run.worker("b")(run.batches[0]).given_back
    assert run.tracker.begin("x", Seat("a:1", "a")) == AVOIDED
    run.tracker.enter(Seat("b:1", "b"))
    run.tracker.enter(Seat("c:1", "c"))
    run.tracker.give_back("y", "b")
    assert run.tracker.begin("y", Seat("b:1", "b")) == AVOIDED  # it failed there, and c is left
    assert run.tracker.begin("y", Seat("c:1", "c")) == 1
    run.tracker.give_back("y", "c")
    assert run.tracker.begin("y", Seat("b:1", "b")) == 2
    run.tracker.drain()
    assert run.tracker.begin("x", Seat("b:1", "b")) == DRAINING


def test_a_worker_that_cannot_finish_has_another_node_do_it(started, monkeypatch):
    """A share that one node reads and cannot write: each batch that came there was translated for nothing."""
    run, health = started(), Health()
    sick, handed = Seat("a:2", "a (finishing)"), []
    stage = FinishStage(run.context, run.tracker, seat=sick, hand_over=lambda t, places: handed.append(places))
    done = [run.worker()(batch) for batch in run.batches]
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", _fails)
        broken.setattr(time, "sleep", lambda seconds: None)
        back = [stage(translated) for translated in done]
    assert all("storage fails" in result.fault and stage.retire_reason for result in back)
    assert [health.fault(r.place, r.key, r.fault, certain=r.certain) for r in back] == [False, False, True]
    run.tracker.avoid([back[0].place])
    assert run.tracker.begin("x", Seat("a:1", "a")) == 1  # it may translate there all the same
    monkeypatch.setattr(finish, "AVOIDED_SECONDS", 0.01)
    back = stage(done[0])
    assert (
        handed == [["a (finishing)"]]
        and back.given_back
        and back.fault == "this node or GPU gets no more work"
        and not back.place
    )
    well = FinishStage(run.context, run.tracker, seat=Seat("b:1", "b (finishing)"))
    relieved = FinishStage(run.context, run.tracker, seat=sick, hand_over=lambda translated, places: well(translated))
    results = [relieved(translated) for translated in done]
    assert {(tuple(r.statuses), r.place, r.finished) for r in results} == {(("ok",) * 4, "a", "b (finishing)")}


def _fails(fd):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_translating_at_a_node_does_not_clear_it_of_faults_in_finishing(started):
    """Each batch that was translated there and finished elsewhere reset the count."""
    run = started()
    progress = Progress(run.folder, Snapshot("running", 100, 0, 0, 0, time.time(), time.time(), 0.0))
    driver = Driver(run.context, PLAIN_START, run.folder, progress, None, Drain())
    tracker, sick = Reference(run.tracker), Seat("a:2", "a (finishing)")
    back = CommitResult("k", "a:1", [], [], [], 0.0, given_back=True, place=sick.place, fault="storage fails")
    for _ in range(3):
        assert run.tracker.passed("k", sick) == []
        driver.note(replace(CommitResult("j", "a:1", ["ok"], [[]], ["s"], 0.1, place="a"), finished="b"), tracker)
        driver.note(back, tracker)
    assert run.tracker.passed("k", sick) == [sick.place]
    tracker.target = AttemptTracker()  # killed and started anew, it knows of nothing
    driver.note(back, tracker)
    assert tracker.target.passed("k", sick) == [sick.place]


CLUSTER = [
    {"NodeID": "headheadhead", "Alive": True, "Resources": {"CPU": 4.0}},
    {"NodeID": "bareheadbare", "Alive": True, "Resources": {}},
    {"NodeID": "firstgpufirst", "Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
    {"NodeID": "deaddeaddead", "Alive": False, "Resources": {"CPU": 8.0, "GPU": 1.0}},
]


def test_a_place_is_shunned_only_where_another_node_has_what_is_needed(monkeypatch):
    """The only node with a GPU was shunned for a head without any, and the run waited for ever."""
    monkeypatch.setattr("ray.nodes", lambda: CLUSTER)
    gpu, head = "10.0.0.2/firstgpu GPU 0", "10.0.0.1/headhead (finishing)"
    assert elsewhere([gpu], {"GPU": 1.0}) is None
    assert elsewhere([gpu], {"CPU": 0.1}) == {"ray.io/node-id": "!in(firstgpufirst)"}
    assert elsewhere([head], {"CPU": 0.1}) == {"ray.io/node-id": "!in(headheadhead)"}
    assert elsewhere([head, gpu], {"CPU": 0.1}) is None and elsewhere([], {"CPU": 0.1}) is None


def test_the_run_ends_when_no_node_is_left_that_can_finish(overseen, monkeypatch):
    """Though each of them may translate."""
    monkeypatch.setattr("ray.nodes", lambda: CLUSTER)
    overseen.tracker.enter(Seat("w:1", "10.0.0.2/firstgpu GPU 0"), None)
    for place in ("10.0.0.1/headhead (finishing)", "10.0.0.2/firstgpu (finishing)"):
        overseen.overseer.look()
        time.sleep(0.06)
        overseen.overseer.look()
        assert not overseen.drain.requested.is_set()
        for _ in range(3):
            overseen.health.fault(place, "k", "storage fails for good", certain=True)
    overseen.overseer.look()
    time.sleep(0.06)
    overseen.overseer.look()
    assert overseen.drain.why == (
        "no node is left that can check and write images; "
        "last fault on 10.0.0.2/firstgpu (finishing): storage fails for good"
    )


class Reference:
    """Stands for a Ray actor's handle: calls its object at once."""

    def __init__(self, target):
        self.target = target

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self.target, name))


@pytest.fixture
def overseen(tmp_path, monkeypatch):
    """A tracker, progress, and what the overseer ends, says and asks for."""
    killed, shown = [], []
    monkeypatch.setattr("ray.get", lambda found, timeout=None: found)
    monkeypatch.setattr("ray.kill", lambda handle, no_restart: killed.append((handle, no_restart)))
    monkeypatch.setattr("s2st_aug.engine.overseer.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("s2st_aug.engine.overseer.HOPE_SECONDS", 0.05)
    folder = RunFolder(tmp_path)
    progress = Progress(folder, Snapshot("running", 100, 0, 0, 0, time.time(), time.time(), 0.0))
    tracker, drain, health = AttemptTracker(), Drain(), Health()
    overseer = Overseer(Reference(tracker), drain, progress, Options(waiting=shown.append), health, 0.05)
    return SimpleNamespace(**locals())


def test_a_hung_batch_is_given_back_by_ending_its_worker(overseen):
    overseen.tracker.enter(Seat("w:1", "a"), "its handle")
    overseen.tracker.begin("batch", Seat("w:1", "a"))
    overseen.overseer.look()
    assert not overseen.killed
    time.sleep(0.06)
    overseen.progress.slowest = 10.0  # batches take that long: ten times as long is not over
    overseen.overseer.look()
    assert not overseen.killed
    overseen.progress.slowest = 0.0
    overseen.overseer.look()
    overseen.overseer.look()
    assert overseen.killed == [("its handle", False)]
    assert overseen.tracker.begin("batch", Seat("w:2", "a")) == 2  # what it was begun for stays counted


class Actor:
    """Stands for a worker's handle; what it answers is its own state."""

    def __init__(self, state):
        self.state = state

    @property
    def __ray_ready__(self):
        return SimpleNamespace(remote=lambda: self.state)


def test_a_worker_that_hangs_between_two_batches_is_ended(overseen, monkeypatch):
    """Stopped after its last batch came back, it held the run up for ever: no batch was under way."""
    monkeypatch.setattr("ray.wait", lambda refs, timeout: ([r for r in refs if r == "well"], []))
    monkeypatch.setattr("s2st_aug.engine.overseer.ANSWER_SECONDS", 0.05)
    hung, well, new, busy = Actor("hung"), Actor("well"), Actor("loads its model"), Actor("at work")
    for name, actor in (("w:1", hung), ("w:2", well), ("w:3", busy)):
        overseen.tracker.enter(Seat(name, "a"), actor)
        overseen.tracker.begin(f"batch {name}", Seat(name, "a"))
    overseen.tracker.end(["batch w:1", "batch w:2"])
    overseen.tracker.enter(Seat("w:4", "a"), new)
    overseen.overseer.look()
    time.sleep(0.06)
    overseen.tracker.begin("batch w:3", Seat("w:3", "a"))
    overseen.overseer.look()
    assert not overseen.killed  # each was asked, and may take its time
    time.sleep(0.06)
    overseen.tracker.begin("batch w:3", Seat("w:3", "a"))
    overseen.overseer.look()
    assert overseen.killed == [(hung, False)]
    time.sleep(0.06)
    overseen.tracker.begin("batch w:3", Seat("w:3", "a"))
    overseen.overseer.look()
    assert len(overseen.killed) == 1  # the process that Ray starts instead has another name


def test_a_tracker_that_hangs_is_started_anew(overseen, monkeypatch):
    """Every worker waits for its word before it begins a batch."""

    def not_now(found, timeout=None):
        raise TimeoutError("the tracker is stopped")

    heard = ray.get
    for answers in (not_now, heard, not_now, not_now):
        monkeypatch.setattr("ray.get", answers)
        overseen.overseer.look()
        assert not overseen.killed
        time.sleep(0.03)
    overseen.overseer.look()
    (tracker, no_restart) = overseen.killed[0]
    assert isinstance(tracker, Reference) and not no_restart and len(overseen.killed) == 1


def test_nobody_is_asked_while_something_is_committed(overseen, monkeypatch):
    monkeypatch.setattr("ray.wait", lambda refs, timeout: ([], refs))
    monkeypatch.setattr("s2st_aug.engine.overseer.ANSWER_SECONDS", 0.0)
    overseen.tracker.enter(Seat("w:1", "a"), Actor("idle"))
    overseen.tracker.begin("batch", Seat("w:1", "a"))
    overseen.tracker.end(["batch"])
    for _ in range(4):
        time.sleep(0.03)
        overseen.progress.add(["ok"], [[]], "w:2", 0.0)
        overseen.overseer.look()
    assert not overseen.killed


def test_a_tracker_that_does_not_answer_does_not_end_the_watch(overseen, monkeypatch):
    """With the thread that looks ended the drain: SIGTERM was heard by nobody."""

    def not_now(*given, **more):
        raise TimeoutError("the tracker is starting anew")

    overseen.tracker.begin("batch", Seat("w:1", "a"))
    time.sleep(0.06)
    overseen.tracker.handle_of = not_now
    overseen.overseer.look()
    overseen.health.fault("10.0.0.2/firstgpu (finishing)", "k", "why", certain=True)
    overseen.health.avoided["10.0.0.2/firstgpu (finishing)"] = "why"
    monkeypatch.setattr("ray.nodes", not_now)
    overseen.overseer.look()
    del overseen.tracker.handle_of
    overseen.tracker.enter(Seat("w:1", "a"), "its handle")
    monkeypatch.setattr("ray.nodes", lambda: CLUSTER)
    overseen.overseer.look()
    assert overseen.killed == [("its handle", False)]


def test_the_run_ends_with_one_line_when_no_healthy_worker_is_left(overseen):
    overseen.tracker.enter(Seat("w:1", "10.0.0.7"), None)
    for _ in range(3):
        overseen.health.fault("10.0.0.7", "k", "CUDA error: unspecified", certain=True)
    overseen.overseer.look()
    assert not overseen.drain.requested.is_set()  # another may be starting
    time.sleep(0.06)
    overseen.overseer.look()
    assert overseen.drain.why == "no healthy worker is left: 1 of 1 failed, last on 10.0.0.7: CUDA error: unspecified"


def test_status_and_console_say_when_nothing_moves(overseen, monkeypatch, tmp_path, caplog):
    """A worker hung for 48 s, and status said 0.44 variants/s, 5 min left."""
    (tmp_path / "run.json").write_text("{}")
    with RunLock(overseen.folder):
        overseen.tracker.begin("batch", Seat("w:1", "a"))
        for _ in range(3):
            time.sleep(0.02)
            overseen.progress.add(["ok"], [[]], "w:1", 0.02)
        overseen.overseer.look()
        moving = report_of(str(tmp_path))
        assert not overseen.shown
        monkeypatch.setattr(progresses, "STALL_SECONDS", 0.2)
        monkeypatch.setattr(progresses, "STALL_TIMES", 0.0)
        monkeypatch.setattr(progresses, "LOOK_SECONDS", 0.0)
        time.sleep(0.4)
        overseen.overseer.look()
        stalled = report_of(str(tmp_path))
    assert (moving["stalled"], stalled["stalled"]) == (False, True)
    assert stalled["eta_seconds"] is None and stalled["rate"] < moving["rate"]
    assert stalled["silent_seconds"] > 0.3 and "batch batch on w:1" in stalled["under_way"]
    assert "nothing committed for" in note_of(overseen.shown[-1], 0)
    assert "nothing has been committed for" in caplog.text


def test_a_driver_that_hangs_itself_is_told_by_the_age_of_its_progress(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    old = Snapshot("running", 100, 5, 0, 0, time.time() - 300, time.time() - 400, 100.0, rate=1.0, usual_seconds=2.0)
    with RunLock(folder):
        progresses.write_snapshot(folder, old)
        report = report_of(str(tmp_path))
    assert report["stalled"] and report["silent_seconds"] > 299
    assert not report_of(str(tmp_path))["stalled"]
    assert read_snapshot(folder).done == 5


def test_what_a_worker_warns_of_reaches_the_run_folder(started, tmp_path):
    run = started()
    log = logging.getLogger("s2st_aug.engine.translate")
    seat = Seat("10.0.0.7:5", "10.0.0.7/abcdef01 GPU 0")
    handler = log_to_run(run.context, seat, proof.Proof(run.context))
    bare = replace(run.context, run=str(tmp_path / "not mounted"))
    nowhere = log_to_run(bare, seat, proof.Proof(bare))
    try:
        log.info("all is well")
        handler.flush()
        assert not list(run.folder.store.names("logs"))
        log.warning("batch 1 is given back")
        handler.flush()
        log.error("batch %d is lost", 2)  # at once: nobody knows what comes after it
    finally:
        for one in (handler, nowhere):
            logging.getLogger("s2st_aug").removeHandler(one)
    (name,) = run.folder.store.names("logs")
    assert name == f"logs/worker-{socket.gethostname()}-{os.getpid()}.log"
    lines = run.folder.store.read(name).decode().splitlines()
    assert lines[0] == "worker 10.0.0.7:5 at 10.0.0.7/abcdef01 GPU 0"
    assert [line.partition(" WARNING ")[2] or line.partition(" ERROR ")[2] for line in lines[1:]] == [
        "s2st_aug.engine.translate: batch 1 is given back",
        "s2st_aug.engine.translate: batch 2 is lost",
    ]
    assert not (tmp_path / "not mounted").exists()


def test_two_threads_may_count_and_look(tmp_path):
    progress = Progress(RunFolder(tmp_path), Snapshot("running", 10**6, 0, 0, 0, time.time(), time.time(), 0.0))
    stop = threading.Event()

    def count():
        for i in range(3000):
            progress.add(["rejected"], [[f"gate {i}"]], f"actor {i}")
        stop.set()

    thread = threading.Thread(target=count)
    thread.start()
    while not stop.is_set():
        progress.snapshot("running")
    thread.join()
    assert progress.snapshot("running").done == 3000


def test_what_ray_shows_of_a_context_has_no_credentials(started):
    run = started()
    secret = "s3://me:pa55word@bucket/run?secret_key=pa55word"
    dataset = run.context.config.dataset.model_copy(update={"root": secret})
    config = run.context.config.model_copy(update={"dataset": dataset})
    sealed = Sealed(replace(run.context, run=secret, config=config))
    assert "pa55word" not in repr(sealed) + str(sealed)
    from ray.data._internal.metadata_exporter import sanitize_for_struct

    assert "pa55word" not in str(sanitize_for_struct({"fn_constructor_kwargs": {"sealed": sealed}}))
