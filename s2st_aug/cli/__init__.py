"""The command line `s2st-aug`: commands are found here and imported when they are called, so that --help is quick."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from s2st_aug.errors import RunFolderError, S2STError

# command -> "module:function, one-line help"; `a b` is command b of group a
COMMANDS: dict[str, tuple[str, str]] = {
    "translate": (
        "s2st_aug.cli.translate:translate",
        "Translate image files to night, rain and other conditions, at the same size.",
    ),
    "augment": (
        "s2st_aug.cli.augment:augment",
        "Translate a labelled dataset and check every label; results go to a run folder.",
    ),
    "adopt": (
        "s2st_aug.cli.adopt:adopt",
        "Check pictures that another generator made; results go to a run folder.",
    ),
    "preview": ("s2st_aug.cli.preview:preview", "Translate a few scenes and draw a contact sheet, before a long run."),
    "status": ("s2st_aug.cli.status:status", "Show progress, rate, time left and failures of a run."),
    "verify": ("s2st_aug.cli.verify:verify", "Check a run folder: rows, images and hashes."),
    "rescore": (
        "s2st_aug.cli.rescore:rescore",
        "Apply new thresholds to the stored measures; nothing is translated again.",
    ),
    "config ls": ("s2st_aug.cli.config:ls", "List the shipped configs."),
    "config cp": ("s2st_aug.cli.config:cp", "Copy a shipped config, to edit it."),
    "config show": ("s2st_aug.cli.config:show", "Show every value that a config sets, and where it comes from."),
    "domain build": ("s2st_aug.cli.domain:build", "Build a domain profile from unpaired photos."),
    "calibrate": ("s2st_aug.cli.calibrate:calibrate", "Choose thresholds from your own photos."),
    "merge": ("s2st_aug.cli.merge:merge", "Merge run folders of the same plan."),
    "migrate": ("s2st_aug.cli.migrate:migrate", "Convert a run folder of an older version."),
    "review push": ("s2st_aug.cli.review:push", "Load a run into FiftyOne."),
    "review open": ("s2st_aug.cli.review:open_app", "Open the FiftyOne App on a run."),
    "review close": ("s2st_aug.cli.review:close", "Remove the review plugin from FiftyOne."),
    "review pull": ("s2st_aug.cli.review:pull", "Store decisions in the run folder."),
    "export": ("s2st_aug.cli.export:export", "Write a training set."),
    "report": ("s2st_aug.cli.report:report", "Write an HTML report or review page."),
    "scenes": ("s2st_aug.cli.scenes:scenes", "Render street scenes with exact labels."),
    "gain": ("s2st_aug.cli.gain:gain", "Measure whether training with variants helps."),
    "doctor": (
        "s2st_aug.cli.doctor:doctor",
        "Check the installation, a dataset or a model, and print the command that fixes each problem.",
    ),
}
ALIASES = {"regate": "rescore"}  # older spellings, accepted and not listed
GROUPS = {
    "config": "List, copy and show configs.",
    "domain": "Build a profile of a new domain.",
    "review": "Review a run in FiftyOne.",
}
HELP = "Translate labelled driving images to night, rain, dusk and fog, and check every label in the result."
EPILOG = (
    "Exit codes: 0 success; 1 some samples failed, or an unexpected error; 2 wrong usage, nothing was started;"
    " 3 a check failed; 4 stopped early, the same command resumes."
)


class Stub(TyperCommand):
    """A command's name and help; its module is not imported before it is called."""

    target: str = ""


class LazyGroup(TyperGroup):
    """Holds stubs, and swaps a stub for the real command when that command is called or completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # the classes are private to typer
        """As typer's (with its suggestions), then the real command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(command) if isinstance(command, Stub) else command, rest


def load(stub: Stub) -> TyperCommand:
    """Import a stub's function and make its command, with `-v` added."""
    module, function = stub.target.split(":")
    app = typer.Typer(add_completion=False)
    app.command(stub.name)(explaining_damage(getattr(importlib.import_module(module), function)))
    command = typer.main.get_command(app)
    known = {o for p in command.params for o in p.opts}
    verbose = typer.Typer(add_completion=False)
    verbose.command()(_shared)
    command.params += [p for p in typer.main.get_command(verbose).params if not known & set(p.opts)]
    assert isinstance(command, TyperCommand)
    return command


def explaining_damage(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command's function that names what is wrong with its run folder, where that is why it failed."""

    @functools.wraps(function)  # typer reads the options from what is wrapped
    def call(**options: Any) -> Any:
        try:
            return function(**options)
        except (S2STError, OSError, Abort, Exit, TyperException):
            raise
        except Exception as error:
            from s2st_aug.cli.damage import first_damage  # it imports pyarrow

            for place in filter(None, [options.get("run"), *options.get("runs", ())]):
                if told := first_damage(str(place)):
                    raise RunFolderError(told) from error
            raise

    return call


def build_group() -> LazyGroup:
    """The whole command tree, out of COMMANDS alone."""
    app = typer.Typer(cls=LazyGroup, help=HELP, epilog=EPILOG, add_completion=True)
    app.callback(cls=LazyGroup, help=HELP, epilog=EPILOG)(_root)
    root = typer.main.get_command(app)
    assert isinstance(root, LazyGroup)
    for name, (target, line) in COMMANDS.items():
        *group, leaf = name.split(" ")
        parent: TyperGroup = root if not group else _subgroup(root, group[0])
        stub = Stub(name=leaf, help=line)
        stub.target = target
        parent.add_command(stub)
    for old, name in ALIASES.items():
        stub = Stub(name=old, hidden=True)
        stub.target = COMMANDS[name][0]
        root.add_command(stub)
    return root


def _subgroup(root: LazyGroup, name: str) -> TyperGroup:
    if name not in root.commands:
        root.add_command(LazyGroup(name=name, help=GROUPS[name]))
    group = root.commands[name]
    assert isinstance(group, TyperGroup)
    return group


def _print_version(value: bool) -> None:
    if value:
        from s2st_aug import __version__

        typer.echo(f"s2st-aug {__version__}")
        raise typer.Exit


def _set_verbose(value: bool) -> None:
    if value:
        from s2st_aug.cli.terminal import be_verbose

        be_verbose()


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", callback=_set_verbose, expose_value=False, help="Log progress and show tracebacks."
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, expose_value=False, is_eager=True, help="Show the version."),
]


def _root(verbose: Verbose = False, version: Version = False) -> None:
    """Options that stand before the command."""


def _shared(verbose: Verbose = False) -> None:
    """Options that every command takes."""


def main(argv: list[str] | None = None) -> None:
    """Entry point: a user's error is one clear line and an exit code (docs/reference/promises.md#exit-codes)."""
    from s2st_aug.cli.progress import DownloadLines
    from s2st_aug.cli.terminal import in_any_locale, run_group
    from s2st_aug.diffusion.downloads import listening

    in_any_locale()
    given = sys.argv[1:] if argv is None else argv
    words = ["--dry-run-full" if word == "--dry-run=full" else word for word in given]
    with listening(DownloadLines()):
        code = run_group(build_group(), words)
    sys.exit(code)
