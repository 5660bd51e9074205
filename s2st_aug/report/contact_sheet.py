"""`contact_sheet.png` of a run: one row per scene, the source and its variants, labels and verdicts drawn on."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.arrays import Image
from s2st_aug.errors import RunFolderError, S2STError
from s2st_aug.formats import dataset_card, read_objects
from s2st_aug.images import encode_png, read_image
from s2st_aug.records.scene import LabelKey, Scene
from s2st_aug.report.palette import STATUSES, VERDICTS
from s2st_aug.report.sheet import VERDICT_LEGEND, Outline, SheetCell, draw_sheet
from s2st_aug.report.summary import against, in_order
from s2st_aug.storage.plan import planned_scenes
from s2st_aug.storage.run_folder import RunFolder, RunInfo

log = logging.getLogger(__name__)
NAME = "contact_sheet.png"
Row = dict[str, Any]
T = TypeVar("T")


def write_contact_sheet(run: Path | str, *, limit: int = 12) -> Path:
    """Write RUN/contact_sheet.png for at most `limit` scenes, evenly over the run; returns its path.

    Needs the run folder and, for the source column, the dataset where run.json says it is; a missing
    picture becomes a grey cell that says so. Raises RunFolderError for no run or an empty manifest.
    """
    folder = RunFolder(run)
    folder.store.write_many({NAME: encode_png(contact_sheet(folder, limit=limit), compression=6)})
    return folder.path / NAME


def contact_sheet(folder: RunFolder, *, limit: int = 12) -> Image:
    """The same as a picture."""
    info = folder.run_json()
    by_scene = _rows_by_scene(folder, limit)
    if not by_scene:
        raise RunFolderError(f"{folder.place}: the manifest has no rows yet, so there is nothing to show")
    domains = in_order({row["domain"] for rows in by_scene.values() for row in rows}, info.config.get("domains", ()))
    planned = planned_scenes(folder, by_scene)
    sheet = [_scene_cells(folder, info, rows, domains, planned.get(name)) for name, rows in by_scene.items()]
    model = f"{info.model or info.method} {(info.config.get('method') or {}).get('preset', '')}"
    title = f"{Path(folder.place).name} · {model} · {len(by_scene)} scenes · plan {info.plan_sha256[:8]}"
    return draw_sheet(f"{title} · synthetic images", ["source", *domains], sheet, legend=VERDICT_LEGEND)


def spread(names: list[T], limit: int) -> list[T]:
    """At most `limit` of the names, evenly spaced, the first always among them."""
    if len(names) <= limit:
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, limit).round().astype(int)]


def count_verdicts(objects: list[Row]) -> str:
    """`keep 12, ignore 3, lost 1`, leaving out what does not occur."""
    counts = Counter(o["verdict"] for o in objects)
    return ", ".join(f"{v} {counts[v]}" for v in VERDICTS if counts[v]) or "no labels"


def _rows_by_scene(folder: RunFolder, limit: int) -> dict[str, list[Row]]:
    table = folder.read_manifest()
    chosen = pa.array(spread(sorted(set(table["scene_id"].to_pylist())), limit), pa.string())
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in table.filter(pc.is_in(table["scene_id"], value_set=chosen)).to_pylist():
        rows[row["scene_id"]].append(row)
    return dict(sorted(rows.items()))


def scene_of(row: Row) -> Scene:
    """The scene that a manifest row came from, by the row alone: its further label files stand in the plan."""
    key = LabelKey.parse(row["label_key"]) if row["label_key"] else None
    return Scene(row["scene_id"], row["dataset"], row["split"], row["source_image"], row["label_file"], key)


def source_outlines(info: RunInfo, scene: Scene) -> dict[str, tuple[np.ndarray, ...]]:
    """Object id to its outlines `n 2`, from the source dataset, as the manifest keeps boxes only.

    Empty where the dataset cannot be read any more (logged).
    """
    try:
        card = dataset_card(info.config["dataset"])
        return {o.object_id: o.outlines for o in read_objects(card, Path(info.dataset_root), scene)}
    except (S2STError, OSError, KeyError) as error:
        log.info("labels of %s are drawn as boxes: %s", scene.scene_id, error)
        return {}


def _scene_cells(
    folder: RunFolder, info: RunInfo, rows: list[Row], domains: list[str], scene: Scene | None
) -> list[SheetCell]:
    fullest = max(rows, key=lambda row: len(row["objects"]))
    lines = source_outlines(info, scene or scene_of(fullest))
    by_domain = {row["domain"]: row for row in rows}
    return [_source_cell(info, fullest, lines), *(_variant_cell(folder, by_domain.get(d), lines) for d in domains)]


def _source_cell(info: RunInfo, row: Row, lines: dict[str, tuple[np.ndarray, ...]]) -> SheetCell:
    picture = read_or_none(Path(info.dataset_root) / row["source_image"])
    caption = (
        row["scene_id"],
        f"{len(row['objects'])} labels" if picture is not None else "the source image is missing",
    )
    return SheetCell(picture, tuple(outlines_of(row["objects"], lines, keep_all=True)), caption)


def _variant_cell(folder: RunFolder, row: Row | None, lines: dict[str, tuple[np.ndarray, ...]]) -> SheetCell:
    if row is None:
        return SheetCell(None, (), ("not made yet", ""))
    picture = read_or_none(folder.image_file(row["image"])) if row["image"] else None
    measures = f"strength {_number(row['strength'])} · structure {_number(row['structure'])} · {row['status']}"
    why = "; ".join(against(row["reasons"])) if row["status"] != "ok" else count_verdicts(row["objects"])
    outlines = tuple(outlines_of(row["objects"], lines, keep_all=False))
    return SheetCell(picture, outlines, (measures, why), STATUSES[row["status"]])


def outlines_of(objects: list[Row], lines: dict[str, tuple[np.ndarray, ...]], *, keep_all: bool) -> list[Outline]:
    """What to draw: boxes, and lanes and polygons whose lines are at hand; what else is lost or ignored, as a box."""
    found = []
    for o in objects:
        verdict = "keep" if keep_all else o["verdict"]
        if o["kind"] in ("mask", "stuff") and verdict != "lost":
            continue
        pieces = lines.get(o["object_id"], ()) if o["kind"] in ("polyline", "polygon") else ()
        if o["kind"] == "box" or verdict != "keep" or pieces:
            mark, box = VERDICTS[verdict], tuple(o["bbox"])
            found += [Outline(mark, box, p) for p in pieces] or [Outline(mark, box)]
    return found


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def read_or_none(path: Path) -> Image | None:
    """The picture, or None where it cannot be read (logged): a report shows what there is."""
    try:
        return read_image(path)
    except (S2STError, OSError) as error:
        log.warning("%s", error)
        return None
