"""The feed's receipt: what a data loader actually yielded, held against the mix that was locked.

The rules, per epoch of n yielded images:

- at once, in every mode: an image that the mix does not know, of another split or another dataset, fails;
- `exact` (each image once per epoch, any order): every image of the mix is yielded once; a loader that drops its last
  incomplete batch may leave out at most `drop_last - 1` images;
- `sampled` (drawn with replacement, weighted or not): for every domain, and for every class within it, the count of
  images lies in the two-sided interval of the binomial with n draws and the locked share, of probability 1 - 1e-6
  divided by the number of intervals; domains and classes of the mix that never appear fail by the same rule.

An epoch that is broken off is held against the `sampled` rule in either mode, and repeats fail in `exact` mode.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from scipy import stats

from s2st_aug.errors import CheckFailed, UsageError, did_you_mean
from s2st_aug.feed.arguments import refuse_below_one, refuse_no_shares, refuse_other, refuse_uncallable
from s2st_aug.feed.entries import FeedIndex
from s2st_aug.formats import read_objects

Identify = Callable[[Any], Iterable[str]]
Mode = Literal["exact", "sampled"]
TOLERANCE = 1e-6


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
            raise UsageError(f"shares: expected fractions that sum to 1, came {dict(self.shares or {})}")

    @classmethod
    def of(cls, index: FeedIndex, *, split: str = "train", shares: Mapping[str, float] | None = None) -> Mix:
        """The mix of a feed; reads every scene's labels once.

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
        return cls(tags, card.name, split, shares)

    def share(self, domain: str) -> float:
        """The planned share of a domain among the images of an epoch."""
        if self.shares is not None:
            return self.shares.get(domain, 0.0)
        return sum(t.domain == domain for t in self.tags.values()) / len(self.tags)


@dataclass(slots=True)
class Epoch:
    """What one epoch yielded."""

    images: Counter[str] = field(default_factory=Counter)  # by sample id
    domains: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)  # domain -> images by class
    finished: bool = False

    def add(self, sample_id: str, tag: Tag) -> None:
        """Count one yielded image."""
        self.images[sample_id] += 1
        self.domains[tag.domain] += 1
        self.classes.setdefault(tag.domain, Counter()).update(tag.classes)

    def told(self) -> dict[str, Any]:
        """The epoch as plain values."""
        classes = {domain: dict(counts) for domain, counts in self.classes.items()}
        counted = {
            "images": self.total,
            "distinct": len(self.images),
            "domains": dict(self.domains),
            "classes": classes,
        }
        return counted | {"finished": self.finished}

    @property
    def total(self) -> int:
        """Images yielded."""
        return sum(self.domains.values())


def by_sample_id(batch: Any) -> Iterable[str]:
    """The ids in a batch of `s2st_aug.feed.dataset.collate`; anybody's batches need a function of their own."""
    if not isinstance(batch, Mapping) or "sample_id" not in batch:
        raise CheckFailed(
            f"a batch of type {type(batch).__name__} carries no sample_id: give FeedReceipt an `identify`"
        )
    ids = batch["sample_id"]
    return [ids] if isinstance(ids, str) else ids


