"""The feed's receipt: compares what a training was given with the locked mix.

Images are counted where the loop takes them, batch by batch, so workers that read ahead, samplers that a framework puts
in, and limits on an epoch are counted as they are. At an epoch's end the counts of all ranks come together.

- at once, in every mode: an image that the mix does not know, of another split or another dataset, fails;
- an epoch without an image fails;
- `exact` (each image once per epoch, any order): every image of the mix is yielded once over all ranks; loaders that
  drop incomplete last batches may leave out `drop_last - 1` images on each rank, and samplers that give every rank as
  many images may repeat `padding` draws;
- `sampled` (drawn with replacement, weighted or not): the count of every domain, of every class within it and of every
  image, and how many images are never drawn, lie in what as many draws from the locked mix give, but with probability
  1e-6; also over all epochs together;
- an epoch that ends before the loader does fails in `exact` mode, unless it was limited (`limit_batches`) or ended on
  purpose (`end_epoch(early=True)`). Then nothing repeats, and the rule of `sampled` holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from s2st_aug.errors import CheckFailed, UsageError, did_you_mean
from s2st_aug.feed.arguments import refuse_below_one, refuse_other, refuse_uncallable, wrong
from s2st_aug.feed.epochs import Epoch, is_first_rank, merged, on_any_rank, over_ranks, ranks
from s2st_aug.feed.mix import Mix, Tag
from s2st_aug.feed.rules import check_all_seen, check_drawn_anew, check_no_repeats, check_not_empty, check_sampled

__all__ = ["FeedReceipt", "Mix", "Receipt", "Tag", "by_sample_id"]

Identify = Callable[[Any], Iterable[str]]
Mode = Literal["exact", "sampled"]


def by_sample_id(batch: Any) -> Iterable[str]:
    """The ids in a batch of `s2st_aug.feed.dataset.collate`; anybody's batches need a function of their own."""
    if not isinstance(batch, Mapping) or "sample_id" not in batch:
        raise CheckFailed(
            f"a batch of type {type(batch).__name__} carries no sample_id: give FeedReceipt an `identify`"
        )
    ids = batch["sample_id"]
    return [ids] if isinstance(ids, str) else ids


