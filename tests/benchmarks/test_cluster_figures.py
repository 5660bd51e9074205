"""Rates of suite `cluster`, on commits whose rate is known."""

from __future__ import annotations

import pytest

from benchmarks.cluster import _steady


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.1])
@pytest.mark.parametrize("at_once", [1, 8])
def test_a_rate_is_right_whether_commits_come_in_waves_or_evenly(at_once, spread):
    """A wave at one end and none at the other took a sixteenth off eight GPUs that never waited: 0.94 of linear."""
    starting = [40.0 + 0.1 * i for i in range(at_once)]
    later = [50.0 + 1.2 * wave + spread * gpu / at_once for wave in range(14) for gpu in range(at_once)]
    running_dry = [80.0 + 2.0 * gpu for gpu in range(at_once)]
    assert _steady([*starting, *later, *running_dry], at_once) == pytest.approx(at_once / 1.2)


def test_a_gpu_that_stands_still_is_seen():
    times = [50.0 + 1.2 * wave for wave in range(16) for gpu in range(8) if gpu < 7]
    assert _steady(times, 8) == pytest.approx(7 / 1.2, rel=0.1)
