"""The plan: a stream of batches; what is pending is the plan less the manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from engine_here import run_here

from s2st_aug.config.hashes import plan_hash
from s2st_aug.engine.context import identify
from s2st_aug.engine.dry_run import dry_run
from s2st_aug.engine.in_process import spread_scenes
from s2st_aug.engine.options import Options
from s2st_aug.engine.pending import CompletedRows, pending_tables
from s2st_aug.engine.planning import plan_batches, selected_scenes
from s2st_aug.engine.prepare import prepare
from s2st_aug.errors import DatasetError, RunFolderError
from s2st_aug.images import encode_png
from s2st_aug.storage.lock import RunLock
from s2st_aug.storage.plan import batches_to_table, table_to_batches, write_plan
from s2st_aug.storage.progress import read_snapshot, report_of
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.testing.datasets import make_config, make_dataset


def plan(root, **changes):
    return list(plan_batches(make_config(root, **changes), "plan", ("night", "rain")))


def test_batches_are_fixed_by_the_dataset_and_the_batch_size(tmp_path):
    root = make_dataset(tmp_path / "data", 7)
    sizes = [len(b.scenes) for b in plan(root, cluster={"batch_size": 3})]
    assert sizes == [3, 3, 1]
    assert [b.key for b in plan(root)] == [b.key for b in plan(root, cluster={"actors": [1, 4]})]


def test_the_plan_survives_its_file(tmp_path):
    batches = plan(make_dataset(tmp_path / "data", 5))
    assert table_to_batches(batches_to_table(batches)) == batches


def test_selection_and_limit(tmp_path):
    root = make_dataset(tmp_path / "data", 5)
    config = make_config(
        root, dataset={"format": "bdd100k", "root": str(root), "limit": 2, "select": {"timeofday": ["daytime"]}}
    )
    assert [s.scene_id for s in selected_scenes(config.dataset)] == ["train/f000000", "train/f000001"]
    none = make_config(root, dataset={"format": "bdd100k", "root": str(root), "select": {"timeofday": ["night"]}})
    with pytest.raises(DatasetError, match="timeofday in"):
        list(selected_scenes(none.dataset))


def of(root, **dataset):
    return {"dataset": {"format": "bdd100k", "root": str(root), **dataset}}


def test_absent_images_are_left_out_before_the_limit_or_planned_to_fail(tmp_path):
    root = make_dataset(tmp_path / "data", 4)
    (root / "images/100k/train/f000001.png").unlink()
    (root / "images/100k/train/f000002.png").unlink()
    (root / "images/100k/train/f000002.png").symlink_to("nowhere.png")
    config, absent = make_config(root, **of(root, limit=2)), []
    (batch,) = plan_batches(config, "plan", ("night",), on_absent=absent.append)
    assert [s.scene.scene_id for s in batch.scenes] == ["train/f000000", "train/f000003"]
    assert [s.image.rpartition("/")[2] for s in absent] == ["f000001.png", "f000002.png"]
    failing = plan(root, **of(root, absent_images="fail"))
    assert [s.size is None for b in failing for s in b.scenes] == [False, True, True, False]


def test_a_planned_scene_keeps_its_place_when_its_image_is_gone(tmp_path):
    root = make_dataset(tmp_path / "data", 3)
    config = make_config(root, **of(root, limit=2))
    (root / "images/100k/train/f000000.png").unlink()
    batches = plan_batches(config, "plan", ("night",), without={"train/f000000", "train/f000001"})
    assert list(batches) == []


@pytest.mark.parametrize("whole", [True, False])
def test_no_image_at_all_is_one_error_with_the_first_path_and_the_splits_that_exist(tmp_path, whole):
    root = make_dataset(tmp_path / "data", 2)
    (root / "labels/det_20/det_val.json").write_bytes((root / "labels/det_20/det_train.json").read_bytes())
    (root / "images/100k/train").rename(root / "images/100k/val")
    if not whole:
        (root / "images/100k/train").mkdir()
    first = root / "images/100k/train/f000000.png"
    with pytest.raises(
        DatasetError, match=f"split 'train' has labels but no images; splits with images: val;.*{first}"
    ):
        list(selected_scenes(make_config(root).dataset))


def test_dry_run_and_preview_count_what_is_left_out(tmp_path, caplog):
    root = make_dataset(tmp_path / "data", 3)
    (root / "images/100k/train/f000001.png").unlink()
    found = dry_run(make_config(root), full=True)
    assert (found.scenes, found.absent, found.problems) == (2, 1, [])
    assert dict(found.lines())["scenes"] == "2 (1 more without an image, left out)"
    scenes, total = spread_scenes(make_config(root), 8)
    assert (len(scenes), total) == (2, 2)
    assert "left out 1 scene without an image; first: images/100k/train/f000001.png" in caplog.text


def test_the_list_of_absent_images_lies_in_the_runs_logs(tmp_path, caplog):
    root = make_dataset(tmp_path / "data", 2)
    (root / "images/100k/train/f000001.png").unlink()
    folder, config = RunFolder(tmp_path / "run"), make_config(root)
    prepare(config, folder, Options(), identify(config))
    (line,) = (tmp_path / "run/logs/absent_images.jsonl").read_text().splitlines()
    assert json.loads(line) == {"scene_id": "train/f000001", "image": "images/100k/train/f000001.png"}
    assert "left out 1 scene without an image, listed in logs/absent_images.jsonl" in caplog.text


def test_new_keys_change_no_plan_hash_at_their_defaults(tmp_path):
    def hashed(**dataset):
        config = make_config(tmp_path, **of(tmp_path, **dataset))
        return plan_hash(config, identify(config))

    assert hashed() == hashed(absent_images="skip", rescale_labels=False)
    assert len({hashed(), hashed(absent_images="fail"), hashed(rescale_labels=True)}) == 3


def test_a_data_set_without_any_label_is_told(tmp_path, caplog):
    root = make_dataset(tmp_path / "data", 2)
    (root / "labels/det_20/det_train.json").unlink()
    assert len(list(selected_scenes(make_config(root).dataset))) == 2
    assert "no image of split 'train' has labels" in caplog.text


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (Path.mkdir, "a folder"),
        (lambda p: p.symlink_to(p), "a link that leads nowhere"),
        (os.mkfifo, "no regular file"),
    ],
)
def test_a_label_file_that_is_none_is_refused_not_left_out(tmp_path, make, found):
    root = make_dataset(tmp_path / "data", 2)
    labels = root / "labels/det_20/det_train.json"
    labels.unlink()
    make(labels)
    with pytest.raises(DatasetError, match=f"expected a label file, found {found}"):
        list(selected_scenes(make_config(root).dataset))


def test_checked_sources_carry_their_hash(tmp_path):
    root = make_dataset(tmp_path / "data", 2)
    (batch,) = plan_batches(make_config(root), "plan", ("night",), check_sources=True)
    assert all(len(s.sha256) == 64 for s in batch.scenes)


def darken(root, *names):
    for name in names:
        (root / "images/100k/train" / name).write_bytes(encode_png(np.full((32, 48, 3), 20, np.uint8)))


@pytest.mark.parametrize(("more", "kept"), [({}, [0, 2]), ({"darkest_day": 0}, [0, 1]), ({"select": {}}, [0, 1])])
def test_dark_sources_are_listed_and_skipped_where_daytime_is_selected(tmp_path, more, kept):
    root = make_dataset(tmp_path / "data", 4)
    darken(root, "f000001.png")
    dataset = {"format": "bdd100k", "root": str(root), "limit": 2, "select": {"timeofday": ["daytime"]}} | more
    listed = []
    (batch,) = plan_batches(make_config(root, dataset=dataset), "plan", ("night",), on_skip=listed.append)
    assert [s.scene.scene_id for s in batch.scenes] == [f"train/f{i:06d}" for i in kept]
    assert [s.scene.scene_id for s in listed] == ([] if more else ["train/f000001"])


def test_a_data_set_of_nothing_but_dark_days_says_so(tmp_path):
    root = make_dataset(tmp_path / "data", 1)
    darken(root, "f000000.png")
    config = make_config(root, dataset={"format": "bdd100k", "root": str(root), "select": {"timeofday": ["daytime"]}})
    with pytest.raises(DatasetError, match="an image that is not dark"):
        list(plan_batches(config, "plan", ("night",)))


def test_the_list_of_dark_sources_lies_in_the_runs_logs(tmp_path, caplog):
    root = make_dataset(tmp_path / "data", 3)
    darken(root, "f000000.png")
    config = make_config(root, dataset={"format": "bdd100k", "root": str(root), "select": {"timeofday": ["daytime"]}})
    for extend in (False, True):
        prepare(config, RunFolder(tmp_path / "run"), Options(extend=extend), identify(config))
        (line,) = (tmp_path / "run/logs/dark_sources.jsonl").read_text().splitlines()
        assert json.loads(line) == {
            "scene_id": "train/f000000",
            "image": "images/100k/train/f000000.png",
            "mean_luma": 20.0,
        }
    assert "skipped 1 scene tagged daytime but dark" in caplog.text
    assert RunFolder(tmp_path / "run").run_json().planned_scenes == 2
    estimate = dry_run(config, full=True)
    assert (estimate.scenes, estimate.dark) == (2, 1)


def test_the_daylight_limit_is_in_the_plan_hash_where_it_decides(tmp_path):
    def hashed(**dataset) -> str:
        config = make_config(tmp_path, dataset={"format": "bdd100k", "root": str(tmp_path), **dataset})
        return plan_hash(config, identify(config))

    day = {"select": {"timeofday": ["daytime"]}}
    assert hashed(**day) != hashed(**day, darkest_day=30)
    assert hashed() == hashed(darkest_day=30)


def pending(run, done):
    return [b for t in pending_tables(run, ["night", "rain"], done) for b in table_to_batches(t)]


def test_pending_is_the_plan_less_what_stands(tmp_path):
    run = RunFolder(tmp_path / "run")
    batches = plan(make_dataset(tmp_path / "data", 6), cluster={"batch_size": 2})
    write_plan(run, batches)
    assert pending(run, CompletedRows(pa.array([], pa.string()), {}, 0, 0, 0)) == batches
    whole = [f"train/f{i:06d}\t{d}" for i in (0, 1) for d in ("night", "rain")]
    left = pending(run, CompletedRows(pa.array(whole), {}, 4, 0, 0))
    assert left == batches[1:]
    more = [*whole, "train/f000002\tnight", "train/f000003\tnight", "train/f000003\train"]
    part = pending(run, CompletedRows(pa.array(more), {"train/f000002\train": 1}, 7, 0, 0))
    assert part[0].todo == (("rain",), ())
    assert part[0].attempt == 2
    assert part[0].scenes == batches[1].scenes  # the batch keeps its company
    assert (part[1].scenes, part[1].todo, part[1].attempt) == (batches[2].scenes, batches[2].todo, 1)


def test_status_of_a_run_that_is_planned_says_so(tmp_path, monkeypatch):
    """Planning a million scenes takes half a minute, in which it said that nothing was started."""
    seen = []

    def slow(*given, **more):
        with pytest.raises(RunFolderError, match="not a run folder"):
            report_of(str(tmp_path / "run"))
        for number, batch in enumerate(plan_batches(*given, **more)):
            seen.extend([report_of(str(tmp_path / "run"))] if number else [])
            yield batch

    config = make_config(make_dataset(tmp_path / "data", 2), cluster={"batch_size": 1})
    monkeypatch.setattr("s2st_aug.engine.prepare.plan_batches", slow)
    folder = RunFolder(tmp_path / "run")
    with RunLock(folder) as lock:
        ready = prepare(config, folder, Options(), identify(config), lock=lock)
    assert [(r["state"], r["done"], r["total"], r["message"]) for r in seen] == [("running", 0, 0, "planning")]
    assert ready.progress.write("running").message == ""
    assert report_of(str(tmp_path / "run"))["total"] == 4


def test_a_start_with_nothing_to_do_keeps_why_rows_failed(tmp_path):
    root = make_dataset(tmp_path / "data", 2)
    (root / "images/100k/train/f000001.png").write_bytes(b"no image")
    config = make_config(root, cluster={"attempts": 1})
    before = read_snapshot(run_here(config, tmp_path / "run"))
    assert before.failures
    after = read_snapshot(run_here(config, tmp_path / "run"))
    assert (after.failures, after.failed) == (before.failures, before.failed)


def test_a_run_whose_plan_was_not_copied_along_is_refused_before_anything_is_done(tmp_path):
    config, folder = make_config(make_dataset(tmp_path / "data", 2)), RunFolder(tmp_path / "run")
    prepare(config, folder, Options(), identify(config))
    (plan_file,) = (tmp_path / "run/.state/plan").iterdir()
    plan_file.unlink()
    with pytest.raises(RunFolderError, match=r"found 0 of 1 plan file in \.state/plan: .* its hidden \.state"):
        prepare(config, folder, Options(), identify(config))
