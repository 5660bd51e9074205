"""What judging, encoding and writing cost a variant with everything on: the
real checks behind a translator that only darkens.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.processes import environment
from s2st_aug.config import AugmentConfig
from s2st_aug.engine.context import RunContext
from s2st_aug.engine.translate import TranslateStage
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.testing.datasets import make_config
from s2st_aug.testing.methods import JUDGED

Result = dict[str, Any]


def all_on(folder: Path, batches: int) -> Result:
    """Milliseconds a variant that judging, encoding and writing take, with the real checks, on scenes of 1280x720."""
    from s2st_aug.engine.commit import CommitStage
    from s2st_aug.engine.planning import plan_batches
    from s2st_aug.engine.validate import ValidateStage

    config, context, translate = _all_on_line(folder, batches)
    validate, commit = ValidateStage(context), CommitStage(context)
    spent = {"translate": 0.0, "judge": 0.0, "commit": 0.0}
    variants = 0
    for number, batch in enumerate(plan_batches(config, "plan", tuple(context.domains))):
        times = [time.process_time()]
        translated = translate(batch)
        times.append(time.process_time())
        validated = validate(translated)
        times.append(time.process_time())
        commit(validated)
        times.append(time.process_time())
        if number:  # the first one loads
            variants += len(validated.rows)
            for name, before, after in zip(spent, times[:-1], times[1:], strict=True):
                spent[name] += after - before
    return {"variants": variants, **{name: seconds / variants * 1000 for name, seconds in spent.items()}}


def _all_on_line(folder: Path, batches: int) -> tuple[AugmentConfig, RunContext, TranslateStage]:
    """The real checks behind a translator that only darkens."""
    from s2st_aug.engine.attempts import AttemptTracker
    from s2st_aug.engine.context import identify
    from s2st_aug.engine.options import Options
    from s2st_aug.engine.prepare import prepare, with_absolute_root

    words = [
        "scenes",
        folder / "scenes",
        "--count",
        2 * batches,
        "--format",
        "bdd100k",
        "--conditions",
        "day",
        "--val-share",
        0,
    ]
    command = [sys.executable, "-c", "from s2st_aug.cli import main; main()", *map(str, words)]
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    config = with_absolute_root(make_config(folder / "scenes/day", cluster={"batch_size": 2}, method={"name": JUDGED}))
    run_folder = RunFolder(folder / "run")
    identity = identify(config)
    prepare(config, run_folder, Options(), identity)
    context = RunContext.of(run_folder.place, config, identity, run_folder.run_json())
    return config, context, TranslateStage(context, AttemptTracker())


def all_on_figures(result: Result) -> Iterator[Figure]:
    """The cost with everything on; no goal is set for it."""
    total = sum(result[name] for name in ("translate", "judge", "commit"))
    parts = ", ".join(f"{name} {result[name]:.0f}" for name in ("translate", "judge", "commit"))
    why = (
        f"processor time at 1280x720, 2 domains: {parts} "
        "(translate: reading and a translator that only darkens; judge: all checks and PNG)"
    )
    yield Figure("all_on_ms_per_variant", total, "ms", None, None, result["variants"], None, why)
