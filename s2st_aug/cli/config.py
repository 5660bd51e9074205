"""`s2st-aug config`: the shipped configs, a copy of one, and a config resolved with where each value comes from."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from s2st_aug.cli.method_options import MethodName
from s2st_aug.cli.terminal import out, print_json, print_text
from s2st_aug.containment import refuse_unwritable
from s2st_aug.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ls(json: Json = False) -> None:
    """List the shipped configs by what each is for, those for `augment` first."""
    from s2st_aug.config.shipped import shipped_configs

    found = shipped_configs()
    if json:
        print_json([{**asdict(c), "path": str(c.path)} for c in found])
        return
    wide = max(len(c.name) for c in found)
    kinds = dict.fromkeys(("s2st-aug augment", "s2st-aug gain", "a cluster", *sorted(c.kind for c in found)))
    for kind in kinds:
        table = Table(title=f"For {kind}", title_justify="left", box=None, show_header=False, pad_edge=False)
        table.add_column(min_width=wide)
        table.add_column(min_width=40)
        for c in found:
            if c.kind == kind:
                table.add_row(c.name, c.about)
        out.print(table)
        out.print()
    out.print("Copy one: s2st-aug config cp NAME. Every value of one: s2st-aug config show NAME.", markup=False)


def cp(
    name: Annotated[str, typer.Argument(help="Name as `config ls` shows it.")],
    to: Annotated[Path | None, typer.Argument(help="File or folder to copy to; default: this folder.")] = None,
) -> None:
    """Copy a shipped config to edit it. An existing file is never replaced."""
    from s2st_aug.config.shipped import find_shipped

    shipped = find_shipped(name)
    target = to or Path(shipped.path.name)
    target = target / shipped.path.name if target.is_dir() else target
    if target.exists():
        raise UsageError(f"{target} already exists; name another file")
    refuse_unwritable(target.parent, "TO")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(shipped.path.read_bytes())
    out.print(str(target), markup=False)


def show(
    config: Annotated[str, typer.Argument(help="YAML file, or the name of a shipped config.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a config value: key=value. Repeatable.")
    ] = None,
    method: MethodName = None,
    json: Json = False,
) -> None:
    """Show every value of a config that `augment` will use, and where it comes from."""
    from s2st_aug.config.origin import resolved_values
    from s2st_aug.config.shipped import find_shipped

    path = Path(config)
    if not path.exists() and path.suffix not in {".yaml", ".yml"}:
        path = find_shipped(config).path
    values = resolved_values(path, set_ or [], method=method)
    if json:
        print_json([asdict(v) for v in values])
        return
    shown = [(v.key, json_text.dumps(v.value, ensure_ascii=False), v.origin) for v in values]
    wide, wider = (max(len(row[i]) for row in shown) for i in (0, 1))
    for key, value, origin in shown:
        print_text(f"{key:<{wide}}  {value:<{min(wider, 40)}}  # {origin}")