class Receipt:
    """Counts batches by calls of `count`, `end_epoch` and finally `close`; hooks of a framework make these calls.

    `identify` gives the sample ids in a batch: variant ids and scene ids of the mix. Raises CheckFailed as soon as, or
    at the epoch's end, the mix does not hold; on every rank.
    """

    def __init__(
        self,
        mix: Mix,
        *,
        identify: Identify = by_sample_id,
        mode: Mode = "exact",
        drop_last: int = 1,
        padding: int | None = None,
    ):
        refuse_other("mix", mix, Mix)
        refuse_uncallable("identify", identify)
        refuse_below_one("drop_last", drop_last)
        if padding is not None and (isinstance(padding, bool) or not isinstance(padding, int) or padding < 0):
            raise wrong("padding", "a whole number of at least 0, or None", padding)
        if mode not in get_args(Mode):
            raise UsageError(f"mode: unknown {mode!r}{did_you_mean(str(mode), get_args(Mode))}")
        if mix.shares is not None and mode == "exact":
            raise UsageError("a mix with shares is drawn by weight: mode='sampled'; exact yields every image once")
        self.mix, self.identify, self.mode, self.drop_last, self.padding = mix, identify, mode, drop_last, padding
        self.epochs: list[Epoch] = []  # of all ranks together once they have ended
        self.current: Epoch | None = None  # of this rank
        self.failure: str | None = None  # the first thing that did not hold
        self.closed = False

    def count(self, batch: Any) -> None:
        """Count the images of one batch, as training takes it; the first one opens an epoch."""
        epoch = self.current = self.current or Epoch()
        epoch.batches += 1
        with self._noted():
            for sample_id in self.identify(batch):
                epoch.add(sample_id, self._known(sample_id))

    def end_epoch(self, *, early: bool = False, limited: bool = False) -> None:
        """Bring all ranks' counts together and check them; every rank must call it.

        `early`: training stops within the epoch and means to; `limited`: so many batches are an epoch.
        """
        mine = self.current or Epoch()
        if mine.end == "open":
            mine.end = "early" if early else "limit" if limited else "complete"
        self.current = None
        with self._noted():
            epoch = over_ranks(mine)
            self.epochs.append(epoch)
            self._check(epoch)

    def close(self) -> None:
        """The last word: raises CheckFailed where nothing was yielded, or an epoch left open does not hold."""
        self._end_left_open()
        with self._noted():
            if not any(epoch.total for epoch in self.epochs):
                raise CheckFailed(
                    "feed receipt: the loader was never read, so no image of the locked mix was seen in training"
                )
        self.closed = True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self.close()

    def write(self, path: Path | str) -> None:
        """The receipt as JSON: images and classes by domain and epoch, beside the locked shares; by the first rank.

        `holds` is false, with `failure` in words, where something did not, and null before the receipt was closed.
        """
        shares = {domain: self.mix.share(domain) for domain in sorted({t.domain for t in self.mix.tags.values()})}
        epochs = [e.told() for e in [*self.epochs, *([self.current] if self.current else [])]]
        told: dict[str, Any] = {
            "schema": 2,
            "mode": self.mode,
            "locked": shares,
            "of": len(self.mix.tags),
            "epochs": epochs,
        }
        told |= {"holds": False if self.failure else (True if self.closed else None), "failure": self.failure}
        if is_first_rank():
            Path(path).write_text(json.dumps(told, indent=1), encoding="utf-8")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keeps what did not hold for `write`: whoever catches the error must not be left with a receipt of success."""
        try:
            yield
        except CheckFailed as error:
            self.failure = self.failure or str(error)
            raise

    def _end_left_open(self) -> None:
        with self._noted():
            left_open = on_any_rank(self.current is not None)
        if left_open:
            self.current = self.current or Epoch()
            self.current.end = "broken off" if self.current.end == "open" else self.current.end
            self.end_epoch()

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

    def _check(self, epoch: Epoch) -> None:
        check_not_empty(epoch)
        if self.mode == "exact":
            check_no_repeats(epoch, ranks() - 1 if self.padding is None else self.padding)
            if epoch.end == "complete":
                check_all_seen(epoch, self.mix, ranks() * self.drop_last - 1 if self.drop_last > 1 else 0)
                return
            if epoch.end == "broken off":
                raise CheckFailed(
                    f"feed receipt: an epoch ended after {epoch.total} of {len(self.mix.tags)} images, so not "
                    "every image was yielded once; expected limit_batches=N if every epoch ends so, or "
                    "end_epoch(early=True) if training stops"
                )
            check_drawn_anew(epoch, merged(self.epochs[:-1]), self.mix)
        check_sampled(epoch, self.mix)
        check_sampled(merged(self.epochs), self.mix)


class FeedReceipt(Receipt):
    """Wraps any loader: iterate over it instead, by `for` or by `next`. Raises CheckFailed where the mix does not hold.

    Wrap what a framework made of the loader (accelerate's `prepare`, Ray Train's `prepare_data_loader`); Lightning
    takes a callback instead (`s2st_aug.feed.hooks`). Use as a context manager, or call `close`, so that the last epoch
    is checked too. `limit_batches`: batches of an epoch on each rank, where it ends before the loader does.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        mix: Mix,
        *,
        identify: Identify = by_sample_id,
        mode: Mode = "exact",
        drop_last: int = 1,
        padding: int | None = None,
        limit_batches: int | None = None,
    ):
        padding = _padding_of(loader) if padding is None else padding
        super().__init__(mix, identify=identify, mode=mode, drop_last=drop_last, padding=padding)
        if limit_batches is not None:
            refuse_below_one("limit_batches", limit_batches)
        self.loader, self.limit_batches = loader, limit_batches

    def __iter__(self) -> Iterator[Any]:
        self._end_left_open()
        self._refuse_the_same_on_each_rank()
        length = length_of(self.loader)
        for batch in self.loader:
            self.count(batch)
            assert self.current is not None
            done = self.current.batches
            self.current.end = "complete" if done == length else "limit" if done == self.limit_batches else "open"
            yield batch
        if self.current is not None:
            self.current.end = "complete"
        self.end_epoch()

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def _refuse_the_same_on_each_rank(self) -> None:
        """A receipt around a loader hides it from a framework that would have shared it out among the ranks."""
        if ranks() == 1 or self.mode != "exact" or type(self.loader) is not DataLoader:
            return
        drawn = self.loader.batch_sampler
        if type(drawn) is BatchSampler and type(drawn.sampler) in (RandomSampler, SequentialSampler):
            raise CheckFailed(
                f"feed receipt: each of {ranks()} ranks would read all {len(self.mix.tags)} images; expected a loader "
                "with a DistributedSampler. Lightning puts one into a DataLoader and not into a receipt: give it the "
                "loader itself and callbacks=[lightning_callback(mix)]"
            )


def length_of(loader: Any) -> int | None:
    """Batches of an epoch; None where the loader does not know, as a DataLoader over a stream, which has `__len__`."""
    try:
        return len(loader)
    except TypeError:
        return None


def _padding_of(loader: Any) -> int | None:
    """Draws that accelerate's sampler repeats so that every rank has as many whole batches; None for another loader."""
    drawn: Any = getattr(loader, "batch_sampler", None)
    if not getattr(drawn, "even_batches", False) or not hasattr(drawn, "num_processes"):
        return None
    split = getattr(drawn, "split_batches", False)
    return int(drawn.batch_size) * (1 if split else int(drawn.num_processes)) - 1
