"""A run that the last code of schema 1 began goes on after `migrate`: its plan is this config's, under the hash that it began with."""

from __future__ import annotations

import json

import pytest
from engine_here import rows_of, run_here
from schema_1 import FIXTURES, schema_1_run

from s2st_aug.config.load import parse_config
from s2st_aug.engine.augment import Options, augment
from s2st_aug.errors import PlanMismatch
from s2st_aug.storage.migrate import migrate
from s2st_aug.storage.verify import verify


def config_of(run):
    """The config that the run began with, as its run.json holds it."""
    raw = json.loads((FIXTURES / "stopped/run.json").read_text())["config"]
    raw["dataset"]["root"] = run.run_json().dataset_root
    return parse_config(raw)


def test_a_migrated_run_goes_on(tmp_path):
    """git keeps no times of the fixture's sources, so they are hashed anew."""
    run = schema_1_run(tmp_path, "stopped")
    migrate(run)
    before = rows_of(run)
    config = config_of(run)
    with pytest.raises(PlanMismatch, match="method changed"):
        augment(
            config.model_copy(
                update={
                    "method": parse_config(
                        {"dataset": config.dataset.model_dump(), "domains": ["night"], "method": {"name": "histogram"}}
                    ).method
                }
            ),
            run.path,
        )
    run = run_here(config, run.path, Options(check_sources=True))
    after = rows_of(run)
    assert len(before) == 4 and len(after) == 8
    assert {k: after[k]["image_sha256"] for k in before} == {k: r["image_sha256"] for k, r in before.items()}
    assert {r["status"] for k, r in after.items() if k not in before} == {"ok", "failed"}
    assert {r["failure"] for r in after.values()} == {None, "absent_image"}
    assert verify(run).holds
    assert run.run_json().algorithm_version == "1"


def test_a_run_whose_method_is_unknown_does_not_go_on(tmp_path):
    run = schema_1_run(tmp_path, "judged")
    migrate(run)
    with pytest.raises(PlanMismatch, match="method"):
        augment(config_of(run), run.path)
