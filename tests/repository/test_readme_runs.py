"""README's commands, run one after the other as a newcomer would, on two small scenes and the embedded model."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NOT_HERE = {
    "make demo": "runs for minutes and installs; .ci and the demo's own test do it",
    "make test": "is this",
    "s2st-aug review open": "serves until Ctrl-C; tests/review opens the App",
    "ray job submit": "needs a cluster; tests/engine/test_submission.py starts one and submits the same script to it",
    "s2st-aug gain": "trains for half an hour; tests/gain runs a small one",
}
SMALL = {
    "augment": "--set dataset.limit=2 --set method.preset=draft --set cluster.actors=[1,1]",
    "preview": "--set method.preset=draft",
}


def recipe_lines() -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkout's configs, photos, and scenes where README has /data/bdd100k."""
    here = tmp_path_factory.mktemp("newcomer")
    for name in ("configs", "datasets"):
        (here / name).symlink_to(ROOT / name)
    run("s2st-aug scenes scenes --count 12 --size 480x270 --val-share 0 --conditions day,fog", here)
    run("s2st-aug scenes streets --count 2 --size 480x270 --val-share 0 --conditions day --format cityscapes", here)
    shutil.copytree(next((here / "scenes/fog/images").rglob("*.png")).parent, here / "photos/snow")
    shutil.copy(next((here / "scenes/day/images").rglob("*.png")), here / "photo.jpg")
    return here


def run(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    database = cwd / "fiftyone"
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FIFTYONE_DATABASE_DIR": str(database),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        shlex.split(line), cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=1200
    )


@pytest.mark.slow
def test_the_recipes_run_in_order(place: Path) -> None:
    ran = 0
    submission = (ROOT / "tests/engine/test_submission.py").read_text()
    assert '"job", "submit"' in submission and "pipelines/augment.py" in submission
    for line in recipe_lines():
        if any(line.startswith(known) for known in NOT_HERE):
            continue
        words = line.split()
        small = SMALL.get(words[1], "")
        line = line.replace("/data/bdd100k", str(place / "scenes/day")).replace(
            "/data/cityscapes", str(place / "streets/day")
        )
        done = run(f"{line} {small}", place)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran >= 10
    assert (
        sorted(p.name for p in (place / "variants").iterdir())[:1] == ["photo__night.png"]
        or (place / "variants/photo__night.png").is_file()
    )
    assert (place / "runs/bdd100k/report.html").is_file()
    assert any((place / "export").iterdir())
    assert sorted((place / "cityscapes-export/gtFine").rglob("*-night_gtFine_polygons.json"))


@pytest.mark.slow
def test_the_page_of_decisions_round_trips(place: Path) -> None:
    assert run("s2st-aug report runs/bdd100k --review --out review.html", place).returncode == 0
    plan = json.loads((place / "runs/bdd100k/run.json").read_text())["plan_sha256"]
    (place / "decisions.json").write_text(json.dumps({"schema": 1, "run": plan, "decisions": []}))
    done = run("s2st-aug review pull runs/bdd100k --file decisions.json", place)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_python_lines_run(place: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    script = block.replace("runs/demo", "runs/bdd100k") + "\nassert night.ndim == 3 and night.shape[2] == 3\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
