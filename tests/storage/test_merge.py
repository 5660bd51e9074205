"""Runs of one plan that grew apart: each scene is planned once in what they are merged into."""

from __future__ import annotations

from dataclasses import replace

from s2st_aug.storage.merge import merge
from s2st_aug.storage.plan import PlannedBatch, batch_key, planned_scene_ids, write_plan
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.shards import gather
from s2st_aug.storage.verify import verify


def grouped(run, batches) -> None:
    """Another plan file with these scenes in one batch."""
    scenes = tuple(s for b in batches for s in b.scenes)
    batch = PlannedBatch(batch_key("plan", scenes), scenes, tuple(t for b in batches for t in b.todo))
    files, count = write_plan(run, [batch])
    run.write_run_json(replace(run.run_json(), plan_files=files, planned_scenes=count))


def test_a_scene_that_both_planned_in_other_batches_is_planned_once(finished, tmp_path):
    """The first run saw three scenes; the data set grew, and the second planned the last of them with the fourth."""
    for name, some in (("a", finished.batches[:3]), ("b", finished.batches[2:])):
        run = RunFolder(tmp_path / name)
        run.write_run_json(finished.run.run_json())
        grouped(run, some)
        finished.run, kept = run, finished.run
        for number, batch in enumerate(finished.batches):
            if batch in some:
                finished.commit(number)
        gather(run)
        finished.run = kept
    out = RunFolder(tmp_path / "both")
    assert merge([RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")], out) == 8
    assert sorted(planned_scene_ids(out).to_pylist()) == [f"train/s{i}" for i in range(4)]
    assert out.run_json().planned_scenes == 4
    report = verify(out)
    assert (report.findings, report.unfinished) == ((), 0)
