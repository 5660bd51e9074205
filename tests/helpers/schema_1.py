"""Run folders that the last code of schema 1 left behind, copied to where a test may change them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from s2st_aug.storage.run_folder import RunFolder

FIXTURES = Path(__file__).resolve().parents[1] / "storage/fixtures/schema1"
NOT_REACHED = {"stopped": ("77331963-00000002.png",)}  # images that this run had not made yet


def schema_1_run(place: Path, name: str = "street") -> RunFolder:
    """`place/<name>` with the images of `street`, over a dataset in `place/dataset`."""
    shutil.copytree(FIXTURES / "dataset", place / "dataset", dirs_exist_ok=True)
    run = shutil.copytree(FIXTURES / name, place / name)
    if name in ("stopped", "rescoring"):
        ignored = shutil.ignore_patterns(*NOT_REACHED.get(name, ()))
        shutil.copytree(FIXTURES / "street/images", run / "images", ignore=ignored)
    raw = json.loads((run / "run.json").read_text())
    raw["dataset_root"] = raw["config"]["dataset"]["root"] = str(place / "dataset")
    (run / "run.json").write_text(json.dumps(raw))
    return RunFolder(run)
