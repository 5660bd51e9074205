"""Faults of ten kinds in random mixes on two Ray nodes; the other hundreds are suite `cluster`'s."""

from __future__ import annotations

import pytest

from benchmarks.node_faults import KINDS, NoNamespaces, node_faults


@pytest.mark.parametrize(
    ("count", "key"), [(5, 6), pytest.param(10, 3, marks=pytest.mark.slow)], ids=["five", "each kind"]
)
def test_faults_on_two_nodes_leave_the_set_of_an_undisturbed_run(count, key, tmp_path):
    try:
        found = node_faults(tmp_path, count, key, scenes=12, seconds=240)
    except NoNamespaces:
        pytest.skip("this machine lets us neither mount nor rename a host for our own processes")
    assert sum(found["hits"].values()) >= count and found["hits"].keys() <= set(KINDS)
    assert (found["differ"], found["findings"]) == (0, 0)
    assert found["wrong"] == []
    assert found["rows"] == 24 * found["runs"]
