"""Labels that lie in a second file of the dataset are drawn too.

The plan knows where they are, a manifest row does not.
"""

from __future__ import annotations

import json

from engine_here import rows_of, run_here

from s2st_aug.report.contact_sheet import contact_sheet, outlines_of, scene_of, source_outlines
from s2st_aug.storage.plan import planned_scenes
from s2st_aug.testing.datasets import make_config, make_dataset


def test_lanes_of_another_file_are_drawn_on_the_sheet(tmp_path):
    root = make_dataset(tmp_path / "data", 2)
    line = {"vertices": [[2.0, 30.0], [40.0, 4.0]], "types": "LL", "closed": False}
    lane = {
        "id": "7",
        "category": "single white",
        "attributes": {"laneDirection": "parallel", "laneStyle": "solid"},
        "poly2d": [line],
    }
    lanes = root / "labels/lane/polygons/lane_train.json"
    lanes.parent.mkdir(parents=True)
    frames = json.loads((root / "labels/det_20/det_train.json").read_text())
    lanes.write_text(json.dumps([{"name": f["name"], "attributes": f["attributes"], "labels": [lane]} for f in frames]))
    run = run_here(make_config(root), tmp_path / "run")
    row = rows_of(run)["train/f000001", "night"]
    scene = planned_scenes(run, ["train/f000001", "train/none"])["train/f000001"]
    (kept,) = (o for o in row["objects"] if o["kind"] == "polyline")
    assert not outlines_of(
        [kept], source_outlines(run.run_json(), scene_of(row)), keep_all=False
    )  # by the row alone it cannot be
    (outline,) = outlines_of([kept], source_outlines(run.run_json(), scene), keep_all=False)
    assert outline.points.tolist() == [[2.0, 30.0], [40.0, 4.0]]
    with_lanes = contact_sheet(run)
    lanes.unlink()
    assert (contact_sheet(run) != with_lanes).any()
