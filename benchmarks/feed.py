"""Suite `feed`: pushing and pulling at scale, receipts over planted
faults, and what training with the variants brings.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks import receipt_loops
from benchmarks.figure import Figure, measured, undecided
from benchmarks.gain import gain_figures
from s2st_aug.errors import CheckFailed, MissingDependency
from s2st_aug.feed import FeedIndex, FeedReceipt, Mix, open_feed
from s2st_aug.storage.decisions import Decision, from_table
from s2st_aug.testing.reviewed_runs import FakeRun, make_run

MEASURED = Path(__file__).parents[1] / "docs" / "measured"
BOXES = 12
FRAMEWORKS = ("plain", "lightning", "accelerate", "ray")


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the suite; quick pushes 2,000 of the 10,000 variants and scales the time up."""
    with tempfile.TemporaryDirectory(prefix="s2st_aug-feed-") as folder:
        yield from _review_figures(Path(folder), quick=quick)
        yield receipt_catches(Path(folder) / "receipts")
    yield from gain_figures(MEASURED / "gain_camvid_dusk.json", MEASURED / "gain_scenes.json")


def _review_figures(folder: Path, *, quick: bool) -> Iterator[Figure]:
    try:
        with mongod(folder / "db"):
            yield push_seconds(folder / "push", variants=2000 if quick else 10_000)
            yield decisions_lost(folder / "lost", decisions=60 if quick else 300)
    except MissingDependency as error:
        yield undecided("push_seconds_10k", "s", 120, str(error))
        yield undecided("decisions_lost", "decisions", 0, str(error))


