"""Check every promise against the files (docs/reference/promises.md); hashes are computed anew, in parallel.

Findings by kind:
missing     a row whose image is absent (what is planned and has no row yet is `unfinished`)
torn        an image that is not what its row says, a part of the manifest or of the decisions that cannot be read
extra       an image without a row
doubled     two rows for one (scene, domain), or one image for two rows
foreign     a row or file that is not the run's own
changed     a source image that is not the translated one
unmeasured  an `ok` row without a measure and without the word that says why
left        temporaries, and committed batches that are not gathered yet
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.containment import stays_below
from s2st_aug.errors import RunFolderError, counted
from s2st_aug.images import sha256_bytes, sha256_file
from s2st_aug.records.manifest import MANIFEST_SCHEMA
from s2st_aug.records.scene import LabelKey
from s2st_aug.storage.naming import variant_id
from s2st_aug.storage.plan import plan_files, planned_scene_ids
from s2st_aug.storage.run_folder import DECISION_SCHEMA, IMAGES, RunFolder, RunInfo, read_part
from s2st_aug.storage.shards import list_shards, row_keys
from s2st_aug.storage.store import TMP, LocalStore, Store

KINDS = ("missing", "extra", "torn", "doubled", "foreign", "changed", "unmeasured", "left")
OWN = {
    "run.json",
    "manifest",
    "images",
    "decisions",
    "progress.json",
    "contact_sheet.png",
    "report.html",
    "overlays",
    "logs",
    "quarantine",
    ".state",
    "lock",
}
METHOD = ("method", "method_version", "method_sha256")
COLUMNS = [
    "variant_id",
    "scene_id",
    "domain",
    "status",
    "source_image",
    "source_sha256",
    "image",
    "image_sha256",
    "label_key",
    *METHOD,
    "profile_sha256",
    "model_sha256",
    "plan_sha256",
    "rng_key",
    "structure",
    "structure_null",
    "strength",
    "strength_null",
]
THREADS = min(8, (os.cpu_count() or 1) * 2)


@dataclass(frozen=True, slots=True)
class VerifyFinding:
    """One thing that is wrong; `image` (a file) and `key` (`scene_id TAB domain`) say what a repair would set aside."""

    kind: str
    what: str
    image: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was looked at and what was found; the promises hold when `findings` is empty and nothing is `unfinished`."""

    planned: int
    rows: int
    ok: int
    rejected: int
    failed: int
    unfinished: int
    images_hashed: int
    sources_hashed: int
    sources_unchecked: int
    """sources of a dataset whose folder is not on this machine"""
    findings: tuple[VerifyFinding, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether every promise holds."""
        return not self.findings and not self.unfinished

    def counts(self) -> dict[str, int]:
        """Findings by kind, every kind named."""
        found = Counter(f.kind for f in self.findings)
        return {kind: found[kind] for kind in KINDS}


_NO_PLAN = VerifyFinding(
    "missing",
    "the plan (.state/plan): the run was stopped before it was planned, or its folder was copied without `.state`:"
    " copy that too",
)


def verify(run: RunFolder) -> VerifyReport:
    """Read the whole run and change nothing; raises RunFolderError for no run folder or a torn plan."""
    info = run.run_json()
    rows, torn = _readable_rows(run)
    ids = planned_scene_ids(run).combine_chunks()
    per_domain = [pc.binary_join_element_wise(ids, pa.scalar(domain), "\t") for domain in info.domains]
    planned = pa.concat_arrays(per_domain) if per_domain else pa.array([], pa.string())
    keys = _keys(planned, rows) if plan_files(run) else iter([_NO_PLAN])
    findings = [*torn, *_torn_decisions(run), *keys, *_top_level(run), *_leftovers(run)]
    findings += [*_rows(rows, info), *_images(run, rows)]
    changed = list(_sources(info, rows))
    counts = Counter(rows["status"].to_pylist())
    unfinished = len(planned) - pc.sum(pc.is_in(planned, value_set=row_keys(rows))).as_py() if len(planned) else 0
    hashed = sum(1 for image in rows["image"].to_pylist() if image)
    sources, reachable = len(set(rows["source_image"].to_pylist())), _reachable(info)
    return VerifyReport(
        planned=len(planned),
        rows=rows.num_rows,
        ok=counts["ok"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        unfinished=unfinished,
        images_hashed=hashed,
        sources_hashed=sources if reachable else 0,
        sources_unchecked=0 if reachable else sources,
        findings=tuple(findings + changed),
    )


def _readable_rows(run: RunFolder) -> tuple[pa.Table, list[VerifyFinding]]:
    """The rows of every part that can be read, and a finding for each of the others."""
    tables, torn = [], []
    for name in sorted(run.manifest_parts()):
        try:
            tables.append(read_part(run.store, name, COLUMNS))
        except RunFolderError:
            torn.append(VerifyFinding("torn", f"{name}: cannot be read, so its rows are unknown", image=name))
    schema = pa.schema([MANIFEST_SCHEMA.field(c) for c in COLUMNS])
    return pa.concat_tables(tables).cast(schema) if tables else schema.empty_table(), torn


def _torn_decisions(run: RunFolder) -> Iterator[VerifyFinding]:
    for name in sorted(run.decision_files()):
        try:
            read_part(run.store, name, None).cast(DECISION_SCHEMA)
        except (RunFolderError, pa.ArrowException, ValueError):
            yield VerifyFinding("torn", f"{name}: cannot be read, so its decisions are unknown", image=name)


def _keys(planned: pa.Array, rows: pa.Table) -> Iterator[VerifyFinding]:
    """Rows that are doubled or foreign; what is not there yet is counted, not listed."""
    keys = row_keys(rows)
    counts = pc.value_counts(keys)
    for key in counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist():
        yield VerifyFinding("doubled", f"two rows for {_spell(key)}", key=key)
    for key in keys.filter(pc.invert(pc.is_in(keys, value_set=planned))).to_pylist():
        yield VerifyFinding("foreign", f"a row for {_spell(key)}, which was never planned", key=key)


def _spell(key: str) -> str:
    return " in ".join(key.split("\t"))


def _rows(rows: pa.Table, info: RunInfo) -> Iterator[VerifyFinding]:
    """Each row by itself: its plan, its id, its measures."""
    method = [getattr(info, name) for name in METHOD]
    images: Counter[str] = Counter(i for i in rows["image"].to_pylist() if i)
    for name, count in images.items():
        if count > 1:
            yield VerifyFinding("doubled", f"{count} rows refer to the image {name}")
    for row in rows.to_pylist():
        key = f"{row['scene_id']}\t{row['domain']}"
        if row["plan_sha256"] != info.plan_sha256:
            yield VerifyFinding("foreign", f"{_spell(key)}: a row of another plan, {row['plan_sha256'][:12]}", key=key)
        elif (made_by := [row[name] for name in METHOD]) != method:
            what = f"made by {' '.join(n[:12] for n in made_by)}, in a run of {' '.join(n[:12] for n in method)}"
            yield VerifyFinding("foreign", f"{_spell(key)}: {what}", key=key)
        elif row["variant_id"] != expected_id(row, info):
            yield VerifyFinding("foreign", f"{_spell(key)}: its variant_id does not match its row", key=key)
        missing = [m for m in ("structure", "strength") if row[m] is None and row[f"{m}_null"] is None]
        if row["status"] == "ok" and missing:
            what = f"{_spell(key)}: ok, but {' and '.join(missing)} is null without a reason"
            yield VerifyFinding("unmeasured", what, key=key)


def expected_id(row: dict[str, Any], info: RunInfo) -> str:
    """The variant_id that a row's own columns and run.json give; empty for a label_key that cannot be read."""
    try:
        label = LabelKey.parse(row["label_key"]).sha256 if info.label_aware and row["label_key"] else ""
    except ValueError:
        return ""
    return variant_id(
        row["scene_id"],
        row["domain"],
        row["source_sha256"] or "missing",
        label,
        row["profile_sha256"],
        info.method_sha256,
        row["model_sha256"],
        info.algorithm_version,
        str(row["rng_key"]),
    )


def _images(run: RunFolder, rows: pa.Table) -> Iterator[VerifyFinding]:
    """Every image hashed anew; images that no row names; failed rows that have an image, and others that have none."""
    keys, images = row_keys(rows).to_pylist(), rows["image"].to_pylist()
    claims = [c for c in zip(images, rows["image_sha256"].to_pylist(), keys, strict=True) if c[0] is not None]
    with ThreadPoolExecutor(THREADS) as pool:
        yield from (f for f in pool.map(lambda claim: _image(run.store, *claim), claims, chunksize=16) if f)
    for key, status, image in zip(keys, rows["status"].to_pylist(), images, strict=True):
        if (status == "failed") != (image is None):
            kind = "foreign" if image else "missing"
            yield VerifyFinding(kind, f"{_spell(key)}: status {status}, image {image}", key=key)
    named = set(images)
    extra = (name for name in run.store.names(IMAGES) if name not in named)
    yield from (VerifyFinding("extra", f"{name}: no row refers to it", image=name) for name in extra)


def _image(store: Store, name: str, sha256: str, key: str) -> VerifyFinding | None:
    outside = VerifyFinding("foreign", f"{_spell(key)}: its image {name!r} leads outside of {IMAGES}/", key=key)
    if not name.startswith(f"{IMAGES}/"):
        return outside
    try:
        found = sha256_file(store.file(name)) if isinstance(store, LocalStore) else sha256_bytes(store.read(name))
    except RunFolderError:
        return outside
    except FileNotFoundError:
        return VerifyFinding("missing", f"{name}: the image of {_spell(key)} is missing", key=key)
    if found != sha256:
        return VerifyFinding("torn", f"{name}: its SHA-256 is not the one in its row", image=name, key=key)
    return None


def _reachable(info: RunInfo) -> bool:
    return bool(info.dataset_root) and Path(info.dataset_root).is_dir()


def _sources(info: RunInfo, rows: pa.Table) -> Iterator[VerifyFinding]:
    """Sources outside of the dataset, and those that changed since where the dataset is on this machine."""
    keys, names = row_keys(rows).to_pylist(), rows["source_image"].to_pylist()
    for key, name in zip(keys, names, strict=True):
        if not stays_below(name):
            yield VerifyFinding("foreign", f"{_spell(key)}: its source {name!r} leads outside of the dataset", key=key)
    if not _reachable(info):
        return
    pairs = zip(names, rows["source_sha256"].to_pylist(), strict=True)
    claims = sorted({(name, sha256) for name, sha256 in pairs if sha256 and stays_below(name)})
    root = Path(info.dataset_root)
    with ThreadPoolExecutor(THREADS) as pool:
        for (name, sha256), found in zip(claims, pool.map(lambda c: _hash(root / c[0]), claims), strict=True):
            if found != sha256:
                what = "missing" if found is None else "changed since it was translated"
                yield VerifyFinding("changed", f"source {name}: {what}")


def _hash(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None


def _top_level(run: RunFolder) -> Iterator[VerifyFinding]:
    """Files that are not the run's own."""
    if isinstance(run.store, LocalStore):
        names: Sequence[str] = sorted(p.name for p in run.store.path.iterdir())
    else:
        names = sorted({n.split("/")[0] for n in run.store.names("")})
    foreign = (name for name in names if name not in OWN)
    yield from (VerifyFinding("foreign", f"{name}: not a part of a run folder", image=name) for name in foreign)


def _leftovers(run: RunFolder) -> Iterator[VerifyFinding]:
    """Temporaries, and batches that are committed and not in the manifest yet."""
    yield from (VerifyFinding("left", f"{name}: a temporary file", image=name) for name in run.store.names(TMP))
    waiting = sum(1 for _ in list_shards(run.store))
    if waiting:
        yield VerifyFinding(
            "left", f"{counted(waiting, 'committed batch')} not in the manifest yet; resuming gathers them"
        )
