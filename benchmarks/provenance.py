"""What a stored figure stands on: its kit, commit, weights and date; and whether that is still what is here.

A figure is stale once a file that decides it has changed since it was measured. The files are named below by suite;
code counts by what it does (its syntax tree without docstrings and descriptions of settings), everything else by its
bytes.

`python -m benchmarks.provenance FILE.json...` stamps results that have no stamp with the commit that stored them.
`--keep-since COMMIT --because WHY` keeps those that were not stale at COMMIT, for a change since then that cannot move
them, such as another message: the stamp says why, and README and docs show it.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[1]
Kit = Literal["fake", "judged", "real"]

# fake: generated files, stand-ins for models and methods, made-up verdicts
# judged: rendered streets whose truth is known, put through the code and weights that ship
# real: photos
KITS: dict[str, Kit] = {
    "method": "judged", "scenes": "judged", "faults": "judged", "formats": "fake", "cluster": "fake", "feed": "fake",
    "gpu": "judged",
    "ddim_parity": "fake", "closed_form": "fake",
    "ae_psnr_photos_db": "real", "strength_dusk_photos": "real",
    "gain_miou_dusk": "real", "gain_over_best_control": "real",
    "traffic_light_ap_vs_real_only": "judged", "night_ap_over_best_control": "judged",
    "night_car_ap_vs_true_night": "judged",
    "sd21_seconds_per_variant": "fake", "sd21_peak_gib": "fake", "evals_per_second": "fake",
}  # fmt: skip

_WEIGHTS = "s2st_aug/weights/street-mini/**/*"
_TRANSLATION = (
    "s2st_aug/translation/*.py", "s2st_aug/diffusion/*.py", "s2st_aug/lights/*.py", "s2st_aug/procedural/**/*.py",
    "benchmarks/render_distance.py", "benchmarks/controls.py", "benchmarks/finishing.py", _WEIGHTS,
)  # fmt: skip
# storage/decisions.py is left out: no run that is measured holds a decision
_ENGINE = ("s2st_aug/engine/**/*.py", "s2st_aug/storage/[!d]*.py", "s2st_aug/records/*.py", "benchmarks/cluster.py")
DECIDES: dict[str, tuple[str, ...]] = {
    "method": (
        *_TRANSLATION, "s2st_aug/validation/**/*", "benchmarks/scenes.py", "benchmarks/method.py",
        "benchmarks/label_aware.py", "benchmarks/comparison.py", "benchmarks/baselines.py",
    ),
    "scenes": (
        *_TRANSLATION, "s2st_aug/validation/st*.py", "s2st_aug/training/measure.py", "benchmarks/scenes.py",
        "benchmarks/lights.py",
    ),
    "faults": (
        *_TRANSLATION, "s2st_aug/validation/**/*", "s2st_aug/weights/street-mini-detector/**/*",
        "benchmarks/fault*.py", "benchmarks/planted_faults.py", "benchmarks/invented*.py",
    ),
    "formats": (
        "s2st_aug/formats/**/*.py", "s2st_aug/export/*.py", "benchmarks/formats.py", "benchmarks/fuzz.py",
        "benchmarks/lossless.py", "benchmarks/exporters.py",
    ),
    "cluster": (*_ENGINE, "benchmarks/million.py", "benchmarks/scale.py"),
    "kills": (*_ENGINE, "benchmarks/chaos.py"),
    "node_faults": (
        *_ENGINE, "benchmarks/chaos.py", "benchmarks/node_faults.py", "benchmarks/refusals.py", "benchmarks/orders.py",
    ),
    "feed": ("s2st_aug/feed/*.py", "s2st_aug/review/*.py", "benchmarks/feed.py", "benchmarks/receipt_loops.py"),
    "gpu": (*_TRANSLATION, "s2st_aug/engine/[ctv]*.py", "benchmarks/gpu/*.py"),
    "gain": (
        *_TRANSLATION, "s2st_aug/gain/**/*.py", "s2st_aug/validation/**/*.py", "s2st_aug/feed/entries.py",
        "s2st_aug/export/selection.py",
    ),
    "comparison": (*_TRANSLATION, "benchmarks/comparison.py", "benchmarks/baselines.py"),
}  # fmt: skip

PARTS: dict[str, str] = {
    "chaos_kills": "kills", "chaos_set_difference": "kills",
    "node_faults": "node_faults", "node_faults_difference": "node_faults",
}  # fmt: skip
"""Figures that other files decide than the rest of their suite: what shoots at runs does not decide their speed."""

READ_BY_PEOPLE = (".md", ".svg")
"""Model cards and their curves lie beside the weights and decide nothing."""
WORDS_OF_SETTINGS = ("description", "use_attribute_docstrings")
"""Arguments of pydantic's that explain a setting and decide nothing."""


def kit_of(suite: str, name: str) -> Kit:
    """The kit that a figure stands on."""
    return KITS.get(name) or KITS[suite]


