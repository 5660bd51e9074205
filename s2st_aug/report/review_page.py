"""`report RUN --review`: a page to accept, reject and ignore on, without FiftyOne; decisions are saved as JSON.

The file is `{"schema": 1, "run": <plan_sha256>, "decisions": [...]}` with variant_id, object_id, decision, reviewer,
time and reason for each, which `s2st-aug review pull RUN --file FILE` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2st_aug.arrays import Image
from s2st_aug.errors import RunFolderError
from s2st_aug.report import ranking
from s2st_aug.report.contact_sheet import read_or_none
from s2st_aug.report.embed import data_uri, fitting_size
from s2st_aug.report.evidence import read_overlay
from s2st_aug.report.html import NAME, boxes_of, page_context, render, save_page
from s2st_aug.report.summary import against
from s2st_aug.storage.run_folder import RunFolder

MOST = 1000  # variants on one page, worst first
BUDGET = 30_000_000  # characters of pictures on one page
SHOWN = ("variant_id", "scene_id", "domain", "status", "reasons", "source_image", "strength", "structure")
Row = dict[str, Any]


def write_review_page(run: Path | str, *, out: Path | None = None, limit: int = MOST) -> Path:
    """Write the page to `out` (default RUN/report.html) and return its path; worst variants first.

    Raises RunFolderError for no run, or a manifest without a single image.
    """
    folder = RunFolder(run)
    info, rows = folder.run_json(), folder.read_manifest().to_pylist()
    rows = sorted((r for r in rows if r["image"]), key=lambda r: (ranking.score(r), r["variant_id"]))
    if not rows:
        raise RunFolderError(f"{folder.place}: no variant has an image yet, so there is nothing to review")
    shown = rows[:limit]
    items, sources = _embed(folder, Path(info.dataset_root), shown)
    context = page_context(folder, info)
    page = render(
        "review.html.j2", **context, total=len(rows), data={"run": info.plan_sha256, "sources": sources, "items": items}
    )
    return save_page(folder, page, out, NAME)


def _embed(folder: RunFolder, root: Path, rows: list[Row]) -> tuple[list[Row], dict[str, str | None]]:
    names = sorted({r["source_image"] for r in rows})
    few = [read_or_none(folder.image_file(r["image"])) for r in rows[:: max(1, len(rows) // 4)]]
    explained = {r["variant_id"]: picture for r in rows if (picture := read_overlay(folder, r)) is not None}
    count = len(rows) + len(names) + 2 * len(explained)  # an overlay shows two pictures
    width, quality = fitting_size([p for p in few if p is not None], count, BUDGET)
    why = {v: data_uri(picture, 2 * width, quality, synthetic=True) for v, picture in explained.items()}
    sources = {n: _uri(read_or_none(root / n), width, quality, synthetic=False) for n in names}
    images = [_uri(read_or_none(folder.image_file(r["image"])), width, quality, synthetic=True) for r in rows]
    items = [
        {
            **{k: r[k] for k in SHOWN},
            "reasons": against(r["reasons"]),
            "image": image,
            "why": why.get(r["variant_id"]),
            "boxes": boxes_of(r),
        }
        for r, image in zip(rows, images, strict=True)
    ]
    return items, sources


def _uri(picture: Image | None, width: int, quality: int, *, synthetic: bool) -> str | None:
    return None if picture is None else data_uri(picture, width, quality, synthetic=synthetic)
