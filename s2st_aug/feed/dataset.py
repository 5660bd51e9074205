"""The torch form: a map-style Dataset and a collate function that keep the sample's id with its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from s2st_aug.feed.arguments import refuse_other, refuse_uncallable
from s2st_aug.feed.entries import FeedIndex, Sample

Item = dict[str, Any]


class RunDataset(Dataset[Item]):
    """`FeedIndex` as a torch Dataset; `transform` turns a Sample into whatever the model takes (default: `plain`)."""

    def __init__(self, index: FeedIndex, transform: Callable[[Sample], Item] | None = None):
        refuse_other("index", index, FeedIndex)
        refuse_uncallable("transform", transform or plain)
        self.index = index
        self.transform = transform or plain

    def __len__(self) -> int:
        return len(self.index.entries)

    def __getitem__(self, position: int) -> Item:
        sample = self.index.read(self.index.entries[position])
        return {"sample_id": sample.entry.sample_id} | self.transform(sample)


def plain(sample: Sample) -> Item:
    """`image` uint8 `3 h w`, `boxes` float32 `n 4` (xyxy, pixels), `categories` and `object_ids` as lists of text."""
    boxes = [o.bbox for o in sample.trained if o.kind != "stuff"]
    named = [o for o in sample.trained if o.kind != "stuff"]
    return {
        "image": torch.from_numpy(sample.image.copy()).permute(2, 0, 1),
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "categories": [o.category for o in named],
        "object_ids": [o.object_id for o in named],
        "ignored": torch.tensor([o.bbox for o in sample.ignored], dtype=torch.float32).reshape(-1, 4),
    }


def collate(items: Sequence[Item]) -> Item:
    """A batch as a dict of lists: images of one size are stacked by the transform that knows them."""
    return {key: [item[key] for item in items] for key in items[0]}
