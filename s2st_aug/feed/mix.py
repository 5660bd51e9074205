"""The locked mix: what a training set holds, image by image, and the share that each domain has in an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.feed.arguments import refuse_no_shares, refuse_other
from s2st_aug.feed.entries import FeedIndex
from s2st_aug.formats import read_objects


@dataclass(frozen=True, slots=True)
class Tag:
    """What an image counts as: its domain, where it is from, and the classes among its labels."""

    domain: str
    dataset: str
    split: str
    classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Mix:
    """The locked mix: every image of the training set by its id, with its tag.

    `shares` may weight domains in `sampled` mode.
    """

    tags: Mapping[str, Tag]
    dataset: str
    split: str
    shares: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        refuse_no_shares(self.shares)
        domains = {t.domain for t in self.tags.values()}
        for name in (self.shares or {}).keys() - domains:
            raise UsageError(f"shares: no image of the mix is of {name!r}{did_you_mean(name, domains)}")
        shares = [*(self.shares or {"": 1.0}).values()]
        if not math.isclose(sum(shares), 1, abs_tol=1e-6) or min(shares) < 0:
            raise UsageError(f"shares: expected fractions that sum to 1, got {dict(self.shares or {})}")

    @classmethod
    def of(cls, index: FeedIndex, *, split: str | None = None, shares: Mapping[str, float] | None = None) -> Mix:
        """The mix of a feed; reads every scene's labels once. `split` is the run's own without one.

        Raises UsageError for shares that do not sum to 1, or of another domain.
        """
        refuse_other("index", index, FeedIndex)
        card = index.card
        classes: dict[str, frozenset[str]] = {}
        for scene in {e.scene.scene_id: e.scene for e in index.entries}.values():
            classes[scene.scene_id] = frozenset(o.category for o in read_objects(card, index.root, scene))
        tags = {
            e.sample_id: Tag(e.domain, e.scene.dataset, e.scene.split, classes[e.scene.scene_id]) for e in index.entries
        }
        own = next((tag.split for tag in tags.values()), "train") if split is None else split
        return cls(tags, card.name, own, shares)

    def share(self, domain: str) -> float:
        """The planned share of a domain among the images of an epoch."""
        if self.shares is not None:
            return self.shares.get(domain, 0.0)
        return sum(t.domain == domain for t in self.tags.values()) / len(self.tags)
