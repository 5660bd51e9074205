"""What the operator "Translate selected" does: samples to a dataset on disk, a run of it, the run into FiftyOne.

The run is a process of its own: Ray and the model live and end there, and the App keeps answering.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import yaml

from s2st_aug.errors import EXIT_OK, EXIT_SOME_FAILED, UsageError
from s2st_aug.review.curated import write_dataset
from s2st_aug.review.push import push
from s2st_aug.storage import RunFolder

Told = tuple[float, str]  # how far a run is, from 0 to 1, and in words
COMMAND = (sys.executable, "-c", "from s2st_aug.cli import main; main()")


def translate_view(
    view: Any,
    domains: Sequence[str],
    run: Path | str,
    *,
    method: str = "s2st",
    model: str = "street-mini",
    field: str | None = None,
    command: Sequence[str] = COMMAND,
) -> Generator[Told, None, str]:
    """Translate a view into the run folder `run` and push it; returns the name of the new FiftyOne dataset.

    Yields how far it is. The same view and folder resume a run that was stopped, as closing this generator does.
    Raises UsageError with the run's own line where it fails; samples that fail alone do not.
    """
    yield 0.0, "writing the images' links and labels"
    found = write_dataset(view, run, field)
    config = found.root / "config.yaml"
    told: dict[str, Any] = {"dataset": found.dataset, "domains": list(domains), "model": model}
    config.write_text(yaml.safe_dump({**told, "method": {"name": method}}, sort_keys=False), encoding="utf-8")
    words = [*command, "augment", str(config), "--run", str(run), "--log-format", "json"]
    last = ""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield 0.0, "starting Ray and loading the model"
            for line in process.stderr:
                event = _event(line)
                if event.get("event") == "progress" and event["total"]:
                    counts = f"{event['accepted']} accepted, {event['rejected']} rejected, {event['failed']} failed"
                    yield event["done"] / event["total"], f"{event['done']} of {event['total']}: {counts}"
                last = str(event["message"]) if event.get("event") == "error" else last
        except BaseException:
            process.terminate()  # it drains; the same view and folder resume
            raise
    if last or process.returncode not in (EXIT_OK, EXIT_SOME_FAILED):
        raise UsageError(last or f"the run ended with exit code {process.returncode}")
    yield 1.0, "opening the variants in FiftyOne"
    return push(RunFolder(run)).dataset


def _event(line: str) -> dict[str, Any]:
    """What a line of the run says; nothing where it is none of its JSON."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
