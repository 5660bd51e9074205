"""Fuzzing of every parser: damaged trees of each format through reading and, where that succeeds, through an export.

Run as a program it keeps its own memory under a limit and prints what it found:
python -m benchmarks.fuzz COUNT RNG_KEY [SECONDS [FIRST]]
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from s2st_aug.errors import S2STError
from s2st_aug.formats import Card, format_of, load_card, read_objects, read_scenes
from s2st_aug.formats.registry import FORMATS
from s2st_aug.formats.tree import files_of
from s2st_aug.testing.trees import VARIETIES

MEMORY_LIMIT = 1 << 30
HANG_SECONDS = 20.0
EXPORT_EVERY = 50
_TOKENS = (
    *(
        b"../",
        b"/etc/passwd",
        b"..\\",
        b"\x00",
        b"\\u0000",
        b"CON",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\\ud800",
        b"//",
        b"~",
    ),
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-0.0",
        b"9" * 60,
        b"9" * 400,
        b"9" * 5000,
        b"-1",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"1e-17",
    ),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"0 0.5 0.5 nan 1\n",
        b"&a *a",
        b"!!python/object:os.system x",
    ),
    *(
        b'"size": [100000, 100000]',
        b'"size": [0, 0]',
        b'"counts": "~~~~"',
        b'"file_name": "../../x.jpg"',
        b'"name": "/x.jpg"',
        b"path: /\n",
    ),
)


@dataclass(slots=True)
class Found:
    """What a run of the fuzzer saw."""

    inputs: int = 0
    exports: int = 0
    tracebacks: list[str] = field(default_factory=list)
    escapes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak_mib: float = 0.0
    refused: int = 0


def fuzz(count: int, rng_key: int, seconds: float = float("inf"), first: int = 0) -> Found:
    """`count` damaged trees from number `first` on, or as many as the seconds allow; the same inputs for a key."""
    found, end = Found(), time.monotonic() + seconds
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="s2st_aug-fuzz-", dir=base) as folder:
        seeds = [_Seed.write(name, Path(folder) / name / "data") for name in VARIETIES]
        for index in range(first, first + count):
            if time.monotonic() > end:
                break
            _one(index, random.Random(f"{rng_key}/{index}"), seeds, found)
    found.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


@dataclass(frozen=True, slots=True)
class _Seed:
    """A sound tree on disk and in memory, and its card with the label trees that it has."""

    name: str
    card: Card
    split: str
    root: Path
    files: dict[str, bytes]
    labels: tuple[str, ...]

    @classmethod
    def write(cls, name: str, root: Path) -> _Seed:
        variety = VARIETIES[name]
        variety.write(root)
        card = load_card(variety.card)
        files = {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        photos = {scene.image for scene in read_scenes(card, root, variety.split)}
        split = format_of(card).split_folder(variety.split)
        present = tuple(tree for tree in card.labels if files_of(root, tree, split))
        card = card.model_copy(update={"labels": present})
        return cls(name, card, variety.split, root, files, tuple(name for name in files if name not in photos))


def _one(index: int, rng: random.Random, seeds: list[_Seed], found: Found) -> None:
    seed = seeds[index % len(seeds)]
    with _damage(seed, rng):
        started = time.monotonic()
        found.inputs += 1
        _try(seed, found, f"{seed.name} input {index}", export=index // len(seeds) % EXPORT_EVERY == 0)
        took = time.monotonic() - started
    found.slowest = max(found.slowest, took)
    if took > HANG_SECONDS:
        found.hangs.append(f"{seed.name} input {index}: {took:.1f} s")


def _try(seed: _Seed, found: Found, label: str, *, export: bool) -> None:
    """Read the tree, and export it: an error of ours is well, another is a finding."""
    try:
        _read(seed, found, label)
        if export:
            found.exports += 1
            _export(seed, found, label)
    except S2STError as error:
        found.refused += 1
        if "\n" in str(error):
            found.tracebacks.append(f"{label}: an error of several lines")
    except BaseException as error:
        found.tracebacks.append(f"{label}: {type(error).__name__}: {str(error)[:160]}")
        if isinstance(error, KeyboardInterrupt):
            raise


def _read(seed: _Seed, found: Found, label: str) -> None:
    for scene in read_scenes(seed.card, seed.root, seed.split):
        files = (part.partition("#")[0] for part in (scene.label_file or "", *scene.extra_files))
        for path in (scene.image, *files):
            inside = Path(os.path.normpath(seed.root / path)).is_relative_to(seed.root)
            if "\x00" in path or path.startswith("/") or not inside:
                found.escapes.append(f"{label}: {path!r}")
        try:
            read_objects(seed.card, seed.root, scene)
        except S2STError:
            found.refused += 1


def _export(seed: _Seed, found: Found, label: str) -> None:
    """A whole export of the damaged tree: nothing may appear beside its folder."""
    from s2st_aug.export import export_run
    from s2st_aug.testing.runs import write_run

    jail = seed.root.parent
    try:
        write_run(jail / "run", load_card(seed.card.name), seed.root, seed.split)
        for target in FORMATS:
            export_run(jail / "run", target, jail / "out" / target)
    finally:
        stray = {p.name for p in jail.iterdir()} - {"data", "run", "out"}
        stray |= (
            {p.name for p in (jail / "out").iterdir() if p.name not in FORMATS} if (jail / "out").is_dir() else set()
        )
        found.escapes += [f"{label}: wrote {name!r}" for name in stray]
        for name in ("run", "out", *stray):
            shutil.rmtree(jail / name, ignore_errors=True)


@contextmanager
def _damage(seed: _Seed, rng: random.Random) -> Iterator[None]:
    """One file of the tree damaged, at times a loop of links in it; both are put right again."""
    victim = rng.choice(seed.labels) if rng.random() < 0.9 else rng.choice(sorted(seed.files))
    path, link = seed.root / victim, None
    path.write_bytes(damaged(seed.files[victim], rng))
    if rng.random() < 0.03:
        folders = sorted(p for p in seed.root.rglob("*") if p.is_dir())
        link = rng.choice(folders) / "loop"
        link.symlink_to(rng.choice([seed.root, *folders]), target_is_directory=True)
    try:
        yield
    finally:
        path.write_bytes(seed.files[victim])
        if link is not None:
            link.unlink()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to four damages: bytes changed, cut, doubled, or tokens put in that parsers trip over."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 1, 2, 8, 64)))
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[to:]
        elif kind == 1:
            data = data[:at] + data[to:]
        elif kind == 2:
            data = data[:at] + data[at:to] * rng.choice((2, 3, 50)) + data[to:]
        elif kind == 3:
            data = data[:at]
        else:
            data = _token(data, at, rng)
    return data


def _token(data: bytes, at: int, rng: random.Random) -> bytes:
    """A token in place of a word, number or string, or at a place by chance."""

    words = list(re.finditer(rb'"[^"]*"|[\w.+-]+', data))
    token = rng.choice(_TOKENS)
    if not words or rng.random() < 0.3:
        return data[:at] + token + data[at:]
    word = rng.choice(words)
    quoted = b'"' + token + b'"' if word[0].startswith(b'"') and rng.random() < 0.8 else token
    return data[: word.start()] + quoted + data[word.end() :]


def main() -> None:
    """The program: memory limited, findings as JSON on stdout."""
    import s2st_aug.export  # noqa: F401
    import s2st_aug.testing.runs  # noqa: F401 - its memory is not the parsers'

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    count, rng_key, *more = sys.argv[1:]
    seconds, first = [*more, *("inf", "0")[len(more) :]]
    json.dump(asdict(fuzz(int(count), int(rng_key), float(seconds), int(first))), sys.stdout)


if __name__ == "__main__":
    main()
