from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2st_aug.errors import UsageError
from s2st_aug.validation.overlays import pasted_everywhere


def scenes(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
        for _ in range(n)
    ]


def test_a_bonnet_that_every_variant_got_is_found_and_that_of_the_sources_is_not():
    sources = scenes(10)
    variants = [i // 2 for i in sources]
    for image in variants:
        cv2.ellipse(image, (160, 250), (140, 50), 0, 180, 360, (90, 90, 95), -1)
    found = pasted_everywhere(sources, variants)
    assert found
    assert found[0].kind == "overlay"
    assert found[0].bbox[1] > 150, "it lies at the bottom"
    assert pasted_everywhere(variants, variants) == ()
    assert pasted_everywhere(sources, [i // 2 for i in sources]) == ()


def test_a_statistic_of_a_set_needs_a_set():
    with pytest.raises(UsageError, match="at least 8 pairs"):
        pasted_everywhere(scenes(3), scenes(3))
