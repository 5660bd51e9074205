"""`RUN/overlays/`: a picture for each rejected variant that shows why, and what only several variants together show.

`overlays/checks.json` holds, a domain each, what all of its variants have in common and their sources do not (a bonnet
or a watermark that the references leaked), and the flicker of each video.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from s2st_aug.arrays import Image
from s2st_aug.images import encode_jpeg, read_image
from s2st_aug.records.manifest import judgement_of
from s2st_aug.records.verdicts import Hallucination
from s2st_aug.report.contact_sheet import read_or_none, spread
from s2st_aug.report.overlay import draw_overlay
from s2st_aug.storage.naming import overlay_name
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.validation.flicker import flicker
from s2st_aug.validation.overlays import LEAST_IMAGES, pasted_everywhere

log = logging.getLogger(__name__)
CHECKS = "overlays/checks.json"
MOST = 500  # pictures a run
COMMON = 24  # variants a domain that are compared for what they have in common
VIDEOS, FRAMES = 8, 10  # videos a domain, and neighbouring frames of each, that flicker is measured on
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flicker:
    """A video's flicker in one domain: 1 is as steady as its source; `frames` neighbouring ones were compared."""

    domain: str
    video: str
    frames: int
    flicker: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Pictures written, and what is pasted everywhere and what flickers."""

    overlays: int
    common: dict[str, list[Hallucination]]
    flicker: list[Flicker]


def write_overlays(folder: RunFolder) -> int:
    """Write the pictures of rejected variants (at most MOST, evenly chosen); gives their number.

    Raises RunFolderError for no run.
    """
    table, root = folder.read_manifest(), Path(folder.run_json().dataset_root)
    rejected = table.filter(pc.equal(table["status"], "rejected")).to_pylist()
    return sum(_explain(folder, root, row) for row in spread(rejected, MOST))


def read_overlay(folder: RunFolder, row: Row) -> Image | None:
    """The picture that says why a row was rejected; None where it was not or none was written."""
    name = overlay_name(row["image"] or "")
    if row["status"] != "rejected" or not row["image"] or folder.store.size(name) is None:
        return None
    return read_image(folder.store.read(name))


def write_evidence(run: Path | str) -> Evidence:
    """Write the pictures of rejected variants and checks.json; raises RunFolderError for no run."""
    folder = RunFolder(run)
    count = write_overlays(folder)
    table, root = folder.read_manifest(), Path(folder.run_json().dataset_root)
    light = table.select(["scene_id", "domain", "image", "source_image"]).to_pylist()
    domains: dict[str, list[Row]] = defaultdict(list)
    for row in sorted((r for r in light if r["image"]), key=lambda r: r["scene_id"]):
        domains[row["domain"]].append(row)
    found = Evidence(
        count,
        {name: _common(folder, root, rows) for name, rows in domains.items()},
        [f for name, rows in domains.items() for f in _flickers(folder, root, name, rows)],
    )
    folder.store.write_many({CHECKS: (json.dumps(asdict(found), indent=1) + "\n").encode()})
    return found


def read_evidence(folder: RunFolder) -> Row:
    """What `checks.json` says; empty lists where it was not written."""
    if folder.store.size(CHECKS) is None:
        return {"overlays": 0, "common": {}, "flicker": []}
    return dict(json.loads(folder.store.read(CHECKS)))


def _explain(folder: RunFolder, root: Path, row: Row) -> bool:
    pair = _pair(folder, root, row)
    if pair is None:
        return False
    folder.store.write_many({overlay_name(row["image"]): encode_jpeg(draw_overlay(*pair, judgement_of(row)))})
    return True


def _pair(folder: RunFolder, root: Path, row: Row) -> tuple[Image, Image] | None:
    """Source and variant, None where one is missing or their sizes differ."""
    source, variant = read_or_none(root / row["source_image"]), read_or_none(folder.image_file(row["image"]))
    return None if source is None or variant is None or source.shape != variant.shape else (source, variant)


def _common(folder: RunFolder, root: Path, rows: list[Row]) -> list[Hallucination]:
    """What the variants of one domain have in common; one frame a video, so that a standing camera is no overlay."""
    alone = list({_video(r["scene_id"]) or r["scene_id"]: r for r in reversed(rows)}.values())
    pairs = [p for r in spread(alone, COMMON) if (p := _pair(folder, root, r)) is not None]
    same = [p for p in pairs if p[0].shape == pairs[0][0].shape]
    return list(pasted_everywhere([a for a, _ in same], [b for _, b in same])) if len(same) >= LEAST_IMAGES else []


def _video(scene_id: str) -> str:
    """The video a frame belongs to: the folder between split and name; empty where there is none."""
    return "/".join(scene_id.split("/")[1:-1])


def _flickers(folder: RunFolder, root: Path, domain: str, rows: list[Row]) -> Iterator[Flicker]:
    videos: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if video := _video(row["scene_id"]):
            videos[video].append(row)
    for video in spread([v for v, frames in videos.items() if len(frames) > 1], VIDEOS):
        pairs = [p for r in videos[video][:FRAMES] if (p := _pair(folder, root, r)) is not None]
        if (
            len({p[0].shape for p in pairs}) == 1
            and (value := flicker([a for a, _ in pairs], [b for _, b in pairs])) is not None
        ):
            yield Flicker(domain, video, len(pairs), value)
