"""The Ray Data form of a feed; Ray itself stays behind `s2st_aug.engine`."""

from __future__ import annotations

import json
from typing import Any

from s2st_aug.engine.feed import rows_to_dataset
from s2st_aug.feed.arguments import refuse_other
from s2st_aug.feed.entries import FeedIndex
from s2st_aug.feed.shards import record


def ray_dataset(index: FeedIndex) -> Any:
    """A `ray.data.Dataset` with one row per image: `sample_id`, `image` (h w
    3 uint8) and `labels` (JSON, as in the shards).
    """
    refuse_other("index", index, FeedIndex)
    return rows_to_dataset(len(index.entries), _Reader(index))


class _Reader:
    def __init__(self, index: FeedIndex):
        self.index = index

    def __call__(self, position: int) -> dict[str, Any]:

        sample = self.index.read(self.index.entries[position])
        return {
            "sample_id": sample.entry.sample_id,
            "image": sample.image,
            "labels": json.dumps(record(sample), sort_keys=True),
        }
