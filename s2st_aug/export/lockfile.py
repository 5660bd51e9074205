"""The lock file of an export: what was counted, what was hashed, under which terms, from which plan."""

from __future__ import annotations

from typing import Any

import s2st_aug
from s2st_aug.export.selection import Selection
from s2st_aug.export.terms import model_terms
from s2st_aug.formats import Card
from s2st_aug.storage.run_folder import RunInfo

LOCK_VERSION = 1


def lock_of(info: RunInfo, card: Card, split: str, selection: Selection, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything but the files' hashes; no time stamp, so that two exports of a run are the same bytes."""
    return {
        "lock_version": LOCK_VERSION,
        "package_version": s2st_aug.__version__,
        "settings": settings,
        "plan_sha256": info.plan_sha256,
        "validation_sha256": info.validation_sha256,
        "model_sha256": info.model_sha256,
        "terms": {
            "dataset": {
                "name": card.name,
                "title": card.title,
                "licence": card.licence,
                "terms": card.terms,
                "where": card.where,
            },
            "model": model_terms(info.model),
        },
        "counts": {split: {card.name: counts_of(selection)}},
        "synthetic": sorted(v.variant_id for variants in selection.variants.values() for v in variants),
    }


def counts_of(selection: Selection) -> dict[str, Any]:
    """Images and labels by domain and class; `source` stands for the real images."""
    images = {"source": len(selection.sources)}
    for variants in selection.variants.values():
        for variant in variants:
            images[variant.domain] = images.get(variant.domain, 0) + 1
    return {
        domain: {
            "images": n,
            "classes": dict(selection.classes.get(domain, {})),
            "ignored": selection.ignored.get(domain, 0),
        }
        for domain, n in images.items()
    }
