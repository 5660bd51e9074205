"""A label that was unsound in the source: `ignore` with its reason, whatever the pixels and the thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import case_files
from engine_here import rows_of, run_here

from s2st_aug.cli.rescore import rescore
from s2st_aug.config.load import parse_config
from s2st_aug.export import export_run
from s2st_aug.formats import load_card
from s2st_aug.formats.registry import find_format
from s2st_aug.records.verdicts import ObjectVerdict
from s2st_aug.testing.methods import JUDGED
from s2st_aug.validation import gates
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SETTINGS = ValidationSettings()
LOOSE = SETTINGS.model_copy(update={"keep_structure": 0.0, "least_structure": 0.0, "min_side_px": 0.0})


def config(files, **dataset):
    return parse_config(
        {
            "dataset": {"format": files.card, "root": str(files.root), "split": files.split, **dataset},
            "domains": ["night"],
            "method": {"name": JUDGED, "preset": "draft"},
            "validation": {"min_strength": None, "max_tone_explained": None},
            "cluster": {"actors": [1, 1]},
        }
    )


@pytest.mark.parametrize("settings", [SETTINGS, LOOSE])
@pytest.mark.parametrize("change", ["kept", "gone"])
def test_it_is_ignored_for_its_reason_whatever_the_variant_shows(pair, settings, change):
    objects = tuple(replace(o, unsound="line 3: no class") for o in pair.objects)
    variant = pair.variant if change == "kept" else np.full_like(pair.variant, 40)
    found = judge(pair.source, variant, variant, objects, None, settings)
    assert {(o.verdict, o.cause, o.reason) for o in found.objects} == {
        ("ignore", "unsound", "unsound: line 3: no class")
    }
    assert {(o.structure, o.shift_px, o.visibility) for o in found.objects} == {(None, None, None)}


def test_it_counts_for_no_gate(pair):
    """Nine of ten labels unsound: the tenth alone decides whether too many cannot be judged, or one is lost."""
    one = pair.objects[0]
    objects = (one, *(replace(one, object_id=str(i), category="person", unsound="no class") for i in range(9)))
    assert judge(pair.source, pair.variant, pair.variant, objects, None, SETTINGS).status == "ok"


def test_thresholds_never_change_it():
    item = ObjectVerdict("1", "box", "person", (0, 0, 0, 0), "ignore", "unsound: no geometry", cause="unsound")
    for settings in (SETTINGS, LOOSE):
        again = gates.decide(gates.decide(item, settings, 1280), settings, 1280)
        assert (again.verdict, again.cause, again.reason) == ("ignore", "unsound", "unsound: no geometry")


def test_through_a_run_a_rescore_and_an_export(tmp_path):
    files = case_files(6, tmp_path / "data")
    run = run_here(config(files), tmp_path / "run")
    before = rows_of(run)[("train/a", "night")]
    assert before["status"] == "ok"
    assert {(o["verdict"], o["cause"]) for o in before["objects"]} == {("ignore", "unsound")}
    (tmp_path / "loose.yaml").write_text(
        "validation: {keep_structure: 0.1, least_structure: 0.1, min_strength: null, max_tone_explained: null}"
    )
    rescore(tmp_path / "run", config=tmp_path / "loose.yaml")
    assert [o["reason"] for o in rows_of(run)[("train/a", "night")]["objects"]] == [
        o["reason"] for o in before["objects"]
    ]
    for target, ignored in (("coco", 0), ("kitti", 5)):
        export_run(tmp_path / "run", target, tmp_path / target)
        view = find_format(target).open_export(load_card(target), tmp_path / target, "train")
        assert sum(view.ignored.values()) == ignored


def test_rescaled_labels_through_a_run_and_its_exports(tmp_path):
    files = case_files(1, tmp_path / "data")
    refused = rows_of(run_here(config(files), tmp_path / "refused"))
    assert {r["failure"] for r in refused.values()} == {"label_error"}
    run = run_here(config(files, rescale_labels=True), tmp_path / "run")
    ((_, row),) = rows_of(run).items()
    assert (row["status"], row["width"], row["height"]) == ("ok", 256, 160)
    assert [40.0, 90.0, 100.0, 130.0] in [
        [*o["bbox"].values()] if isinstance(o["bbox"], dict) else list(o["bbox"]) for o in row["objects"]
    ]
    assert {o["verdict"] for o in row["objects"]} <= {"keep", "ignore"}
    export_run(tmp_path / "run", "kitti", tmp_path / "kitti")
    lines = (tmp_path / "kitti/training/label_2/000001__night.txt").read_text()
    assert "40.00 90.00 100.00 130.00" in lines
