"""What an epoch must be to be the locked mix. Each rule raises CheckFailed with one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from scipy import stats

from s2st_aug.errors import CheckFailed
from s2st_aug.feed.epochs import Epoch
from s2st_aug.feed.mix import Mix

TOLERANCE = 1e-6  # probability that an honest loader breaks any of the sampled rules


def check_not_empty(epoch: Epoch) -> None:
    """An epoch without an image trains nothing."""
    if not epoch.total:
        raise CheckFailed("feed receipt: an epoch of 0 images; expected images of the locked mix")


def check_no_repeats(epoch: Epoch, padding: int) -> None:
    """Each image at most once, but for `padding` draws by which samplers give every rank as many images."""
    repeated = {i: n - 1 for i, n in epoch.images.items() if n > 1}
    if sum(repeated.values()) <= padding:
        return
    most = max(repeated, key=lambda i: repeated[i])
    told = f"{len(repeated)} images were yielded more than once in an epoch, {most!r} {epoch.images[most]} times"
    if len(epoch.ranks) > 1:
        told += f" ({len(epoch.ranks)} ranks yielded {' + '.join(map(str, epoch.ranks))} images)"
        told += f"; expected each once, and at most {padding} draws more to give all ranks as many"
    else:
        told += "; expected each once"
    raise CheckFailed(f"feed receipt: {told}")


def check_all_seen(epoch: Epoch, mix: Mix, dropped: int) -> None:
    """Every image is there, but for at most `dropped` of incomplete last batches."""
    missing = [i for i in mix.tags if i not in epoch.images]
    if len(missing) <= dropped:
        return
    domains = Counter(mix.tags[i].domain for i in missing)
    told = ", ".join(f"{n} of {domain}" for domain, n in sorted(domains.items()))
    raise CheckFailed(
        f"feed receipt: an epoch of {epoch.total} images left out {len(missing)} of the locked mix ({told})"
    )


def check_drawn_anew(epoch: Epoch, earlier: Epoch, mix: Mix) -> None:
    """A part of the mix in each epoch is another part each time: how many of its images earlier epochs had already is
    bounded by the hypergeometric distribution. That is of images drawn one by one: a loader that draws whole shards
    wants a shuffle buffer of several of them.
    """
    again, before = len(epoch.images.keys() & earlier.images.keys()), len(earlier.images)
    most = stats.hypergeom.isf(TOLERANCE, len(mix.tags), before, len(epoch.images))
    if again > most:
        raise CheckFailed(
            f"feed receipt: {again} of the {len(epoch.images)} images of an epoch were in earlier ones already, "
            f"expected at most {most:.0f} of {len(mix.tags)} where each epoch is drawn anew; is the loader shuffled?"
        )


def check_sampled(epoch: Epoch, mix: Mix) -> None:
    """Hold counts against what as many draws from the locked mix give: domains, classes, single images, images unseen.

    Draws without replacement spread less than the binomial, so for them the intervals are wide, never narrow. How many
    images of a domain remain unseen is bounded as if they were independent (they are negatively associated: Dubhashi
    and Ranjan, Random Structures & Algorithms 13, 1998).
    """
    shares, sizes = dict(_expected(mix)), Counter(t.domain for t in mix.tags.values())
    each = TOLERANCE / (len(shares) + len(mix.tags) + len(sizes))
    for (domain, category), share in shares.items():
        seen = epoch.domains[domain] if category is None else epoch.classes.get(domain, Counter())[category]
        low, high = stats.binom.interval(1 - each, epoch.total, share)
        if not low <= seen <= high:
            what = domain if category is None else f"{domain} with {category}"
            planned = f"expected {share * epoch.total:.0f} ({low:.0f} to {high:.0f}) by the locked mix"
            raise CheckFailed(f"feed receipt: {seen} of {epoch.total} images are {what}, {planned}")
    _check_single_images(epoch, mix, sizes, each)


def _check_single_images(epoch: Epoch, mix: Mix, sizes: Mapping[str, int], each: float) -> None:
    seen = Counter(mix.tags[i].domain for i in epoch.images)
    for domain, size in sizes.items():
        chance = mix.share(domain) / size
        unseen, most = size - seen[domain], stats.binom.isf(each, size, (1 - chance) ** epoch.total)
        if unseen > most:
            raise CheckFailed(
                f"feed receipt: {epoch.total} images drawn, and {unseen} of the {size} of {domain} are never among "
                f"them, expected at most {most:.0f} by the locked mix"
            )
        often = stats.binom.isf(each, epoch.total, chance)
        drawn = max((n for i, n in epoch.images.items() if mix.tags[i].domain == domain), default=0)
        if drawn > often:
            raise CheckFailed(
                f"feed receipt: an image of {domain} was drawn {drawn} times of {epoch.total}, expected at most "
                f"{often:.0f} by the locked mix"
            )


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