def stamps_of(suite: str, names: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """The stamps of those of these figures of a suite that have one of their own."""
    return {name: stamp_of(PARTS[name]) for name in names if name in PARTS}


def stamp_of(suite: str, root: Path = ROOT) -> dict[str, str | None]:
    """Commit, weights, date and hash of what decides a suite, of the checkout as it is now.

    The commit ends in `+` where files that decide differ from it, and is null outside a git checkout.
    """
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = commit and _git("status", "--porcelain", "--", "s2st_aug", "benchmarks")
    return {
        "commit": f"{commit}+" if changed else commit,
        "weights": fingerprint((_WEIGHTS,), root),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "decides": fingerprint(DECIDES[suite], root),
        "decided_by": suite,
    }


@functools.cache
def stamp_at(suite: str, commit: str) -> dict[str, str | None]:
    """The stamp of a result that a commit stored, of its own files and date."""
    own: dict[str, str | None] = {"commit": commit, "date": _git("log", "-1", "--format=%cs", commit)}
    if not _git("ls-tree", "--name-only", commit, "s2st_aug"):  # the package had another name
        return {**own, "weights": None, "decides": None, "decided_by": suite}
    with at_commit(commit) as root:
        return {**stamp_of(suite, root), **own}


def stamp_of_result(suite: str, path: Path) -> dict[str, str | None]:
    """The stamp of a result by the commit that stored it; of one that no commit holds, nothing is known."""
    commit = last_commit_of(path)
    unknown = dict.fromkeys(("commit", "weights", "date", "decides"))
    return {**unknown, "decided_by": suite} if commit is None else stamp_at(suite, commit)


def last_commit_of(path: Path) -> str | None:
    """The commit that last changed a file."""
    return _git("log", "-1", "--format=%h", "--abbrev=12", "--", str(path.resolve()))


def is_stale(stored: Mapping[str, Any]) -> bool:
    """Whether a file that decides a stored figure has changed since, or nobody knows which decided it."""
    suite, decides = stored.get("decided_by"), stored.get("decides")
    return suite not in DECIDES or decides != fingerprint(DECIDES[suite], ROOT)


@functools.cache
def fingerprint(patterns: tuple[str, ...], root: Path) -> str:
    """A hash over the files of a checkout that match."""
    found = {p for pattern in patterns for p in root.glob(pattern) if p.is_file() and "__pycache__" not in p.parts}
    files = sorted(p for p in found if p.suffix not in READ_BY_PEOPLE)
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(root).as_posix()} {_meaning(path)}\n".encode())
    return total.hexdigest()[:16]


@functools.cache
def _meaning(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".py":
        tree = ast.parse(data)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = node.body[_is_text(node.body[0]) :] if node.body else []
            if isinstance(node, ast.ClassDef):
                node.body = [statement for statement in node.body if not _is_text(statement)]
            if isinstance(node, ast.Call):
                node.keywords = [k for k in node.keywords if k.arg not in WORDS_OF_SETTINGS]
        data = ast.dump(tree).encode()
    return hashlib.sha256(data).hexdigest()


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, of whatever it stands in or below."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@contextmanager
def at_commit(commit: str) -> Iterator[Path]:
    """The code and weights of a commit, in a folder of their own."""
    held = (_git("ls-tree", "--name-only", commit, "s2st_aug", "benchmarks") or "").split()
    packed = subprocess.run(["git", "archive", commit, *held], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="s2st_aug-commit-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def stamp_stored(path: Path) -> None:
    """Give the figures of a stored result that have no stamp that of the commit that stored them."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    stamped = [
        f
        if "decides" in f
        else {**f, "kit": kit_of(path.stem, f["name"]), **stamp_of_result(PARTS.get(f["name"], path.stem), path)}
        for f in figures
    ]
    path.write_text(json.dumps(stamped, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def keep(path: Path, before: str, why: str) -> int:
    """Stamp the figures of a stored result that were not stale at commit `before` as what is here; returns how many.

    `why` the change since cannot move them goes into their stamp, as `kept`.
    """
    figures, kept = json.loads(path.read_text(encoding="utf-8")), 0
    with at_commit(before) as root:
        for figure in figures:
            suite = figure.get("decided_by")
            if suite in DECIDES and is_stale(figure) and figure["decides"] == fingerprint(DECIDES[suite], root):
                figure |= {"decides": fingerprint(DECIDES[suite], ROOT), "kept": [*figure.get("kept", []), why]}
                kept += 1
    path.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return kept


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Stamps of stored results.")
    parser.add_argument("files", nargs="+", type=Path, help="docs/measured/SUITE.json")
    parser.add_argument("--keep-since", metavar="COMMIT", help="keep the figures that were not stale at this commit")
    parser.add_argument("--because", metavar="WHY", help="why the changes since cannot move them")
    args = parser.parse_args()
    if (args.keep_since is None) is not (args.because is None):
        parser.error("--keep-since and --because go together")
    for path in args.files:
        if args.keep_since is None:
            stamp_stored(path)
        else:
            sys.stdout.write(f"{path}: {keep(path, args.keep_since, args.because)} figures kept\n")


if __name__ == "__main__":
    main()
