"""Every measured figure of docs/reference/figures.md: one file per suite,
each with `run(*, quick) -> Iterator[Figure]`.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.figure import Figure, Goal, undecided
from benchmarks.provenance import kit_of
from s2st_aug import __version__
from s2st_aug.formats.registry import FORMATS

log = logging.getLogger(__name__)

_FAULTS = ("erased", "shift8", "pasted_light", "signal_changed", "identity", "darkened")

# suite -> name -> (goal, unit); docs/reference/figures.md says what each figure is, and a test holds the two together
SUITES: dict[str, dict[str, tuple[Goal | None, str]]] = {
    "method": {
        "ddim_parity": (1e-5, "abs error"),
        "closed_form": (1e-6, "abs error"),
        "batch_psnr_db": (50, "dB"),
        "overhead_ms_per_variant": (150, "ms"),
        "speedup_over_null_text": (5, "x"),
        "evals_per_variant_draft": (40, "evaluations"),
        "render_distance_vs_best_baseline": (1, "ratio"),
        "signal_state_kept": (0.95, "share"),
        "kept_at_equal_strength": (0.0, "share"),
    },
    "scenes": {
        "scenes_per_second": (8, "1/s"),
        "ae_psnr_scenes_db": (32, "dB"),
        "ae_psnr_photos_db": (28, "dB"),
        "round_trip_loss_db": (1, "dB"),
        "prompt_agreement": (0.8, "share"),
        "strength_scenes": (0.6, "strength"),
        "structure_vs_true_render": ((0.9, 1.25), "ratio"),
        "render_distance_vs_best_control": (0.85, "ratio"),
        "render_distance_night_vs_best_control": (0.85, "ratio"),
        "render_distance_rain_vs_best_control": (0.85, "ratio"),
        "light_recall_night": (0.5, "share"),
        "light_precision_night": (0.6, "share"),
        "light_f1_night_vs_best_control": (3, "ratio"),
        "wet_road_rain": (0.5, "correlation"),
        "strength_dusk_photos": (0.6, "strength"),
        "translate_seconds_draft": (6, "s"),
        "translate_seconds_standard": (20, "s"),
        "translate_peak_gib": (2, "GiB"),
    },
    "faults": {
        **{f"recall_{fault}": (0.95, "share") for fault in _FAULTS},
        "fpr": (0.05, "share"),
        "lost_on_true_night": (0.03, "share"),
        "not_keep_on_true_night": (0.10, "share"),
        "ms_per_image": (40, "ms"),
        "recall_invented_lamps": (0.9, "share"),
        "recall_invented_smears": (0.9, "share"),
        "rejected_for_lights": (0.1, "share"),
        "recall_invented_objects": (0.8, "share"),
        "rejected_for_objects": (0.05, "share"),
    },
    "formats": {
        **{f"lossless_{name}": (1.0, "share") for name in FORMATS},
        "index_seconds_100k": (30, "s"),
        "index_gib_100k": (1, "GiB"),
        "export_vs_loop": (1, "ratio"),
        "export_vs_fiftyone": (3, "ratio"),
        "fuzz_tracebacks": (0, "count"),
        "fuzz_escapes": (0, "count"),
    },
    "cluster": {
        "chaos_kills": (100, "kills"),
        "chaos_set_difference": (0, "rows"),
        "node_faults": (200, "faults"),
        "node_faults_difference": (0, "rows"),
        "scaling_8": (0.95, "share"),
        "scaling_64": (0.9, "share"),
        "time_vs_bare_map_batches": (1.05, "ratio"),
        "overhead_ms_per_sample": (10, "ms"),
        "plan_seconds_1m": (60, "s"),
        "plan_gib_1m": (2, "GiB"),
        "resume_seconds_1m": (60, "s"),
        "status_seconds_1m": (2, "s"),
    },
    "feed": {
        "push_seconds_10k": (120, "s"),
        "decisions_lost": (0, "decisions"),
        "receipt_catches": (1.0, "share"),
        "gain_miou_dusk": (15, "points"),
        "gain_over_best_control": (5, "points"),
        "traffic_light_ap_vs_real_only": (1, "ratio"),
        "night_ap_over_best_control": (2, "AP"),
        "night_car_ap_vs_true_night": (0.6, "share"),
    },
    "gpu": {
        "cuda_parity": (40, "dB"),
        "gpu_busy": (0.85, "share"),
        "oom_survived": (1, "share"),
        "sd21_seconds_per_variant": (None, "s"),
        "sd21_peak_gib": (None, "GiB"),
        "evals_per_second": (None, "1/s"),
    },
}

# what is defined and not measured yet: the reason that stands beside it in every file of results
NOT_YET: dict[str, str] = {
    "night_ap_over_best_control": "not measured yet: the gain experiment on scenes has no interval for night alone",
    "night_car_ap_vs_true_night": "not measured yet: no arm of the gain experiment trains on true night renders",
}


def run_suite(suite: str, *, quick: bool) -> list[Figure]:
    """Every figure that SUITES names for the suite, in its order; what could not be measured says why.

    A suite that breaks off keeps what it had measured: the error becomes the `why` of the rest.
    """
    measured: dict[str, Figure] = {}
    why = "the suite did not measure it"
    try:
        for figure in importlib.import_module(f"benchmarks.{suite}").run(quick=quick):
            log.info("%s = %s", figure.name, figure.value)
            measured[figure.name] = figure
    except Exception as error:
        log.exception("suite %s broke off", suite)
        why = f"the suite broke off: {type(error).__name__}: {' '.join(str(error).split())}"
    names = SUITES[suite]
    missing = {
        name: undecided(name, unit, goal, NOT_YET.get(name, why))
        for name, (goal, unit) in names.items()
        if name not in measured
    }
    extra = [f for name, f in measured.items() if name not in names]
    return [(measured | missing)[name] for name in names] + extra


Stamp: TypeAlias = "Mapping[str, str | None]"


def write_figures(
    figures: list[Figure], path: Path, stamp: Stamp | None = None, own: Mapping[str, Stamp] | None = None
) -> None:
    """The figures as a JSON list, as docs/reference/figures.md has it; with kit and stamp where one is given.

    `own` are the stamps of figures by name that other files decide than the rest of the suite.
    """
    rows = [_plain(f) for f in figures]
    if stamp is not None:
        suite = stamp["decided_by"] or ""
        rows = [
            {**row, "kit": kit_of(suite, f.name), **(f.stamp or (own or {}).get(f.name, stamp))}
            for row, f in zip(rows, figures, strict=True)
        ]
    path.write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def note_machine(suite: str, path: Path, *, quick: bool) -> None:
    """Where results are kept (docs/measured), write beside them when and on what they were measured."""
    if path.absolute().parent.name != "measured":
        return
    beside = path.parent / "machine.json"
    known = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, OMP_NUM_THREADS={threads}"
    )
    known[suite] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine,
        "quick": quick,
        "version": __version__,
    }
    beside.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def _plain(figure: Figure) -> dict[str, Any]:
    """JSON knows no NaN: an interval with an end that is not finite is no interval."""
    finite = figure.interval is not None and all(math.isfinite(v) for v in figure.interval)
    row = asdict(figure)
    del row["stamp"]
    return {**row, "interval": list(figure.interval) if finite and figure.interval else None}
