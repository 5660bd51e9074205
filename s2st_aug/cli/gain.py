"""`s2st-aug gain`: does training with the variants help?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gain(
    config: Annotated[Path, typer.Argument(help="A gain config, as configs/gain_camvid_dusk.yaml.")],
    address: Annotated[str | None, typer.Option(help="Ray cluster; default: this machine.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results; default: the config's.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the config, for example training.replaced=0.3.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Results and summary as JSON on stdout.")] = False,
) -> None:
    """Train with and without the augmented images, with control arms, and report."""
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.cli.terminal import print_text
    from s2st_aug.gain.config import load_config
    from s2st_aug.gain.experiment import run_experiment
    from s2st_aug.gain.tables import write_tables

    settings = load_config(config, set_ or ())
    settings = settings if out is None else settings.model_copy(update={"out": out})
    page = write_tables(settings, run_experiment(settings, address=address))
    if json:
        print_text((page.parent / "result.json").read_text())
        return
    console.print(page.read_text(), markup=False)
    console.print(f"tables and plot: {page.parent}", markup=False)
