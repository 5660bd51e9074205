"""From a run to a training loop, with proof of what the loop was given: data set forms and the receipt."""

from __future__ import annotations

from s2st_aug.feed.entries import Entry, FeedIndex, open_feed
from s2st_aug.feed.receipt import FeedReceipt, Mix

__all__ = ["Entry", "FeedIndex", "FeedReceipt", "Mix", "open_feed"]
