"""Translate, judge, commit as plain callables: every failure class costs its own rows only."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from s2st_aug import images
from s2st_aug.config.augment import ClusterConfig
from s2st_aug.engine import translate as translate_module
from s2st_aug.engine.attempts import AttemptTracker
from s2st_aug.engine.batches import pack, unpack
from s2st_aug.engine.commit import CommitStage
from s2st_aug.engine.context import RunContext, identify, method_for_workers
from s2st_aug.engine.engine import devices_of, most_finishers
from s2st_aug.engine.planning import plan_batches
from s2st_aug.engine.prepare import with_absolute_root
from s2st_aug.engine.sources import SourceReader
from s2st_aug.engine.translate import AHEAD, TranslateStage
from s2st_aug.engine.validate import ValidateStage
from s2st_aug.errors import ConfigError
from s2st_aug.formats import dataset_card
from s2st_aug.methods import Translated
from s2st_aug.records.manifest import SCHEMA_VERSION
from s2st_aug.storage.run_folder import RunFolder, RunInfo
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import LocalStore
from s2st_aug.testing import methods as fakes
from s2st_aug.testing.datasets import make_config, make_dataset
from s2st_aug.translation.detail import restore_detail


class Line:
    """The three stages over one dataset, without Ray."""

    def __init__(self, tmp_path, count=4, magic=None, **changes):
        self.root = make_dataset(tmp_path / "data", count, magic=magic)
        self.config = with_absolute_root(make_config(self.root, **changes))
        self.run = RunFolder(tmp_path / "run")
        identity = identify(self.config)
        info = RunInfo(
            SCHEMA_VERSION,
            "0",
            "plan",
            "val",
            "m",
            "sha",
            str(self.root),
            {},
            dict(identity.profiles),
            code_version="0",
        )
        self.run.write_run_json(info)
        self.context = RunContext.of(self.run.place, self.config, identity, info)
        self.tracker = AttemptTracker()
        self.translate = TranslateStage(self.context, self.tracker)
        self.validate, self.commit = ValidateStage(self.context), CommitStage(self.context)

    def batches(self):
        return list(plan_batches(self.config, "plan", tuple(self.context.domains)))

    def through(self):
        """Every batch through every stage; rows by (scene, domain)."""
        for batch in self.batches():
            translated = unpack(pack([self.translate(batch)]))[0]
            self.result = self.commit(self.validate(translated))
        gather(self.run)
        return {(r["scene_id"], r["domain"]): r for r in self.run.read_manifest().to_pylist()}


def test_every_scene_comes_back_in_every_domain(tmp_path):
    rows = Line(tmp_path).through()
    assert len(rows) == 8
    assert {r["status"] for r in rows.values()} == {"ok"}
    row = rows["train/f000002", "night"]
    assert (row["width"], row["height"], row["synthetic"]) == (48, 32, True)
    assert len(row["objects"]) == 1
    assert row["label_key"].count(":") == 2


@pytest.mark.parametrize(
    ("magic", "status", "failure", "reason"),
    [
        (fakes.RAISES, "failed", "error", "ValueError"),
        (fakes.DIVERGES, "failed", "diverged", "Diverged"),
        (fakes.OUT_OF_MEMORY, "ok", None, "oom_split"),
    ],
)
def test_one_bad_photo_costs_its_own_rows_only(tmp_path, magic, status, failure, reason):
    clean = Line(tmp_path / "clean").through()
    rows = Line(tmp_path / "bad", magic={1: magic}).through()
    bad = rows["train/f000001", "night"]
    assert (bad["status"], bad["failure"], bad["oom_split"]) == (status, failure, failure is None)
    assert any(reason in r for r in bad["reasons"])
    for key, row in rows.items():
        if key[0] != "train/f000001":
            assert (row["status"], row["image_sha256"]) == ("ok", clean[key]["image_sha256"])


def test_an_unreadable_a_missing_and_a_changed_photo_fail_alone(tmp_path):
    line = Line(tmp_path, count=5)
    images = line.root / "images/100k/train"
    batches = line.batches()
    line.batches = lambda: batches
    (images / "f000000.png").write_bytes((images / "f000000.png").read_bytes()[:200])
    (images / "f000001.png").unlink()
    (images / "f000002.png").write_bytes(b"no image at all")
    reasons = {key[0]: row["failure"] for key, row in line.through().items() if row["status"] == "failed"}
    assert reasons == {
        "train/f000000": "source_changed",
        "train/f000001": "absent_image",
        "train/f000002": "source_changed",
    }


def test_pipes_devices_and_absurdly_large_files_are_not_read(tmp_path, monkeypatch):
    root = make_dataset(tmp_path / "data", 4)
    first, second, third = (root / f"images/100k/train/f00000{i}.png" for i in range(3))
    for path in (first, second):
        path.unlink()
    os.mkfifo(first)
    second.symlink_to("/dev/zero")
    monkeypatch.setattr(images, "MAX_BYTES", 30_000)
    third.write_bytes(bytes(40_000))
    config = make_config(root, domains=["night"])
    (batch,) = plan_batches(config, "plan", ("night",), check_sources=True)
    reader = SourceReader(config.dataset, dataset_card(config.dataset.model_dump()))
    failures = [reader(planned).failure for planned in batch.scenes]
    assert [f and f.kind for f in failures] == ["unreadable_image"] * 3 + [None]
    assert [f.reason.rpartition(": ")[2] if f else f for f in failures] == [
        *["cannot be read (not a regular file)"] * 2,
        "cannot be read (more than 0 MiB)",
        None,
    ]


def test_a_truncated_photo_is_unreadable(tmp_path):
    line = Line(tmp_path)
    path = line.root / "images/100k/train/f000003.png"
    path.write_bytes(path.read_bytes()[:200])
    row = line.through()["train/f000003", "rain"]
    assert (row["status"], row["image"]) == ("failed", None)
    assert row["failure"] == "unreadable_image"
    assert row["reasons"][0].startswith("UnreadableImage: images/100k/train/f000003.png")
    assert row["source_sha256"]


def test_a_photo_that_kills_its_worker_is_found_one_by_one(tmp_path):
    """The tracker remembers what a dead worker had begun; the third worker tries the scenes alone."""

    class Dies(BaseException):
        pass

    line = Line(tmp_path, magic={2: fakes.DIES})

    def die(code):
        raise Dies

    fakes.os._exit, real = die, fakes.os._exit
    try:
        for _ in range(20):
            try:
                rows = line.through()
                break
            except Dies:
                continue
    finally:
        fakes.os._exit = real
    assert [k[0] for k, r in rows.items() if r["status"] == "failed"] == ["train/f000002"] * 2
    assert rows["train/f000002", "night"]["failure"] == "lost_worker"


def test_a_draining_desk_gives_batches_back(tmp_path):
    line = Line(tmp_path)
    line.tracker.drain()
    assert line.through() == {}
    assert line.result.given_back


def test_two_workers_on_one_batch_leave_rows_that_fit_the_images(tmp_path):
    """A zombie with other bytes: the first commit stands, with its images."""
    line = Line(tmp_path, count=2)
    batch = line.batches()[0]
    first = line.validate(line.translate(batch))
    translated = line.translate(batch)
    other = line.validate(replace(translated, images=[bytes(len(i)) for i in translated.images]))
    line.commit(first)
    line.commit(other)
    gather(line.run)
    for row in line.run.read_manifest().to_pylist():
        data = (line.run.path / row["image"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["image_sha256"]


@pytest.mark.parametrize("first", [0, 1])
def test_two_workers_that_write_one_batch_by_turns_tear_no_image(tmp_path, first):
    """Each has written its images before either commits; whoever commits first, rows and images fit in the end."""
    line = Line(tmp_path, count=2)
    batch = line.batches()[0]
    translated = line.translate(batch)
    others = [bytes(255 - value for value in image) for image in translated.images]
    made = [line.validate(t) for t in (translated, replace(translated, images=others))]
    turn = [threading.Event(), threading.Event()]

    class Slow(LocalStore):
        """Commits when its turn has come."""

        def __init__(self, number):
            super().__init__(line.run.path)
            self.number = number

        def write_new(self, name, data):
            wrote[self.number].set()
            assert turn[self.number].wait(20)
            return super().write_new(name, data)

    wrote = [threading.Event(), threading.Event()]
    stages = [CommitStage(line.context) for _ in made]
    for number, stage in enumerate(stages):
        stage._run.store = Slow(number)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(stage, validated) for stage, validated in zip(stages, made, strict=True)]
        assert all(w.wait(20) for w in wrote)
        for number in (first, 1 - first):
            turn[number].set()
            jobs[number].result(20)
    gather(line.run)
    rows = line.run.read_manifest().to_pylist()
    assert len(rows) == 4
    for row in rows:
        assert hashlib.sha256((line.run.path / row["image"]).read_bytes()).hexdigest() == row["image_sha256"]


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, monkeypatch):
    import errno
    import os

    line = Line(tmp_path)
    validated = line.validate(line.translate(line.batches()[0]))

    def no_room(fd):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", no_room)
    assert "disk is full" in line.commit(validated).stop
    monkeypatch.undo()
    assert not list(line.run.store.names(".state/tmp"))
    assert line.commit(validated).statuses == ["ok"] * 8


def test_a_variant_id_follows_the_source_and_the_label(tmp_path):
    ids = {k: r["variant_id"] for k, r in Line(tmp_path).through().items()}
    assert len(set(ids.values())) == 8
    unaware = Line(tmp_path / "b", method={"name": fakes.FAKE, "label_aware": False}).through()
    assert not set(ids.values()) & {r["variant_id"] for r in unaware.values()}


@pytest.mark.parametrize(
    ("cluster", "devices"),
    [
        ({}, ["cpu"]),
        ({"gpus_per_actor": 0.5}, ["cpu"]),
        ({"gpus_per_actor": 3}, ["cpu"] * 3),
        ({"gpus_per_actor": 3, "spread_model": True}, ["cpu"]),
    ],
)
def test_an_actor_holds_a_replica_per_gpu_or_one_model_on_all(cluster, devices):
    """Logical GPUs without CUDA behind them: what counts here is how many replicas there are."""
    assert devices_of(ClusterConfig(**cluster)) == devices


def test_one_gpu_cannot_hold_a_spread_model(tmp_path):
    with pytest.raises(ConfigError, match="gpus_per_actor of 2 or more"):
        make_config(tmp_path, cluster={"gpus_per_actor": 1, "spread_model": True})


def test_parcels_survive_the_object_store(tmp_path):
    line = Line(tmp_path)
    translated = line.translate(line.batches()[0])
    again = unpack(pack([translated]))[0]
    assert asdict(again) == asdict(translated)
    variant = again.variants[0]
    assert np.array_equal(again.pixels(variant, raw=False).shape, (32, 48, 3))


def test_workers_are_told_absolute_paths(repo, tmp_path, monkeypatch):
    """They start in other folders, and a shipped package has no checkout around it."""
    root = make_dataset(tmp_path / "data", 1)
    profile = repo / "s2st_aug/weights/street-mini/profiles/night.safetensors"
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    shutil.copyfile(profile, "own/dark.safetensors")
    method = {"name": "histogram", "references": "photos"}
    config = make_config(root, domains=["own/dark.safetensors"], method=method, validation={"detector": "own/d.onnx"})
    told = method_for_workers(config)
    assert told.domains == (str(tmp_path / "own/dark.safetensors"),)
    assert (told.model, told.settings.references) == ("street-mini", str(tmp_path / "photos"))
    assert told.validation.detector == str(tmp_path / "own/d.onnx")
    assert method_for_workers(make_config(root, model="own")).model == str(tmp_path / "own")


@pytest.mark.parametrize("name", ["s2st", "histogram"])
def test_workers_are_told_where_the_light_map_lies(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    config = make_config(make_dataset(tmp_path / "data", 1), method={"name": name, "light_map": "own.safetensors"})
    assert method_for_workers(config).settings.light_map == str(tmp_path / "own.safetensors")


@pytest.fixture
def hungry():
    fake = fakes.HungryTranslator
    fake.loads.clear()
    fake.sizes.clear()
    return fake


def test_memory_of_the_failed_attempt_is_free_before_the_next_and_what_fitted_is_kept(tmp_path, hungry):
    """A traceback holds the frames of what raised, and they the model and its activations."""
    line = Line(tmp_path, count=16, method={"name": fakes.HUNGRY}, cluster={"batch_size": 8})
    rows = line.through()
    assert {r["status"] for r in rows.values()} == {"ok"} and all(r["oom_split"] for r in rows.values())
    assert hungry.loads == [0, 0, 0]  # at first, and after 8 and 4 did not fit: nothing old is alive
    assert hungry.sizes == [8, 4, 2, 2, 2, 2, *[2] * 4]  # the second batch is not tried in full again
    assert line.translate.retire_reason == ""


def test_larger_photos_are_another_load(tmp_path, hungry):
    line = Line(tmp_path, count=4, method={"name": fakes.HUNGRY}, cluster={"batch_size": 4})
    line.through()
    assert hungry.sizes == [4, 2, 2]
    make_dataset(line.root, 4, size=(24, 16))
    (_, small) = line.batches()
    line.translate(small)
    assert hungry.sizes[3:] == [4, 2, 2]  # a quarter of the pixels: worth a try


def test_an_image_that_fits_at_no_size_fails_and_its_actor_is_replaced(tmp_path, hungry, monkeypatch):
    monkeypatch.setattr(hungry, "ROOM", 0)
    line = Line(tmp_path, count=1, method={"name": fakes.HUNGRY})
    rows = line.through()
    assert {r["failure"] for r in rows.values()} == {"out_of_memory"}
    assert line.translate.retire_reason == "it ran out of memory"


class TwoParts:
    """Device work that is never done twice at once; for the first batch the rest waits for the second's device."""

    def __init__(self):
        self.device, self.second, self.calls = threading.Lock(), threading.Event(), 0

    def start(self, photos, domains, objects=None, keys=None):
        assert self.device.acquire(blocking=False), "two batches on one device"
        self.calls += 1
        number = self.calls
        if number == 2:
            self.second.set()
        time.sleep(0.05)
        self.device.release()

        def finish():
            assert number != 1 or self.second.wait(20), "the device waits for what needs none"
            return fakes.FakeTranslator().translate(photos, domains, objects, keys)

        return finish

    def translate(self, photos, domains, objects=None, keys=None):
        return self.start(photos, domains, objects, keys)()


