"""Which variants are worth looking at: an order from worst to best, by what the manifest measured."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
RULE = "the share of labels not lost, times structure, times strength up to 1; rows without a measure count it as 0"


def score(row: Row) -> float:
    """0 (worst) to about 1: see `RULE`."""
    objects = row["objects"]
    kept = 1 - sum(o["verdict"] == "lost" for o in objects) / len(objects) if objects else 1.0
    strength = min(1.0, max(0.0, row["strength"] or 0.0))
    return kept * max(0.0, row["structure"] or 0.0) * strength


def worst_and_best(rows: list[Row], count: int) -> tuple[list[Row], list[Row]]:
    """At most `count` of each, worst first and best first; no row is in both. Rows without an image are left out."""
    every = ranked(rows)
    half = min(count, (len(every) + 1) // 2)
    return every[:half], every[half:][::-1][:count]


def ranked(rows: list[Row]) -> list[Row]:
    """All rows with an image, worst first."""
    return sorted((r for r in rows if r["image"]), key=lambda r: (score(r), r["variant_id"]))
