"""The lock file of an export: what was counted, what was hashed, under which terms, from which plan."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import s2st_aug
from s2st_aug.export.consumers import counts_on_disk
from s2st_aug.export.context import ExportContext
from s2st_aug.export.output import LOCK
from s2st_aug.formats.base import ConsumerView
from s2st_aug.storage.run_folder import RunInfo

LOCK_VERSION = 1
_OPENRAIL_LIMITS = (
    "Use limits (OpenRAIL-M, attachment A), which pass on to every use of the model and its derivatives: not to break "
    "the law; not to exploit or harm minors; not to generate false information meant to harm; not to spread personal "
    "data that harms a person; not to defame or harass; not for fully automated decisions that affect legal rights; "
    "not to discriminate or to exploit the vulnerable; not for medical advice; not for law enforcement's prediction of "
    "crimes. Whoever makes images answers for their use."
)
TERMS: tuple[tuple[str, str, str], ...] = (
    ("street-mini", "Apache-2.0", "Weights trained on procedural scenes and MIT-licensed photos; see the model card."),
    (
        "street-photo",
        "non-commercial",
        "Weights trained on CamVid and IDD-Lite too: research and non-commercial use only; see the model card.",
    ),
    ("stable-diffusion-2", "CreativeML Open RAIL++-M", _OPENRAIL_LIMITS),
    ("stable-diffusion", "CreativeML OpenRAIL-M", _OPENRAIL_LIMITS),
)


def lock_of(
    info: RunInfo, context: ExportContext, settings: dict[str, Any], view: ConsumerView | None
) -> dict[str, Any]:
    """Everything but the files' hashes; no time stamp, so that two exports of a run are the same bytes."""
    card, split, selection = context.card, context.split, context.selection
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
        "counts": {split: {card.name: counts_of(context, view)}},
        **({"classes": list(view.classes)} if view else {}),
        **({"held_out": context.held_out} if context.held_out else {}),
        "names": context.images,
        "synthetic": sorted(v.variant_id for variants in selection.variants.values() for v in variants),
    }


def counts_of(context: ExportContext, view: ConsumerView | None) -> dict[str, Any]:
    """Images and labels by domain and class; `source` stands for the real images.

    They are counted in the written files. Where a dataset goes out as what it is and holds one label in several forms
    (`whole_labels` is False), the classes are those of the run's records.
    """
    if view is not None and (view.whole_labels or context.labels):
        return counts_on_disk(context, view)
    selection = context.selection
    images = Counter("source" if p.source == "real" else p.source for p in context.images.values())
    images["source"] += 0
    return {
        domain: {
            "images": n,
            "classes": dict(selection.classes.get(domain, {})),
            "ignored": selection.ignored.get(domain, 0),
        }
        for domain, n in images.items()
    }


def variants_in(dataset: Path | str) -> int:
    """How many images of a dataset's folder are variants already: it is an export of an earlier run; 0: it is none."""
    try:
        names = json.loads((Path(dataset) / LOCK).read_bytes())["names"]
        return sum(source != "real" for _, source in names.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return 0


def model_terms(model: str) -> dict[str, str]:
    """Licence and terms of a model by its name or folder; unknown models say that their own card counts."""
    if not model:
        return {"name": "", "licence": "none", "terms": "no model of ours: what made the images says their terms"}
    for part, licence, terms in TERMS:
        if part in model:
            return {"name": model, "licence": licence, "terms": terms}
    return {
        "name": model,
        "licence": "unknown",
        "terms": "see the model's own card; Stable Diffusion models carry the OpenRAIL use limits",
    }
