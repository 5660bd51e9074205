"""`--check-sources` on a run that exists: what rests on other bytes is done anew, the rest stands."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from engine_here import rows_of, run_here

from s2st_aug.engine.options import Options
from s2st_aug.images import encode_png, sha256_file
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset

CHECK = Options(check_sources=True)


@pytest.fixture
def config(tmp_path):
    return make_config(make_dataset(tmp_path / "data", 6), cluster={"batch_size": 2})


def source(config, number: int) -> Path:
    return Path(config.dataset.root) / f"images/100k/train/f{number:06d}.png"


def replace_photo(config, number: int) -> None:
    source(config, number).write_bytes(encode_png(np.full((32, 48, 3), 200, np.uint8)))


def test_a_finished_row_of_other_bytes_is_set_aside_and_done_anew(config, tmp_path):
    before = rows_of(run_here(config, tmp_path / "run"))
    replace_photo(config, 3)
    assert rows_of(run_here(config, tmp_path / "run")) == before  # not looked at without being asked
    run = run_here(config, tmp_path / "run", CHECK)
    after = rows_of(run)
    assert {key for key in before if before[key] != after[key]} == {
        ("train/f000003", "night"),
        ("train/f000003", "rain"),
    }
    assert after["train/f000003", "night"]["source_sha256"] == sha256_file(source(config, 3))
    assert after["train/f000003", "night"]["variant_id"] != before["train/f000003", "night"]["variant_id"]
    assert verify(run).holds
    assert {p.name for p in (run.path / "quarantine").rglob("*.png")} == {"f000003.png"}


def test_a_source_that_changed_before_its_turn_fails_until_it_is_checked(config, tmp_path):
    run_here(config, tmp_path / "run", batches=slice(0, 1))
    replace_photo(config, 4)
    rows = rows_of(run_here(config, tmp_path / "run"))
    assert rows["train/f000004", "rain"]["reasons"][0].startswith("SourceChanged: images/100k/train/f000004.png")
    assert [key[0] for key, row in rows.items() if row["status"] == "failed"] == ["train/f000004"] * 2
    run = run_here(config, tmp_path / "run", CHECK)
    assert {row["status"] for row in rows_of(run).values()} == {"ok"}
    assert verify(run).holds


def test_a_source_that_was_only_touched_keeps_its_rows(config, tmp_path):
    before = rows_of(run_here(config, tmp_path / "run", batches=slice(0, 2)))
    for number in range(6):
        os.utime(source(config, number), ns=(1, 1))
    after = rows_of(run_here(config, tmp_path / "run", CHECK))
    assert {key: after[key] for key in before} == before
    assert {row["status"] for row in after.values()} == {"ok"}


def test_an_absent_source_takes_nothing_away(config, tmp_path):
    before = rows_of(run_here(config, tmp_path / "run"))
    source(config, 0).unlink()
    assert rows_of(run_here(config, tmp_path / "run", CHECK)) == before
