"""Golden verdicts: the checks' code may not decide otherwise under the same VERDICT_VERSION."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.planted_faults import Pair
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.verdicts import Judgement
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.validation.identity import VERDICT_VERSION
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings
from s2st_aug.validation.strength import fit_discriminant

GOLDEN = Path(__file__).with_name("golden_verdicts.json")
ADVICE = (
    "verdicts are not what they were under VERDICT_VERSION {}: where that is meant, raise VERDICT_VERSION in "
    "s2st_aug/validation/identity.py (the verdicts of both are then told apart), delete {} and run this test again"
)


def variants(pair: Pair) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """A name, the variant, and the variant before the detail step."""
    night = pair.variant
    yield "true", night, night
    yield "identity", pair.source, pair.source
    yield "darkened", (pair.source * 0.4).astype(np.uint8), pair.source
    yield "dissolved", night, np.full_like(night, 40)
    yield "shifted", np.roll(night, 8, 1), night
    erased = night.copy()
    erased[128:184, 148:218] = night[184:240, 148:218]
    yield "erased", erased, erased
    lamp = night.copy()
    lamp[80:88, 220:228] = (255, 240, 200)
    yield "lamp", lamp, lamp
    green = night.copy()
    green[43:56, 131:144] = night[190:203, 131:144]
    green[75:88, 131:144] = (40, 255, 120)
    yield "signal", green, green


def figures(found: Judgement) -> dict[str, Any]:
    """What a manifest's row says of the variant, rounded."""
    names = ("structure", "structure_raw", "strength", "change", "tone_explained", "contrast", "lightness")
    objects = {
        o.object_id: [
            o.verdict,
            o.cause,
            o.shift_unsure,
            o.structure,
            o.structure_raw,
            o.visibility,
            o.shift_px,
            o.around,
            o.evidence,
            o.signal_kept,
        ]
        for o in found.objects
    }
    return {
        "status": found.status,
        "rejected_by": list(found.rejected_by),
        "measures": [rounded(getattr(found, name)) for name in names],
        "objects": {name: [rounded(v) for v in values] for name, values in objects.items()},
        "worst": [[h.kind, rounded(h.score)] for h in found.hallucinations[:1]],
    }


def rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def same(one: Any, other: Any) -> bool:
    """Equal but for what another build of OpenCV may compute in the last digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        return one == pytest.approx(other, rel=0.02, abs=0.02)
    return one == other


def test_the_same_code_version_gives_the_same_verdicts(pair, street_photos):
    days, nights = street_photos
    sha256, none = tiny_latent_model().sha256, np.zeros((4, 4, 8), np.float32)
    fitted = fit_discriminant(days, nights, "drawn", accuracy=1.0)
    profile = DomainProfile("night", "night", "day", sha256, none, none, {}, {}, (), (), fitted, "")
    settings = ValidationSettings()
    found = {
        name: figures(judge(pair.source, variant, raw, pair.objects, profile, settings))
        for name, variant, raw in variants(pair)
    }
    if not GOLDEN.exists():
        rows = [
            f"{json.dumps(name)}: {json.dumps(value)}" for name, value in (("version", VERDICT_VERSION), *found.items())
        ]
        GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    golden = json.loads(GOLDEN.read_text())
    assert golden.pop("version") == VERDICT_VERSION, ADVICE.format(VERDICT_VERSION, GOLDEN)
    for name, expected in golden.items():
        assert same(expected, found[name]), (
            f"{ADVICE.format(VERDICT_VERSION, GOLDEN)}: {name}: {expected} is {found[name]}"
        )
    assert {row["status"] for row in golden.values()} == {"ok", "rejected"}
    causes = {o[1] for row in golden.values() for o in row["objects"].values()}
    assert causes >= {None, "moved", "vanished", "dissolved", "signal_changed"}, causes
