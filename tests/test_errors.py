"""Words of messages."""

from __future__ import annotations

import pytest

from s2st_aug.errors import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(0, "scene", "0 scenes"), (1, "scene", "1 scene"), (2, "scene", "2 scenes"), (3, "batch", "3 batches")],
)
def test_one_thing_has_no_plural(number, noun, said):
    assert counted(number, noun) == said
