"""Scale on paper: what is computed of a run, and that the tables of the docs are of the kept figures."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale import NAMES, Run, cost_of, driver_of, driver_rows, network_rows, requests_of, runs_of

FOUND = {
    "requests_a_batch": {"work": {**dict.fromkeys(NAMES, 0), "PUT": 9}, "end": {**dict.fromkeys(NAMES, 0), "GET": 1}},
    "requests_a_run": {"work": dict.fromkeys(NAMES, 1), "end": dict.fromkeys(NAMES, 1)},
}


def test_requests_grow_with_batches_and_with_the_time_that_drivers_and_workers_look():
    run = Run(scenes=4000, gpus=8)
    assert (run.variants, run.batches, run.hours) == (8000, 1000, pytest.approx(300 / 3600))
    asked = requests_of(run, FOUND)
    assert asked["PUT"] == pytest.approx(9 * 1000 + 2 + 4.2 * 300)
    assert asked["GET"] == pytest.approx(1000 + 2 + 1.1 * 300 + 16 * 30 + 4000)
    assert cost_of(
        {**dict.fromkeys(NAMES, 0.0), "PUT": 1000, "LIST": 1000, "GET": 10_000, "DELETE": 9}
    ) == pytest.approx(0.014)


def test_the_driver_is_busy_with_batches_and_holds_the_plan():
    cluster = {
        "plan_seconds_1m": 40,
        "plan_base_gib": 0.2,
        "memory_plan_gib_growth": 0.1,
        "memory_resume_gib_growth": 0.3,
        "driver_ms_per_batch": 5,
    }
    driver = driver_of(Run(scenes=10_000_000, gpus=480), cluster)
    assert driver == pytest.approx({"plan_seconds": 400, "plan_gib": 1.2, "resume_gib": 3.2, "busy": 1.0})


def test_tables_of_the_docs_are_whole(repo):
    found = json.loads((repo / "docs/measured/scale.json").read_text())
    for table in (runs_of, driver_rows, network_rows):
        head, *rows = table(found)
        assert len(rows) == 6 and {len(row) for row in rows} == {len(head)}
        assert not any("nan" in cell for row in rows for cell in row)
