"""`migrate` on run folders that the last code of schema 1 made (tests/storage/fixtures/schema1/README.md)."""

from __future__ import annotations

import json
import re
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from schema_1 import FIXTURES, schema_1_run

from s2st_aug.config.hashes import hash_of
from s2st_aug.errors import RunFolderError
from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.storage.decisions import from_table, resolve
from s2st_aug.storage.generations import replace_manifest
from s2st_aug.storage.migrate import MIGRATIONS, _object_of_1, _row_of_1, migrate
from s2st_aug.storage.progress import read_snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import LocalStore
from s2st_aug.storage.verify import verify
from s2st_aug.validation.gates import rescore_rows
from s2st_aug.validation.settings import ValidationSettings


def rows_of(run: RunFolder) -> dict[tuple[str, str], dict]:
    return {(r["scene_id"][-1], r["domain"]): r for r in run.read_manifest().to_pylist()}


def near(value: float) -> object:
    """A measure of which a sentence kept the first digits."""
    return pytest.approx(value, rel=0.01)


def old_rows(folder: str) -> dict[tuple[str, str], dict]:
    """Rows of schema 1 as the fixture holds them."""
    tables = [pq.read_table(path) for path in sorted((FIXTURES / folder).glob("*.parquet"))]
    return {(r["scene_id"][-1], r["domain"]): r for r in pa.concat_tables(tables).to_pylist()}


def test_a_migrated_run_holds_every_promise_and_its_state_is_in_columns(tmp_path):
    run = schema_1_run(tmp_path)
    assert migrate(run) == (1, 2)
    report = verify(run)
    assert report.holds, report.findings
    assert (report.ok, report.rejected, report.failed, report.sources_hashed) == (4, 2, 2, 4)
    rows = rows_of(run)
    assert {k: (r["failure"], r["attempts"]) for k, r in rows.items()} == {
        **{(scene, domain): (None, None) for scene in "012" for domain in ("night", "rain")},
        **{("3", domain): ("absent_image", 2) for domain in ("night", "rain")},
    }
    assert {k for k, r in rows.items() if r["oom_split"]} == {("2", "night"), ("2", "rain")}
    assert "oom_split" in rows["2", "night"]["reasons"]
    assert rows["0", "night"]["rejected_by"] == ["lost"]
    assert rows["1", "rain"]["rejected_by"] == ["strength"]
    assert {(r["method"], r["method_version"]) for r in rows.values()} == {("s2st", "1")}
    info = run.run_json()
    assert hash_of(info.method_settings) == info.method_sha256
    causes = Counter(o["cause"] for r in rows.values() for o in r["objects"])
    assert causes.keys() == {None, "tiny", "hidden", "vanished"}
    assert any(o["around"] and o["shift_unsure"] for o in rows["0", "night"]["objects"])
    assert len(resolve(from_table(run.read_decisions()))) == 2
    assert read_snapshot(run).failures == {"absent_image": 2}
    assert migrate(run) == (2, 2)


def test_what_people_and_scripts_read_of_a_row_is_what_it_was(tmp_path):
    """Every column of schema 1 has its value, but for the facts that its sentences carried after a bar."""
    run, before = schema_1_run(tmp_path), old_rows("street/manifest")
    migrate(run)
    for key, row in rows_of(run).items():
        old = before[key]
        for item in old["objects"]:
            item["reason"] = None if item["verdict"] == "keep" else item["reason"].split(" | ")[0]
        kept = {name: row[name] for name in old}
        kept["objects"] = [{n: o[n] for n in old["objects"][0]} for o in row["objects"]] if row["objects"] else []
        assert kept == old


def test_a_migrated_run_is_rescored_from_its_columns_to_what_it_once_was(tmp_path):
    """The fixture's thresholds were changed once: the first ones give the first verdicts and sentences back."""
    run = schema_1_run(tmp_path)
    migrate(run)
    replace_manifest(run, lambda rows: rescore_rows(rows, ValidationSettings(), "first"), {}, "first")
    first = old_rows("street/manifest/.old/0")
    for key, row in rows_of(run).items():
        once = [re.sub(r"(?<=[:,] )(\d+) (?=[a-z])", r"\1 x ", reason) for reason in first[key]["reasons"]]  # its words
        assert (row["status"], row["reasons"]) == (first[key]["status"], once)
        assert [o["verdict"] for o in row["objects"]] == [o["verdict"] for o in first[key]["objects"]]
    assert verify(run).holds


