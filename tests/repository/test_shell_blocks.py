"""Every shell block of README and docs is run as printed, on small scenes, or is marked with why not.

`<!-- not run: REASON -->` before a block, or a line's beginning in NOT_HERE.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from s2st_aug.storage import RunFolder
from s2st_aug.storage.decisions import Decision, to_table

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+?) -->\n+)?^```(?P<kind>bash|sh|shell)\n(?P<text>.*?)^```", re.S | re.M
)
TITLED = re.compile(r'^```\w+ title="(?P<name>[^"]+)"\n(?P<text>.*?)^```', re.S | re.M)
NOT_HERE = {
    "make demo": "installs, and runs for minutes; .ci does it",
    "make test": "is this",
    "source .venv/bin/activate": "changes the reader's shell alone",
    "export ": "changes the reader's shell alone",
    "s2st-aug review open": "serves until Ctrl-C; tests/review opens the App",
}
PRESET = "--set method.preset=draft "
SMALL = {  # a later option replaces an earlier one
    "augment": f"--set dataset.limit=2 {PRESET}--set cluster.actors=[1,1]",
    "preview": f"{PRESET}-n 2",
    "scenes": "--count 2 --size 320x180",
}


@dataclass(frozen=True)
class Block:
    page: Path
    why_not: str | None
    text: str

    @property
    def lines(self) -> list[str]:
        """Its commands, without comments, continuation lines joined, what is not run here left out."""
        whole = (line.partition("  #")[0].strip() for line in self.text.replace("\\\n", " ").splitlines())
        return [x for x in (re.sub(r"\s+#\s.*", "", w) for w in whole) if x and not any(map(x.startswith, NOT_HERE))]


def blocks(page: Path) -> list[Block]:
    return [Block(page, m["why"], m["text"]) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]


RUN = [page for page in PAGES if any(b.lines and not b.why_not for b in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        assert block.why_not is None or len(block.why_not) > 10
        for line in block.lines if block.why_not is None else ():
            assert line.startswith(("s2st-aug ", "python pipelines/")), f"{page.name}: who runs {line!r}?"


def test_whatever_is_left_out_stands_in_some_page() -> None:
    text = "\n".join(b.text for page in PAGES for b in blocks(page))
    assert [start for start in NOT_HERE if start not in text] == []
    submission = (ROOT / "tests/engine/test_submission.py").read_text()
    assert '"job", "submit"' in submission and "pipelines/augment.py" in submission


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as its reader has it: the checkout's configs, a finished demo, datasets, photos, pictures."""
    here = tmp_path_factory.mktemp("newcomer")
    for name in ("configs", "datasets", "pipelines", "benchmarks"):
        (here / name).symlink_to(ROOT / name)
    run("s2st-aug scenes runs/demo-scenes --count 8 --size 320x180 --conditions day,night,fog", here)
    run("s2st-aug scenes streets --count 2 --size 320x180 --val-share 0 --conditions day --format cityscapes", here)
    small = SMALL["augment"].replace("limit=2", "limit=4")
    run(f"s2st-aug augment configs/demo.yaml --run runs/demo {small}", here)
    day, night = (sorted((here / f"runs/demo-scenes/{c}/images").rglob("*.png")) for c in ("day", "night"))
    for domain in ("day", "night", "fog"):
        for image in (here / f"runs/demo-scenes/{domain}/images").rglob("*.png"):
            target = here / "photos" / domain / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, target)
    shutil.copytree(here / "photos/fog", here / "photos/snow")
    for place in ("pictures", "path/to/pictures"):
        (here / place).mkdir(parents=True)
        for image in night:  # what another generator made: some of it passes the checks
            shutil.copy(image, here / place / f"{image.stem}__night.png")
    shutil.copy(day[0], here / "photo.jpg")
    plan = json.loads((here / "runs/demo/run.json").read_text())["plan_sha256"]
    (here / "decisions.json").write_text(json.dumps({"schema": 1, "run": plan, "decisions": []}))
    accept_one(here / "runs/demo")
    return here


def accept_one(path: Path) -> None:
    """What the reader does in the App, which nobody does here."""
    folder = RunFolder(path)
    rows = folder.read_manifest(["variant_id", "status"]).to_pylist()
    accepted = next(r["variant_id"] for r in rows if r["status"] == "ok")
    folder.append_decisions(to_table([Decision(accepted, None, "accept", "a reader", datetime.now(UTC))]))


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    here = tmp_path / "newcomer"
    shutil.copytree(template, here, symlinks=True)
    return here


def run(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FIFTYONE_DATABASE_DIR": str(cwd / "fiftyone"),
        "FIFTYONE_PLUGINS_DIR": str(cwd / "plugins"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        shlex.split(line), cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def made_small(line: str, place: Path) -> str:
    """The printed line, with the reader's data set in place and little of it."""
    line = line.replace("/data/bdd100k", str(place / "runs/demo-scenes/day"))
    line = line.replace("/data/cityscapes", str(place / "streets/day"))
    if not line.startswith("s2st-aug "):
        return line
    few = SMALL.get(line.split()[1], "")
    return f"{line} {few.replace(PRESET, '') if '--method' in line else few}"  # a preset is S2ST's own


def titled_files(page: Path) -> Iterator[tuple[str, str]]:
    for match in TITLED.finditer(page.read_text(encoding="utf-8")):
        yield match["name"], match["text"]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_in_order(page: Path, place: Path) -> None:
    for name, text in titled_files(page):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text.replace("/data/bdd100k", str(place / "runs/demo-scenes/day")))
    for block in blocks(page):
        for line in block.lines if block.why_not is None else ():
            run(made_small(line, place), place)
            by_hand(line, place)


def by_hand(line: str, place: Path) -> None:
    """What the page asks its reader to do after a line: translate the streets, here by their true pictures."""
    if line.startswith("s2st-aug scenes same-street "):
        for domain in ("dusk", "night", "rain", "fog"):
            for image in (place / "same-street" / domain / "images").rglob("*.png"):
                shutil.copy(image, place / "path/to/pictures" / f"{image.stem}__{domain}.png")


@pytest.mark.slow
def test_the_python_lines_run(place: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M):
        done = subprocess.run([sys.executable, "-c", block], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
