"""`report RUN`: one HTML page that holds everything it shows, for people who were not there when the run was made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from s2st_aug import __version__
from s2st_aug.arrays import Image
from s2st_aug.errors import RunFolderError, UsageError
from s2st_aug.records.classes import count_categories
from s2st_aug.report import evidence, kid, plot, ranking, summary
from s2st_aug.report.contact_sheet import read_or_none, spread
from s2st_aug.report.embed import SIZES, data_uri, fitting_size
from s2st_aug.report.palette import STATUSES, VERDICTS
from s2st_aug.storage.naming import overlay_name
from s2st_aug.storage.run_folder import RunFolder, RunInfo

log = logging.getLogger(__name__)
NAME = "report.html"
SHOWN, LISTED = 20, 100
FEW = 24  # so many variants are all shown, instead of the worst and the best
BUDGET = 12_000_000  # characters of pictures on the page
SAMPLED = 1000  # images a side for the distance
PHOTOS = (".png", ".jpg", ".jpeg")
LEAST = 8  # images a side that a distance needs
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VariantFigure:
    """A variant beside its source: pictures as data URIs, boxes in percent of the picture."""

    row: Row
    before: str | None
    after: str
    boxes: list[dict[str, Any]]
    score: float


@dataclass(frozen=True, slots=True)
class DistanceLine:
    """How far a domain's variants are from its references, beside the sources and the references' own halves."""

    domain: str
    variants: kid.Distance
    sources: kid.Distance | None  # None: too few of them can be read
    halves: kid.Distance


def write_report(run: Path | str, *, out: Path | None = None, references: Mapping[str, Path] | None = None) -> Path:
    """Write the page to `out` (default RUN/report.html) and return its path.

    `references` maps a domain to a folder of real photos (or true renders) for the distance; without it, a
    scenes dataset's own renders beside the source are used, and else there is no distance. Raises
    RunFolderError for no run or an empty manifest.
    """
    folder = RunFolder(run)
    page = render("report.html.j2", **report_context(folder, references or {}))
    return save_page(folder, page, out, NAME)


def report_context(folder: RunFolder, references: Mapping[str, Path]) -> dict[str, Any]:
    """Everything the template shows."""
    info, table = folder.run_json(), folder.read_manifest()
    if not len(table):
        raise RunFolderError(f"{folder.place}: the manifest has no rows yet, so there is nothing to report")
    lines = summary.domain_lines(table, info.config.get("domains", ()))
    domains = [line.domain for line in lines]
    light = table.select(["variant_id", "image", "objects", "strength", "structure"]).to_pylist()
    few = sum(1 for row in light if row["image"]) <= FEW
    worst, best = (ranking.ranked(light), []) if few else ranking.worst_and_best(light, SHOWN)
    failed = table.filter(pc.equal(table["status"], "failed"))
    rejected = table.filter(pc.equal(table["status"], "rejected")).select(["variant_id", "image"]).to_pylist()
    why = {r["variant_id"]: overlay_name(r["image"]) for r in rejected if r["image"]}
    return {
        **page_context(folder, info),
        "lines": lines,
        "verdict": summary.verdict_line(lines),
        "few": few,
        "domains": domains,
        "classes": summary.class_lines(table),
        "reasons": summary.reason_counts(table, "rejected"),
        "lost_reasons": summary.object_reason_counts(table, "lost"),
        "ignore_reasons": summary.object_reason_counts(table, "ignore"),
        "plot": plot.scatter(_points(table), domains),
        "key": {d: plot.key_mark(d, domains) for d in domains},
        "worst": _figures(folder, info, table, worst),
        "best": _figures(folder, info, table, best),
        "rule": ranking.RULE,
        "evidence": evidence.read_evidence(folder),
        "calibrated": (info.config.get("validation") or {}).get("calibrated_on"),
        "why": {variant: name for variant, name in why.items() if folder.store.size(name) is not None},
        "failed": failed.select(["scene_id", "domain", "reasons"]).slice(0, LISTED).to_pylist(),
        "failed_total": len(failed),
        "cost": cost(info, lines),
        "distances": distances(folder, info, table, references),
        "kid": kid,
    }


def page_context(folder: RunFolder, info: RunInfo) -> dict[str, Any]:
    """What every page of a run says about it."""
    return {
        "run": Path(folder.place).name,
        "info": info,
        "config": yaml.safe_dump(info.config, sort_keys=False, allow_unicode=True),
        "preset": (info.config.get("method") or {}).get("preset", ""),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "verdict_marks": VERDICTS,
        "status_marks": STATUSES,
    }


def render(template: str, **context: Any) -> str:
    """A template of this package with autoescape on and no undefined names allowed."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count_categories"] = count_categories
    environment.filters["against"] = summary.against
    return environment.get_template(template).render(**context)


def save_page(folder: RunFolder, page: str, out: Path | None, name: str) -> Path:
    """Into the run folder in one step, or to a path of the user's."""
    if out is None:
        folder.store.write_many({name: page.encode()})
        return folder.path / name
    refuse_place(out)
    out.write_text(page, encoding="utf-8")
    return out


