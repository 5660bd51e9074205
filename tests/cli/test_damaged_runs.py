"""Run folders that somebody edited or another program wrote into: one line that names the file, and exit code 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.errors import RunFolderError
from s2st_aug.testing.reviewed_runs import make_run

READS = {
    "status": "status {run}",
    "verify": "verify {run}",
    "report": "report {run} --out {tmp}/report.html",
    "export": "export {run} --format bdd100k --out {tmp}/export",
    "rescore": "rescore {run} --config {tmp}/thresholds.yaml",
    "merge": "merge {run} {tmp}/other --out {tmp}/merged",
    "pull": "review pull {run} --file {tmp}/decisions.json",
}


def edited(key: str, value: object):
    """run.json with another value; `config.` leads into the config."""

    def edit(run: Path) -> None:
        raw = json.loads((run / "run.json").read_bytes())
        place, _, name = key.rpartition(".")
        (raw[place] if place else raw)[name] = value
        (run / "run.json").write_text(json.dumps(raw))

    return edit


def half(run: Path) -> None:
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text[: len(text) // 2])


def decided(**columns: list):
    def write(run: Path) -> None:
        (run / "decisions").mkdir()
        pq.write_table(pa.table(columns), run / "decisions/mine.parquet")

    return write


def measured(change):
    def write(run: Path) -> None:
        part = run / "manifest/part-0.parquet"
        pq.write_table(change(pq.read_table(part)), part)

    return write


def as_text(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("strength"), "strength", pa.array(["strong"] * len(table)))


TARGET = {"variant_id": ["a"], "decision": ["accept"]}
DAMAGE = [
    ("half of run.json", half, "run.json", "status verify report export rescore merge pull"),
    ("a list", lambda run: (run / "run.json").write_text("[]"), "expected an object, got list", "status report export"),
    ("nothing", lambda run: (run / "run.json").write_text(""), "run.json", "status verify report export"),
    ("config", edited("config", []), "run.json: config: expected an object, got list", "report export rescore"),
    ("no dataset", edited("config", {}), "run.json: config.dataset: missing", "report export"),
    ("dataset", edited("config.dataset", "bdd"), "config.dataset: expected an object, got str", "report export"),
    ("domains", edited("config.domains", 3), "run.json: config.domains: expected a list, got int", "report"),
    ("root", edited("dataset_root", 5), "run.json: dataset_root: expected text, got int", "verify report export merge"),
    ("plan", edited("plan_sha256", 5), "run.json: plan_sha256: expected text, got int", "report merge pull"),
    ("progress", lambda run: (run / "progress.json").write_text("[]"), "progress.json: expected an object", "status"),
    ("missing columns", decided(**TARGET), "decisions/mine.parquet: no column object_id", "export merge pull"),
    ("a column more", decided(**TARGET, object_id=["1"], reviewer=["me"], time=[0], reason=[""], more=[1]),
     "decisions/mine.parquet: unknown column more", "export merge pull"),
    ("time as text", decided(variant_id=["a"], object_id=["1"], decision=["accept"], reviewer=["me"],
                             time=["yesterday"], reason=[""]),
     "decisions/mine.parquet: column time", "export merge pull"),
    ("a null", measured(lambda t: t.set_column(0, "variant_id", pa.nulls(len(t), pa.string()))),
     "manifest/part-0.parquet: column variant_id: holds a null", "report merge"),
    ("no strength", measured(lambda t: t.drop_columns(["strength"])),
     "manifest/part-0.parquet: no column strength", "report rescore merge"),
    ("strength as text", measured(as_text), "manifest/part-0.parquet: column strength", "verify report rescore merge"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage", "told", "command"),
    [(name, damage, told, command) for name, damage, told, reads in DAMAGE for command in reads.split()],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_damage_is_named_in_one_line(name, damage, told, command, tmp_path, capsys):
    run = make_run(tmp_path / "run").path
    plan = json.loads((run / "run.json").read_bytes())["plan_sha256"]
    (tmp_path / "decisions.json").write_text(json.dumps({"schema": 1, "run": plan, "decisions": []}))
    (tmp_path / "thresholds.yaml").write_text("validation: {}\n")
    shutil.copytree(run, tmp_path / "other")
    damage(run)
    code = run_group(build_group(), READS[command].format(run=run, tmp=tmp_path).split())
    error = " ".join(capsys.readouterr().err.split())
    assert (code, "unexpected" in error, told in error) == (2, False, True), error


def test_damaged_tables_are_named_to_python_too(tmp_path):
    run = make_run(tmp_path / "run")
    measured(as_text)(run.path)
    decided(**TARGET)(run.path)
    with pytest.raises(
        RunFolderError, match=r"part-0\.parquet: column strength: .*; expected the columns variant_id, "
    ):
        run.read_manifest()
    with pytest.raises(RunFolderError, match=r"mine\.parquet: no column object_id; expected the columns variant_id, "):
        run.read_decisions()


def test_a_fault_of_ours_stays_unexpected(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "run").path

    def broken(*args, **options):
        raise KeyError("ours")

    monkeypatch.setattr("s2st_aug.report.html.write_report", broken)
    assert run_group(build_group(), ["report", str(run), "--out", str(tmp_path / "report.html")]) == 1
    assert "unexpected KeyError" in capsys.readouterr().err
