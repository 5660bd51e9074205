"""Runs that schema 1 left unfinished go on after `migrate`, where this package makes the same pixels; else not."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_here import rows_of
from schema_1 import schema_1_run

from s2st_aug.config.load import parse_config
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import PLAIN_START
from s2st_aug.engine.pending import completed_rows
from s2st_aug.engine.prepare import prepare, with_absolute_root
from s2st_aug.engine.refusals import refuse
from s2st_aug.errors import PlanMismatch
from s2st_aug.methods.protocol import MethodIdentity
from s2st_aug.storage.migrate import migrate
from s2st_aug.storage.plan import table_to_batches
from s2st_aug.storage.run_folder import FAILED_PART, RunFolder
from s2st_aug.translation.settings import PRESETS


def config_of(place, **method):
    """The config that the fixtures were made with."""
    return parse_config(
        {
            "dataset": {"format": "bdd100k", "root": str(place / "dataset")},
            "domains": ["night", "rain"],
            "method": {**PRESETS["draft"].model_dump(), **method},
            "cluster": {"actors": [1, 1], "batch_size": 2},
        }
    )


def identity_then(run: RunFolder, config) -> MethodIdentity:
    """What `identify` would say with street-mini's first weights and profiles, with which the fixtures were made."""
    info = run.run_json()
    return replace(identify(config), model_sha256=info.model_sha256, profiles=dict(info.domains))


def refused(run: RunFolder, config) -> None:
    config = with_absolute_root(config)
    refuse(run, config, identity_then(run, config), PLAIN_START)


def test_a_run_of_other_weights_is_refused(tmp_path):
    run, config = schema_1_run(tmp_path, "stopped"), with_absolute_root(config_of(tmp_path))
    migrate(run)
    with pytest.raises(PlanMismatch, match="the model's weights"):
        refuse(run, config, identify(config), PLAIN_START)


def test_an_unfinished_run_of_schema_1_is_taken_up_where_it_stopped(tmp_path):
    run, config = schema_1_run(tmp_path, "stopped"), with_absolute_root(config_of(tmp_path))
    migrate(run)
    refused(run, config)
    ready = prepare(config, run, PLAIN_START, identity_then(run, config), place=run.place)
    (batch,) = (b for name in ready.pending for b in table_to_batches(pq.read_table(run.path / name)))
    assert sorted(s.scene.scene_id[-1] for s in batch.scenes) == ["2", "3"]
    before = {
        r["scene_id"]: r for r in rows_of(schema_1_migrated(tmp_path / "whole")).values() if r["domain"] == "night"
    }
    for planned in batch.scenes:
        row, key = before[planned.scene.scene_id], planned.scene.label_key
        named = ready.context.variant_id(row["scene_id"], "night", row["source_sha256"], key.sha256 if key else None)
        assert named == row["variant_id"], "the run keeps its own way to name variants"


def schema_1_migrated(place) -> RunFolder:
    run = schema_1_run(place)
    migrate(run)
    return run


@pytest.mark.parametrize(("method", "changed"), [({"steps": 9}, "method"), ({"name": "histogram"}, "method")])
def test_another_method_or_setting_is_refused_as_it_always_was(tmp_path, method, changed):
    run = schema_1_run(tmp_path, "stopped")
    migrate(run)
    config = config_of(tmp_path, **method) if "name" not in method else _plain_method(tmp_path, method["name"])
    with pytest.raises(PlanMismatch, match=rf"{changed} changed"):
        refused(run, config)


def _plain_method(place, name: str):
    config = config_of(place).model_dump(mode="json")
    return parse_config({**config, "method": {"name": name}})


def test_pixels_that_may_not_be_s2st_s_are_never_gone_on_with(tmp_path):
    run = schema_1_run(tmp_path, "judged")
    migrate(run)
    with pytest.raises(PlanMismatch, match="method changed"):
        refused(run, config_of(tmp_path))


def test_how_often_a_row_failed_is_read_from_its_column_alone(tmp_path):
    """Its sentence says something else, and it is tried again all the same."""
    run = schema_1_migrated(tmp_path)
    assert completed_rows(run, 3).attempts == dict.fromkeys(
        [f"train/7abe7afe-00000003\t{domain}" for domain in ("night", "rain")], 2
    )
    table = pq.read_table(run.path / FAILED_PART)
    rows = [{**row, "reasons": ["attempt 9", "Diverged: a lie"]} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), run.path / FAILED_PART)
    assert completed_rows(run, 3).failed == 0
    assert completed_rows(run, 2).failed == 2
    (run.path / "progress.json").unlink()
    config = with_absolute_root(config_of(tmp_path))
    ready = prepare(config, run, PLAIN_START, identity_then(run, config), place=run.place)
    (batch,) = (b for name in ready.pending for b in table_to_batches(pq.read_table(run.path / name)))
    assert batch.attempt == 3