def test_a_batch_is_read_and_another_finished_while_the_device_computes(tmp_path):
    line = Line(tmp_path, count=8, cluster={"batch_size": 2})
    line.translate._translator = TwoParts()
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(line.translate, line.batches()))
    assert line.translate._translator.calls == 4
    assert all(v.failure is None for batch in done for v in batch.variants)
    plain = Line(tmp_path / "plain", count=8, cluster={"batch_size": 2})
    assert [batch.images for batch in done] == [plain.translate(batch).images for batch in plain.batches()]


def test_a_photo_that_fails_off_the_device_fails_alone(tmp_path):
    line = Line(tmp_path, count=2, magic={1: fakes.RAISES}, cluster={"batch_size": 2})
    late = fakes.FakeTranslator()
    late.start = lambda *given: lambda: late.translate(*given)
    line.translate._translator = late
    rows = line.through()
    assert [rows[f"train/f00000{i}", "night"]["status"] for i in (0, 1)] == ["ok", "failed"]


def test_a_batch_that_waited_for_the_device_is_given_back_when_the_run_drains(tmp_path, monkeypatch):
    monkeypatch.setattr(translate_module, "DRAIN_ASK_SECONDS", 0.0)
    line = Line(tmp_path, count=1)
    (batch,) = line.batches()
    line.translate._device_turn.acquire()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(line.translate, batch)
        time.sleep(0.3)
        assert line.tracker.drain() == [batch.key]
        line.translate._device_turn.release()
        assert waiting.result().given_back