def test_the_old_files_are_kept(tmp_path):
    run = schema_1_run(tmp_path)
    before = {p.name: p.read_bytes() for p in [*run.path.glob("manifest/*.parquet"), run.path / "run.json"]}
    migrate(run)
    kept = run.path / "quarantine/schema-1"
    assert {p.name: p.read_bytes() for p in kept.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("writes", range(0, 12))
def test_an_interrupted_migration_is_ended_by_the_next(tmp_path, monkeypatch, writes):
    """The process dies at each of its writes in turn."""
    whole, torn = schema_1_run(tmp_path / "a"), schema_1_run(tmp_path / "b")
    migrate(whole)
    real, left = LocalStore._put, iter(range(writes))

    def put(self, temp, name):
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(self, temp, name)

    monkeypatch.setattr(LocalStore, "_put", put)
    try:
        migrate(torn)
    except KeyboardInterrupt:
        monkeypatch.setattr(LocalStore, "_put", real)
        migrate(torn)
    assert rows_of(torn) == rows_of(whole)
    kept = torn.path / "quarantine/schema-1"
    assert json.loads((kept / "run.json").read_text())["schema_version"] == 1
    assert all("rejected_by" not in pq.read_schema(p).names for p in kept.rglob("*.parquet"))


def test_committed_batches_that_no_part_has_taken_are_migrated_too(tmp_path):
    run = schema_1_run(tmp_path, "stopped")
    migrate(run)
    report = verify(run)
    assert (report.rows, report.unfinished, report.counts()["left"]) == (4, 4, 0)
    assert read_snapshot(run).done == 4


def test_a_change_of_thresholds_that_was_interrupted_is_carried_out_first(tmp_path):
    run = schema_1_run(tmp_path, "rescoring")
    migrate(run)
    assert verify(run).holds
    assert run.run_json().generation == 1
    assert rows_of(run).keys() == old_rows("street/manifest").keys()
    assert rows_of(run)["1", "rain"]["reasons"] == old_rows("street/manifest")["1", "rain"]["reasons"]


def test_pixels_that_no_hash_told_from_s2st_are_called_unknown(tmp_path):
    run = schema_1_run(tmp_path, "judged")
    migrate(run)
    assert run.run_json().method == "unknown"
    assert {r["method"] for r in rows_of(run).values()} == {"unknown"}
    assert verify(run).counts()["foreign"] == 0


def test_rows_of_another_method_among_s2st_s_are_found(tmp_path):
    """What schema 1 could not see: a run that was begun with other pixels and went on as S2ST."""
    run, other = schema_1_run(tmp_path), schema_1_run(tmp_path, "judged")
    (part,) = (p for p in other.path.glob("manifest/part-*"))
    mixed = {r["variant_id"]: r for r in pq.read_table(part).to_pylist()}
    for path in run.path.glob("manifest/part-*"):
        table = pq.read_table(path)
        rows = [mixed[r["variant_id"]] if r["domain"] == "night" else r for r in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    migrate(run)
    assert run.run_json().method == "s2st"
    foreign = [f for f in verify(run).findings if f.kind == "foreign"]
    assert {f.key.split("\t")[1] for f in foreign} == {"night"}
    assert len(foreign) == 3


def test_schema_0_lacked_columns_that_are_empty_now(tmp_path):
    run = schema_1_run(tmp_path)
    for path in run.path.glob("manifest/*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["hallucinations", "structure_raw", "inversion_steps"]), path)
    raw = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**raw, "schema_version": 0, "told": "by nobody"}))
    assert migrate(run) == (0, 2)
    assert verify(run).holds
    assert run.read_manifest().schema.equals(MANIFEST_SCHEMA)
    assert set(run.read_manifest()["hallucinations"].to_pylist()[0]) == set()
    assert {p.name for p in (run.path / "quarantine").iterdir()} == {"schema-0", "schema-1"}


def test_an_unknown_version_is_refused(tmp_path):
    run = schema_1_run(tmp_path)
    raw = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**raw, "schema_version": 99}))
    with pytest.raises(RunFolderError, match="schema version 99 cannot be migrated to 2"):
        migrate(run)
    assert sorted(MIGRATIONS) == [0, 1]


OBJECT = {"object_id": "a", "kind": "box", "category": "car", "bbox": [0.0, 0.0, 9.0, 9.0], "structure": 0.5}