def refuse_place(out: Path) -> None:
    """Raises UsageError where no page can be written to a path: before the work, as after it."""
    if out.is_dir():
        raise UsageError(f"--out {out}: a folder; expected the name of a file for the page")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a folder, so {out.name} cannot be written there")


def cost(info: RunInfo, lines: list[summary.DomainLine]) -> dict[str, float]:
    """Seconds of actors, network evaluations, and GPU hours where the run's actors had GPUs."""
    seconds, rows = sum(x.seconds for x in lines), max(1, sum(x.rows for x in lines))
    gpus = float((info.config.get("cluster") or {}).get("gpus_per_actor") or 0)
    forward, backward = sum(x.forward_evals for x in lines), sum(x.backward_evals for x in lines)
    return {
        "actor_hours": seconds / 3600,
        "seconds_per_variant": seconds / rows,
        "gpu_hours": seconds * gpus / 3600,
        "forward_per_variant": forward / rows,
        "backward_per_variant": backward / rows,
    }


def boxes_of(row: Row) -> list[dict[str, Any]]:
    """The row's labels as boxes in percent of the picture, with their verdicts.

    Lanes and outlines that are kept are not drawn as boxes.
    """
    w, h = (row["width"] or 1) / 100, (row["height"] or 1) / 100
    return [
        {
            "x": round(o["bbox"][0] / w, 2),
            "y": round(o["bbox"][1] / h, 2),
            "w": round((o["bbox"][2] - o["bbox"][0]) / w, 2),
            "h": round((o["bbox"][3] - o["bbox"][1]) / h, 2),
            **{k: o[k] for k in ("object_id", "category", "verdict", "reason")},
            "drawn": o["kind"] == "box" or o["verdict"] != "keep",
        }
        for o in row["objects"]
        if o["kind"] != "stuff"
    ]


def distances(folder: RunFolder, info: RunInfo, table: pa.Table, references: Mapping[str, Path]) -> list[DistanceLine]:
    """KID-style distances for every domain that has references with at least eight photos."""
    found = []
    for domain in sorted(set(table["domain"].to_pylist())):
        root = Path(info.dataset_root)
        renders = root.parent / domain / "images" if (root.parent / "pairs.parquet").is_file() else None
        photos = photos_of(references.get(domain) or renders)
        rows = table.filter(pc.and_(pc.equal(table["domain"], domain), pc.equal(table["status"], "ok")))
        line = _distance_line(folder, info, domain, rows, photos) if min(len(photos), len(rows)) >= LEAST else None
        found += [line] if line else []
    return found


def _distance_line(
    folder: RunFolder, info: RunInfo, domain: str, rows: pa.Table, photos: list[Path]
) -> DistanceLine | None:
    """The distances of a domain; None where too few of its variants or references can be read."""
    root = Path(info.dataset_root)
    target = kid.features(_pictures(photos, lambda p: p))
    variants = kid.features(_pictures(rows["image"].to_pylist(), folder.image_file))
    if min(len(target), len(variants)) < LEAST:
        return None
    sources = kid.features(_pictures(rows["source_image"].to_pylist(), lambda p: root / p))
    of_sources = kid.distance(sources, target) if len(sources) >= LEAST else None
    return DistanceLine(domain, kid.distance(variants, target), of_sources, kid.distance(target[::2], target[1::2]))


def _pictures(names: list[Any], locate: Callable[[Any], Path]) -> list[Image]:
    chosen = spread(sorted(names), SAMPLED)
    return [p for p in (read_or_none(locate(n)) for n in chosen) if p is not None]


def photos_of(folder: Path | None) -> list[Path]:
    """The photos below a folder, by their file types; none without a folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTOS)


def _points(table: pa.Table) -> list[plot.Point]:
    rows = table.select(["strength", "structure", "domain", "status", "scene_id"]).to_pylist()
    both = [r for r in rows if r["strength"] is not None and r["structure"] is not None]
    return [plot.Point(r["strength"], r["structure"], r["domain"], r["status"], r["scene_id"]) for r in both]


def _figures(folder: RunFolder, info: RunInfo, table: pa.Table, chosen: list[Row]) -> list[VariantFigure]:
    """The chosen rows beside their sources, at the largest size at which the worst and the best share the budget."""
    wanted = pa.array([r["variant_id"] for r in chosen], pa.string())
    full = {r["variant_id"]: r for r in table.filter(pc.is_in(table["variant_id"], value_set=wanted)).to_pylist()}
    rows = [full[r["variant_id"]] for r in chosen]
    root = Path(info.dataset_root)
    pairs = [(read_or_none(root / r["source_image"]), read_or_none(folder.image_file(r["image"]))) for r in rows]
    first = fitting_size([p for pair in pairs[::5] for p in pair if p is not None], 4 * SHOWN, BUDGET)
    found: list[VariantFigure] = []
    for size in SIZES[SIZES.index(first) :]:
        found = []
        for row, (before, after) in zip(rows, pairs, strict=True):
            if after is not None:
                source = None if before is None else data_uri(before, *size)
                variant = data_uri(after, *size, synthetic=True)
                found.append(VariantFigure(row, source, variant, boxes_of(row), ranking.score(row)))
        if sum(len(f.after) + len(f.before or "") for f in found) <= BUDGET / 2:
            break
    return found
