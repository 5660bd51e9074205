from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.validation.structure import structure


def test_structure_is_one_for_identity_zero_for_black_and_none_for_flat(pair):
    assert structure(pair.source, pair.source) == pytest.approx(1, abs=1e-5)
    assert structure(pair.source, np.zeros_like(pair.source)) == 0
    assert structure(np.full_like(pair.source, 90), pair.source) is None


def test_structure_is_the_formula_of_method(pair):
    """Written out once more from docs/method.md#structure, in float64 and without any of our code."""
    import cv2

    def field(image):
        y = cv2.GaussianBlur(image.astype(np.float64) @ [0.299, 0.587, 0.114], (0, 0), 1.5)
        gx, gy = cv2.Scharr(y, cv2.CV_64F, 1, 0) / 32, cv2.Scharr(y, cv2.CV_64F, 0, 1) / 32
        return np.hypot(gx, gy), np.arctan2(gy, gx)

    (gs, ts), (gv, tv) = field(pair.source), field(pair.variant)
    w = np.where(gs > 2, np.minimum(gs, 20), 0)
    expected = (w * np.cos(2 * (ts - tv)) * gv**2 / (gv**2 + 4)).sum() / (w * gs**2 / (gs**2 + 4)).sum()
    assert structure(pair.source, pair.variant) == pytest.approx(expected, abs=1e-3)


def test_structure_does_not_mind_inverted_contrast_and_falls_with_shift(pair):
    assert structure(pair.source, 255 - pair.source) == pytest.approx(1, abs=1e-4)
    values = [structure(pair.source, np.roll(pair.source, n, 1)) for n in (0, 2, 8)]
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.5