def test_the_finishing_pool_grows_with_gpus():
    assert most_finishers(ClusterConfig(actors=(1, 1), gpus_per_actor=4)) == 4
    assert most_finishers(ClusterConfig(actors=(4, 4), gpus_per_actor=1)) == 4
    assert most_finishers(ClusterConfig(actors=(1, 1))) == 2


class StandIn:
    """0.1 s of a device for each variant, then the real detail step at the photo's size."""

    def __init__(self):
        self.busy = 0.0

    def start(self, photos, domains, objects=None, keys=None):
        start = time.monotonic()
        time.sleep(0.1 * len(photos) * len(domains))
        self.busy += time.monotonic() - start

        def finish():
            small = [cv2.resize(p, (512, 288)).astype(np.float32) for p in photos]
            pairs = zip(photos, small, strict=True)
            parts = [
                restore_detail(p, s, s * 0.4, amount=1.0, floor=0.25, keep_mask=None, keep_amount=0.0) for p, s in pairs
            ]
            return [{d: Translated(part.image, part.raw) for d in domains} for part in parts]

        return finish

    def translate(self, photos, domains, objects=None, keys=None):
        return self.start(photos, domains, objects, keys)()


@pytest.mark.slow
def test_a_device_of_a_tenth_of_a_second_a_variant_is_kept_busy(tmp_path):
    if os.getloadavg()[0] > os.cpu_count():
        pytest.skip("others compute here")
    make_dataset(tmp_path / "data", 40, size=(1280, 720))
    line = Line(tmp_path, count=0, domains=["night"], cluster={"batch_size": 4})
    line.translate._translator = stand_in = StandIn()
    start, spent = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(AHEAD) as threads:
        for batch in threads.map(line.translate, line.batches()):
            pack([batch])
    busy = stand_in.busy / (time.monotonic() - start)
    print(f"busy {busy:.3f}, {(time.process_time() - spent) / 40:.3f} s of the processor a variant")
    assert busy >= 0.93  # the first batch is read and the last finished beside nothing: 0.95 and more of a long run


def test_a_relief_that_never_answers_lets_the_batch_go(monkeypatch, caplog):
    """A node can be too full to place the worker; without a limit its batch waited for ever."""
    from ray.exceptions import GetTimeoutError

    from s2st_aug.engine import engine

    def never(_reference, *, timeout):
        raise GetTimeoutError(f"nothing in {timeout:.0f} s")

    monkeypatch.setattr(engine.ray, "get", never)
    monkeypatch.setattr(engine, "pack", lambda batches: batches)
    relief = engine.Relief(None, None)
    relief._worker = SimpleNamespace(__call__=SimpleNamespace(remote=lambda batches: "reference"))
    assert relief(SimpleNamespace(batch=SimpleNamespace(key="k")), []) is None
    assert relief._worker is None
    assert "batch k was lost on its way to another node: nothing in 300 s" in caplog.text