@pytest.mark.parametrize(
    ("verdict", "reason", "facts"),
    [
        ("keep", None, {}),
        ("keep", "kept | around 0.53; best place unsure", {"around": 0.53, "shift_unsure": True}),
        ("ignore", "crowd: never judged | crowd", {"cause": "crowd", "crowd": True}),
        ("ignore", "tiny: a side below 10 px", {"cause": "tiny"}),
        (
            "ignore",
            "flat in the source: too little structure to judge by | flat in the source",
            {"cause": "flat_source"},
        ),
        ("ignore", "too dark or flat: structure 0.17 < 0.34 | around 0.67", {"cause": "hidden", "around": 0.67}),
        (
            "ignore",
            "too dark or flat: structure 0.17 < 0.34 | surroundings changed",
            {"cause": "hidden", "around": 0.0},
        ),
        (
            "lost",
            "vanished: structure 0.13 where its surroundings kept 0.63 | around 0.63",
            {"cause": "vanished", "around": 0.63},
        ),
        ("lost", "moved: by 8.1 px", {"cause": "moved"}),
        ("ignore", "dissolved before the detail step: structure_raw 0.05 < 0.1", {"cause": "dissolved"}),
        (
            "lost",
            "signal changed: red became green | signal changed: red became green; around 0.41",
            {"cause": "signal_changed", "signal_source": "red", "signal_variant": "green", "around": 0.41},
        ),
        (
            "ignore",
            "signal not readable: amber in the source | signal not readable: amber in the source",
            {"cause": "signal_unreadable", "signal_source": "amber"},
        ),
    ],
)
def test_every_sentence_of_schema_1_becomes_columns(verdict, reason, facts):
    found = _object_of_1({**OBJECT, "verdict": verdict, "reason": reason})
    plain = {
        "cause": None,
        "around": None,
        "shift_unsure": False,
        "crowd": False,
        "signal_source": None,
        "signal_variant": None,
    }
    assert {name: found[name] for name in plain} == {**plain, **facts}
    assert found["reason"] == (None if verdict == "keep" else reason.split(" | ")[0])


ABSENT = "UnreadableImage: a.png: cannot be read (No such file or directory)"
DARKENED, WEAK = "darkened: one tone curve explains 97.0% of the variant", "strength: 0.03 < 0.25, hardly translated"
IDENTITY = "identity: the variant is the source (mean change 1.50 levels)"


@pytest.mark.parametrize(
    ("status", "reasons", "columns"),
    [
        ("failed", [ABSENT, "attempt 1"], {"failure": "absent_image", "attempts": 1}),
        ("failed", ["UnreadableImage: a.png: torn", "attempt 3"], {"failure": "unreadable_image", "attempts": 3}),
        ("failed", ["LostWorker: the process died", "attempt 2"], {"failure": "lost_worker", "attempts": 2}),
        ("failed", ["ValueError: odd", "attempt 1"], {"failure": "error", "attempts": 1}),
        ("failed", [], {"failure": "error", "attempts": 1}),
        ("ok", ["oom_split"], {"oom_split": True}),
        ("ok", ["note: strength is null, the profile has no discriminant"], {"strength_null": "no_discriminant"}),
        ("ok", ["note: strength is null, the source already lies in it"], {"strength_null": "source_in_target"}),
        ("ok", ["note: structure is null, the source is too flat to judge"], {"structure_null": "flat_source"}),
        ("rejected", [DARKENED, WEAK], {"rejected_by": ["darkened", "strength"], "tone_explained": near(0.97)}),
        ("rejected", ["contrast: black, L* spans 6.0"], {"rejected_by": ["contrast"], "contrast": near(6.0)}),
        ("rejected", [IDENTITY], {"rejected_by": ["identity"], "change": near(1.5)}),
    ],
)
def test_every_reason_of_schema_1_becomes_columns(status, reasons, columns):
    found = _row_of_1({"status": status, "reasons": reasons, "width": 100, "structure": 0.9, "strength": 0.9})
    words = ("failure", "attempts", "structure_null", "strength_null", "change", "tone_explained", "contrast")
    plain = {**dict.fromkeys(words), "rejected_by": [], "oom_split": False}
    assert {name: found[name] for name in plain} == {**plain, **columns}
    if status == "rejected":  # its last digits are lost, and still it stands on the side of its threshold that rejects
        nullable = pa.schema([pa.field(f.name, f.type) for f in MANIFEST_SCHEMA])
        again = rescore_rows(pa.Table.from_pylist([found], schema=nullable), ValidationSettings(min_strength=None))
        assert again["rejected_by"].to_pylist() == [[gate for gate in columns["rejected_by"] if gate != "strength"]]