class FeedReceipt:
    """Wraps any loader: iterate over it instead. Raises CheckFailed as soon as, or at the epoch's end, the mix does not
    hold.

    `identify` gives the sample ids in a batch: variant ids and scene ids of the mix. Use as a context
    manager, or call `close`, so that an epoch that was broken off is checked too.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        mix: Mix,
        *,
        identify: Identify = by_sample_id,
        mode: Mode = "exact",
        drop_last: int = 1,
    ):
        refuse_other("mix", mix, Mix)
        refuse_uncallable("identify", identify)
        refuse_below_one("drop_last", drop_last)
        if mode not in get_args(Mode):
            raise UsageError(f"mode: unknown {mode!r}{did_you_mean(str(mode), get_args(Mode))}")
        if mix.shares is not None and mode == "exact":
            raise UsageError("a mix with shares is drawn by weight: mode='sampled'; exact yields every image once")
        self.loader, self.mix, self.identify, self.mode, self.drop_last = loader, mix, identify, mode, drop_last
        self.epochs: list[Epoch] = []

    def __iter__(self) -> Iterator[Any]:
        self._check_broken_off()
        epoch = Epoch()
        self.epochs.append(epoch)
        for batch in self.loader:
            for sample_id in self.identify(batch):
                epoch.add(sample_id, self._known(sample_id))
            yield batch
        epoch.finished = True
        self._check(epoch)

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __enter__(self) -> FeedReceipt:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        """The last word: raises CheckFailed where nothing was yielded, or a broken-off epoch does not hold."""
        if not any(epoch.total for epoch in self.epochs):
            raise CheckFailed(
                "feed receipt: the loader was never read, so no image of the locked mix was seen in training"
            )
        self._check_broken_off()

    def write(self, path: Path | str) -> None:
        """The receipt as JSON: images and classes by domain and epoch, beside the locked shares."""
        shares = {domain: self.mix.share(domain) for domain in sorted({t.domain for t in self.mix.tags.values()})}
        epochs = [e.told() for e in self.epochs]
        Path(path).write_text(
            json.dumps(
                {"schema": 1, "mode": self.mode, "locked": shares, "of": len(self.mix.tags), "epochs": epochs}, indent=1
            )
        )

    def _known(self, sample_id: str) -> Tag:
        tag = self.mix.tags.get(sample_id)
        if tag is None:
            raise CheckFailed(
                f"feed receipt: yielded {sample_id!r}, which is not in the locked mix of {len(self.mix.tags)} images"
            )
        if (tag.dataset, tag.split) != (self.mix.dataset, self.mix.split):
            raise CheckFailed(
                f"feed receipt: yielded {sample_id!r} of {tag.dataset} {tag.split}, "
                f"locked are {self.mix.dataset} {self.mix.split}"
            )
        return tag

    def _check_broken_off(self) -> None:
        for epoch in self.epochs:
            if not epoch.finished and epoch.total:
                self._no_repeats(epoch)
                check_sampled(epoch, self.mix)
                epoch.finished = True

    def _check(self, epoch: Epoch) -> None:
        if self.mode == "sampled":
            check_sampled(epoch, self.mix)
            return
        self._no_repeats(epoch)
        missing = [i for i in self.mix.tags if i not in epoch.images]
        if len(missing) >= self.drop_last:
            domains = Counter(self.mix.tags[i].domain for i in missing)
            told = ", ".join(f"{n} of {domain}" for domain, n in sorted(domains.items()))
            raise CheckFailed(
                f"feed receipt: an epoch of {epoch.total} images left out {len(missing)} of the locked mix ({told})"
            )

    def _no_repeats(self, epoch: Epoch) -> None:
        repeated = [i for i, n in epoch.images.items() if n > 1] if self.mode == "exact" else []
        if repeated:
            most = max(repeated, key=lambda i: epoch.images[i])
            told = f"{most!r} {epoch.images[most]} times"
            raise CheckFailed(
                f"feed receipt: {len(repeated)} images were yielded more than once in an epoch, {told}; "
                "expected each once"
            )


def check_sampled(epoch: Epoch, mix: Mix) -> None:
    """Hold an epoch's counts against the binomial intervals of the locked shares; raises CheckFailed with the worst."""
    expected = dict(_expected(mix))
    for (domain, category), share in expected.items():
        seen = epoch.domains[domain] if category is None else epoch.classes.get(domain, Counter())[category]
        low, high = stats.binom.interval(1 - TOLERANCE / len(expected), epoch.total, share)
        if not low <= seen <= high:
            what = domain if category is None else f"{domain} with {category}"
            planned = f"expected {share * epoch.total:.0f} ({low:.0f} to {high:.0f}) by the locked mix"
            raise CheckFailed(f"feed receipt: {seen} of {epoch.total} images are {what}, {planned}")


def _expected(mix: Mix) -> Iterator[tuple[tuple[str, str | None], float]]:
    domains = Counter(t.domain for t in mix.tags.values())
    classes: dict[str, Counter[str]] = {domain: Counter() for domain in domains}
    for tag in mix.tags.values():
        classes[tag.domain].update(tag.classes)
    for domain, count in domains.items():
        share = mix.share(domain)
        yield (domain, None), share
        for category, n in classes[domain].items():
            yield (domain, category), share * n / count
