"""A run as a library user reads it: rows, pictures, decisions. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.arrays import Image
from s2st_aug.errors import RunFolderError, UsageError, did_you_mean
from s2st_aug.images import read_image
from s2st_aug.records.verdicts import Status
from s2st_aug.storage.decisions import Decision, from_table, resolve
from s2st_aug.storage.run_folder import RunFolder, RunInfo

STATUSES = ("ok", "rejected", "failed")


class Run:
    """A run folder, opened for reading.

    `info` is run.json (config, hashes, versions); `table` the manifest as Arrow, read once. Raises
    RunFolderError where the folder is none.
    """

    def __init__(self, place: str | Path) -> None:
        self.folder = RunFolder(place)
        self.info: RunInfo = self.folder.run_json()
        self.table: pa.Table = self.folder.read_manifest()

    def __len__(self) -> int:
        """Rows of the manifest: (scene, domain) pairs, whatever became of them."""
        return len(self.table)

    def __repr__(self) -> str:
        return f"Run({self.folder.place!r}, {len(self)} rows, plan {self.info.plan_sha256[:8]})"

    @property
    def domains(self) -> list[str]:
        """The target domains, in the config's order where it names them."""
        found = set(self.table["domain"].to_pylist())
        named = [d for d in self.info.config.get("domains", []) if d in found]
        return named + sorted(found - set(named))

    def rows(self, *, domain: str | None = None, status: Status | None = None) -> Iterator[dict[str, Any]]:
        """Manifest rows as dicts (docs/reference/run_folder.md#manifest), by scene and domain.

        Raises UsageError for a domain the run does not have.
        """
        if domain is not None and domain not in self.domains:
            raise UsageError(f"{self.folder.place} has no domain {domain!r}{did_you_mean(domain, self.domains)}")
        table = self.table
        for column, wanted in (("domain", domain), ("status", status)):
            table = table if wanted is None else table.filter(pc.equal(table[column], wanted))
        for batch in table.sort_by([("scene_id", "ascending"), ("domain", "ascending")]).to_batches():
            yield from batch.to_pylist()

    def image(self, row: dict[str, Any]) -> Image:
        """A row's variant, `h w 3` uint8 at the source's size.

        Raises UnreadableImage, and RunFolderError for a row without an image.
        """
        if row["image"] is None:
            raise RunFolderError(
                f"{row['scene_id']}, {row['domain']} is {row['status']} and has no image ({'; '.join(row['reasons'])})"
            )
        return read_image(self.folder.image_file(row["image"]))

    def source(self, row: dict[str, Any]) -> Image:
        """A row's source image; raises UnreadableImage where the dataset is not at run.json's root any more."""
        return read_image(Path(self.info.dataset_root) / row["source_image"])

    def decisions(self) -> dict[tuple[str, str | None], Decision]:
        """The decisions that hold, by (variant_id, object_id or None)."""
        return resolve(from_table(self.folder.read_decisions()))


def open_run(place: str | Path) -> Run:
    """Open a run folder for reading; raises RunFolderError."""
    return Run(place)
