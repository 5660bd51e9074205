from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.benchmarks import faults
from s2st_aug.benchmarks.figure import measured


def test_every_name_of_the_contract_comes_out_and_what_was_not_seen_says_so(monkeypatch, pair):
    case = faults.Case(pair, pair.objects, (), (), "night", "drawn")
    monkeypatch.setattr(faults, "cases", lambda *_: iter([case]))
    monkeypatch.setattr(faults, "_milliseconds", lambda _: measured("ms_per_image", 30.0, "ms", 40, "at_most", n=1))
    figures = {f.name: f for f in faults.run(quick=True)}
    names = {f"recall_{name}" for name in faults.AIMED} | {"fpr", "lost_on_true_night", "not_keep_on_true_night", "ms_per_image"}
    assert names <= set(figures)
    assert figures["recall_identity"].holds is True
    assert figures["recall_erased"].holds is None
    assert figures["recall_erased"].why


def test_wilsons_interval_holds_the_rate_and_narrows():
    assert faults.wilson(95, 100) == pytest.approx((0.888, 0.978), abs=1e-3)
    assert np.diff(faults.wilson(950, 1000))[0] < np.diff(faults.wilson(95, 100))[0]
