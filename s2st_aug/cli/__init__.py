"""The command line `s2st-aug`: commands are found here and imported when they are called, so that --help is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

# command -> "module:function, one-line help"; `a b` is command b of group a
COMMANDS: dict[str, tuple[str, str]] = {
    "translate": ("s2st_aug.cli.translate:translate", "Image files in, night and rain variants of the same size out."),
    "augment": ("s2st_aug.cli.augment:augment", "The main job: a labelled dataset in, a run folder of checked variants out."),
    "preview": ("s2st_aug.cli.preview:preview", "A contact sheet before a long run."),
    "status": ("s2st_aug.cli.status:status", "Progress, rate, time left and failures of a run folder."),
    "verify": ("s2st_aug.cli.verify:verify", "Check every promise of a run folder against its files."),
    "regate": ("s2st_aug.cli.regate:regate", "New thresholds over the stored measures; nothing is translated anew."),
    "domain build": ("s2st_aug.cli.domain:build", "A domain profile from unpaired photos."),
    "calibrate": ("s2st_aug.cli.calibrate:calibrate", "Thresholds from your own photos."),
    "merge": ("s2st_aug.cli.merge:merge", "Two runs of one plan into one."),
    "migrate": ("s2st_aug.cli.migrate:migrate", "Bring a run folder of an older schema up to date."),
    "review push": ("s2st_aug.cli.review:push", "Run folder to FiftyOne."),
    "review open": ("s2st_aug.cli.review:open_app", "Open the FiftyOne App on a run."),
    "review pull": ("s2st_aug.cli.review:pull", "Decisions back into the run folder."),
    "export": ("s2st_aug.cli.export:export", "A training set with a lock file."),
    "report": ("s2st_aug.cli.report:report", "One self-contained HTML page."),
    "scenes": ("s2st_aug.cli.scenes:scenes", "Procedural street scenes with exact labels."),
    "gain": ("s2st_aug.cli.gain:gain", "Train with and without the variants, with control arms."),
    "doctor": ("s2st_aug.cli.doctor:doctor", "What is installed, what is missing, and the command that mends it."),
}
GROUPS = {"domain": "Build domain profiles.", "review": "Review a run in FiftyOne."}


def _function(target: str) -> Callable[..., Any]:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _command(name: str, target: str) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(name)(_function(target))
    return typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """Imports a command's module only when that command is asked for."""

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of COMMANDS."""
        names = [c[len(self.prefix) :] for c in COMMANDS if c.startswith(self.prefix)]
        return list(dict.fromkeys(n.split(" ")[0] for n in names))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command or group of that name, or None."""
        full = self.prefix + cmd_name
        if full in COMMANDS:
            return _command(cmd_name, COMMANDS[full][0])
        if full in GROUPS:
            return type("Sub", (LazyGroup,), {"prefix": full + " "})(name=cmd_name, help=GROUPS[full])
        return None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Help lines from the table, without importing anything."""
        rows = [(n, COMMANDS[self.prefix + n][1] if self.prefix + n in COMMANDS else GROUPS[n]) for n in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def main(argv: list[str] | None = None) -> None:
    """Entry point: every error a user can cause is one clear line and the contract's exit code."""
    from s2st_aug.cli.terminal import run_group

    sys.exit(run_group(LazyGroup(name="s2st-aug", help="Night and rain variants of labelled driving scenes, labels checked."), argv))
