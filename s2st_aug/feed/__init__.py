"""Read a run in a training loop: datasets for several libraries, and a receipt that proves what the loop was given."""

from __future__ import annotations

from s2st_aug.feed.entries import Entry, FeedIndex, open_feed
from s2st_aug.feed.mix import Mix
from s2st_aug.feed.receipt import FeedReceipt, Receipt

__all__ = ["Entry", "FeedIndex", "FeedReceipt", "Mix", "Receipt", "open_feed"]
