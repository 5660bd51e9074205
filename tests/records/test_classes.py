"""Categories as a page counts them."""

from __future__ import annotations

from s2st_aug.records.classes import count_categories


def test_categories_are_counted_by_name():
    assert count_categories(["traffic light", "rider", "traffic light"]) == "1 x rider, 2 x traffic light"
    assert count_categories([]) == ""
