"""Fit the classifier of made-up lights on the choosing half: streets of rng_key 4 and CamVid's video 0016E5.

python pipelines/fit_lights.py [STREETS] [PHOTOS] writes s2st_aug/validation/lights.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from s2st_aug.benchmarks.faults import CHOSEN_KEY, cases
from s2st_aug.randomness import numpy_generator
from s2st_aug.validation.faults import FAULTS
from s2st_aug.validation.hallucinations import blobs
from s2st_aug.validation.lights import fit
from s2st_aug.validation.patches import frame

PLANTS = 8  # lights planted into each variant, one at a time
OUT = Path(__file__).parents[1] / "s2st_aug" / "validation" / "lights.json"


def main(streets: int, photos: int) -> None:
    """Gather blobs of true variants and of planted lights, fit, write."""
    rows: list[np.ndarray] = []
    made_up: list[np.ndarray] = []
    for case in cases(streets, photos, key=CHOSEN_KEY, video="0016E5"):
        source, rng = frame(case.pair.source), numpy_generator(0, "lights", case.name)
        _, real = blobs(source, frame(case.pair.variant), case.labels)
        rows, made_up = [*rows, real], [*made_up, np.zeros(len(real), bool)]
        for _ in range(PLANTS):
            planted = FAULTS["pasted_light"](case.pair, None, rng)
            if planted is None or planted.box is None:
                continue
            boxes, found = blobs(source, frame(planted.variant), case.labels)
            x1, y1, x2, y2 = planted.box
            hit = np.array([b[0] < x2 and x1 < b[2] and b[1] < y2 and y1 < b[3] for b in boxes], bool)
            rows, made_up = [*rows, found[hit]], [*made_up, np.ones(int(hit.sum()), bool)]
        print(case.name, sum(map(len, rows)))
    weights = fit(np.concatenate(rows), np.concatenate(made_up))
    about = f"{streets} streets of rng_key {CHOSEN_KEY}, {photos} photos of CamVid 0016E5, {PLANTS} lights each"
    OUT.write_text(json.dumps({"fitted_on": about, "weights": [float(f"{w:.5g}") for w in weights]}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(int(a) for a in (sys.argv[1:] or ("24", "20"))))