@contextlib.contextmanager
def mongod(folder: Path) -> Iterator[None]:
    """A database of our own for the time of the suite, unless FIFTYONE_DATABASE_URI names one."""
    program = find_mongod()
    if "FIFTYONE_DATABASE_URI" in os.environ or program is None:
        yield
        return
    folder.mkdir(parents=True)
    port = free_port()
    os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://127.0.0.1:{port}"
    words = {"dbpath": folder, "port": port, "bind_ip": "127.0.0.1", "wiredTigerCacheSizeGB": 0.3}
    command = [str(program), *(str(part) for name, value in words.items() for part in (f"--{name}", value))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(60)
        del os.environ["FIFTYONE_DATABASE_URI"]


def find_mongod() -> Path | None:
    """Where FiftyOne's own mongod lies, or None."""

    spec = importlib.util.find_spec("fiftyone")
    program = Path(spec.origin).parent / "db" / "bin" / "mongod" if spec and spec.origin else None
    return program if program and os.access(program, os.X_OK) else None


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(1200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise MissingDependency("mongod did not answer within two minutes")


def push_seconds(folder: Path, *, variants: int) -> Figure:
    """Seconds to push 10,000 variants of two domains with twelve boxes and a lane each.

    Linear from fewer in quick mode.
    """
    from s2st_aug.review.push import push

    made = make_run(
        folder, FakeRun(scenes=variants // 2, boxes=BOXES, statuses=("ok", "ok", "ok", "rejected"), one_image=True)
    )
    push(
        make_run(folder.with_name("warm"), FakeRun(scenes=2)), name="warm"
    )  # imports and the first connection are not counted
    began = time.perf_counter()
    done = push(made)
    seconds = time.perf_counter() - began
    why = f"{done.added} variants with {BOXES} boxes and a lane each, and {variants // 2} sources"
    why += f", {seconds:.1f} s, scaled to 10,000" if variants != 10_000 else ""
    return measured("push_seconds_10k", seconds * 10_000 / variants, "s", 120, "at_most", n=done.added, why=why)


def decisions_lost(folder: Path, *, decisions: int) -> Figure:
    """Two reviewers decide at once; push again, pull, drop the database,
    push, pull: decisions that are then missing.
    """
    from s2st_aug.review.fiftyone_session import connect
    from s2st_aug.review.journal import record
    from s2st_aug.review.pull import pull
    from s2st_aug.review.push import flat, open_dataset, push

    made = make_run(folder, FakeRun(scenes=20, statuses=("ok",)))
    push(made)
    dataset = open_dataset(connect(), made)
    samples = {v: i for v, i in zip(*flat(dataset).values(["variant_id", "id"]), strict=True) if v}
    taken = list(_random_decisions(sorted(samples), decisions))
    with ThreadPoolExecutor(2) as reviewers:
        list(reviewers.map(lambda d: record(dataset, samples[d.variant_id], d), taken[: decisions // 2]))
        push(made)
        list(reviewers.map(lambda d: record(dataset, samples[d.variant_id], d), taken[decisions // 2 :]))
    pull(made)
    connect().delete_dataset(dataset.name)
    push(made)
    again = pull(made).new
    kept = set(from_table(made.read_decisions()))
    lost = len(set(taken) - kept) + again + (len(kept) - len(set(taken) & kept))
    why = "lost, doubled or invented, over two reviewers at once, a second push, a dropped database and a second pull"
    return measured("decisions_lost", lost, "decisions", 0, "at_most", n=decisions, why=why)


def _random_decisions(variant_ids: list[str], count: int) -> Iterator[Decision]:
    rng = random.Random(0)
    for number in range(count):
        time_ = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
        kind = rng.choice(("accept", "reject", "undo"))
        yield Decision(rng.choice(variant_ids), None, kind, f"reviewer {number % 2}", time_, None)  # type: ignore[arg-type]


def receipt_catches(folder: Path) -> Figure:
    """Share of feeds and training loops judged rightly: planted faults are to be caught, honest ones are to pass."""
    run = make_run(folder, FakeRun(scenes=60, statuses=("ok", "ok", "ok", "rejected")))
    index = open_feed(run)
    other = open_feed(make_run(folder.with_name("other"), FakeRun(scenes=61, domains=("fog",), statuses=("ok",))))
    cases = [*((False, c) for c in honest_feeds(index)), *((True, c) for c in planted_feeds(index, other))]
    right = [caught == fails(case) for caught, case in cases]
    planted = sum(caught for caught, _ in cases)
    why = f"{planted} planted faults and {len(cases) - planted} honest feeds in plain loops"
    found = [name for name in FRAMEWORKS if receipt_loops.is_installed(name)]
    try:
        for name in found:
            in_loops = list(receipt_loops.judged(receipt_loops.said_by(name, run.path), index))
            right += [well for *_, well in in_loops]
            why += f"; {len(in_loops)} loops of {name} on two ranks"
            why += "".join(f" ({loop}: judged wrongly)" for _, loop, well in in_loops if not well)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return undecided("receipt_catches", "share", 1.0, " ".join(str(error).split()))
    absent = [name for name in FRAMEWORKS if name not in found]
    why += f"; not installed: {', '.join(absent)}" if absent else ""
    why += "; a missed fault and a false alarm count alike"
    return measured("receipt_catches", sum(right) / len(right), "share", 1.0, "at_least", n=len(right), why=why)


Feed = Callable[[], FeedReceipt]


def fails(feed: Feed) -> bool:
    """Train two epochs on the feed, as a loop would; True where the receipt raised."""
    try:
        with feed() as receipt:
            for _ in range(2):
                for _batch in receipt:
                    pass
    except CheckFailed:
        return True
    return False


def honest_feeds(index: FeedIndex) -> list[Feed]:
    """Every image once in any order; with an incomplete last batch dropped; drawn with replacement.

    Drawn by weighted domains.
    """
    ids = [e.sample_id for e in index.entries]
    mix, weighted = Mix.of(index), Mix.of(index, shares={"source": 0.5, "night": 0.25, "rain": 0.25})
    by_domain = {d: [e.sample_id for e in index.entries if e.domain == d] for d in weighted.shares or {}}
    rng = random.Random(1)
    drawn = rng.choices(ids, k=900)
    by_weight = [rng.choice(by_domain[d]) for d in rng.choices(["source", "night", "rain"], [2, 1, 1], k=900)]
    shuffled = rng.sample(ids, len(ids))
    return [
        lambda: FeedReceipt(batches(ids), mix),
        lambda: FeedReceipt(batches(shuffled), mix),
        lambda: FeedReceipt(batches(shuffled, drop_last=True), mix, drop_last=8),
        lambda: FeedReceipt(batches(drawn), mix, mode="sampled"),
        lambda: FeedReceipt(batches(by_weight), weighted, mode="sampled"),
    ]


def planted_feeds(index: FeedIndex, other: FeedIndex) -> list[Feed]:
    """Never loaded, over-loaded, loaded from a wrong place: the faults of the literature and their neighbours."""
    mix = Mix.of(index)
    ids = [e.sample_id for e in index.entries]
    real = [e.sample_id for e in index.entries if not e.synthetic]
    fake = [e.sample_id for e in index.entries if e.synthetic]
    night = [e.sample_id for e in index.entries if e.domain == "night"]
    elsewhere = [e.sample_id for e in other.entries if e.synthetic]
    exact = {
        "never loaded": real,
        "nothing loaded": [],
        "real images never loaded": fake,
        "one domain never loaded": [i for i in ids if i not in night],
        "18 times over-loaded": real + fake * 18,
        "doubled": ids + fake[:1],
        "one left out": ids[:-1],
        "variants of another run": ids + elsewhere[:1],
        "another run instead": real + elsewhere,
    }
    rng = random.Random(2)
    sampled = {
        "nothing drawn": [],
        "a few images of each domain, again and again": rng.choices(real[:6] + fake[:9], k=900),
        "never drawn": rng.choices(real, k=900),
        "drawn five times too often": rng.choices(real + fake * 5, k=900),
        "one domain drawn for another": rng.choices(real + night * 2, k=900),
    }
    feeds: list[Feed] = [partial(FeedReceipt, batches(chosen), mix) for chosen in exact.values()]
    feeds += [partial(FeedReceipt, batches(chosen), mix, mode="sampled") for chosen in sampled.values()]
    feeds += [lambda: FeedReceipt(batches(ids), Mix.of(index, split="val"))]  # synthetic images of train in val
    return feeds


def batches(ids: Iterable[str], size: int = 8, *, drop_last: bool = False) -> list[dict[str, list[str]]]:
    """Ids as a loader's batches."""
    ids = list(ids)
    made = [{"sample_id": ids[i : i + size]} for i in range(0, len(ids), size)]
    return [b for b in made if not drop_last or len(b["sample_id"]) == size]
