"""`s2st-aug gain` from its config to its page, and the feed's Ray form, on a real Ray."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from gain_photos import photos

from s2st_aug.testing.reviewed_runs import FakeRun, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("ray") / "run",
        FakeRun(scenes=6, domains=("night",), size=(64, 48), statuses=("ok", "ok", "rejected")),
    )


@pytest.mark.slow
def test_the_command_trains_every_arm_and_writes_tables_and_a_plot(ray_here, run, tmp_path, capsys):
    from s2st_aug.cli import main

    day, dusk = photos(tmp_path / "day", 6, 100), photos(tmp_path / "dusk", 3, 20)
    data = {"train": day, "test": dusk, "references": {"images": dusk["images"]}, "classes": ["sky", "road"], "void": 2}
    made = {
        "task": "segmentation",
        "domains": ["night"],
        "segmentation": data,
        "run": str(run.path),
        "out": str(tmp_path / "out"),
    }
    made |= {"rng_keys": [0, 1, 2], "training": {"steps": 1, "batch": 2, "size": [64, 48], "widths": [4, 8]}}
    (tmp_path / "gain.yaml").write_text(yaml.safe_dump(made))
    with pytest.raises(SystemExit) as stop:
        main(["gain", str(tmp_path / "gain.yaml"), "--json"])
    assert stop.value.code == 0
    told = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "out/result.json").read_text())
    assert told["summary"] == stored["summary"]
    assert all({r["arm"] for r in rows} == set(stored["results"]) for rows in told["summary"].values())
    assert {"real_only", "s2st_gated"} < set(stored["results"])
    assert all(len(runs) == 3 and 0 <= runs[0]["miou"] <= 100 for runs in stored["results"].values())
    page = (tmp_path / "out/result.md").read_text()
    assert "| s2st_gated |" in page and "best control" in page
    assert (tmp_path / "out/result.png").read_bytes().startswith(b"\x89PNG")
    before = (tmp_path / "out/result.json").stat().st_mtime_ns
    with pytest.raises(SystemExit):
        main(["gain", str(tmp_path / "gain.yaml")])
    assert (tmp_path / "out/result.json").stat().st_mtime_ns > before
    assert "real_only" in capsys.readouterr().out


@pytest.fixture
def one_worker(ray_here):
    """One process does all of a dataset's work: each one more costs seconds to start."""
    from ray.data import DataContext, ExecutionResources

    options = DataContext.get_current().execution_options
    before, options.resource_limits = options.resource_limits, ExecutionResources(cpu=1)
    yield
    options.resource_limits = before


def test_the_ray_form_holds_every_entry_with_its_pixels(one_worker, run):
    from s2st_aug.feed import FeedReceipt, Mix, open_feed
    from s2st_aug.feed.ray_form import ray_dataset

    index = open_feed(run)
    with FeedReceipt(ray_dataset(index).iter_batches(batch_size=2, batch_format="numpy"), Mix.of(index)) as receipt:
        batches = list(receipt)
    images = np.concatenate([b["image"] for b in batches])
    assert images.shape == (len(index.entries), 48, 64, 3) and images.dtype == np.uint8
    first = index.read(index.entries[0]).image
    assert any(np.array_equal(first, image) for image in images)
