"""`s2st-aug gain`: does training with the variants help?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gain(
    config: Annotated[Path, typer.Argument(help="YAML file for gain, such as configs/gain_camvid_dusk.yaml.")],
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; default: start Ray on this machine.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results; default: `out` in the config.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Override a config value: key=value, for example training.replaced=0.3. Repeatable."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps; default: `device` in the config."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print results and summary as JSON.")] = False,
) -> None:
    """Train with and without variants and with simple augmentations as controls, and compare them on real images."""
    from s2st_aug.cli.terminal import out as console
    from s2st_aug.cli.terminal import print_text
    from s2st_aug.gain.config import load_config
    from s2st_aug.gain.experiment import run_experiment
    from s2st_aug.gain.tables import write_tables

    settings = load_config(config, [*(set_ or ()), *([f"device={device}"] if device else [])])
    settings = settings if out is None else settings.model_copy(update={"out": out})
    page = write_tables(settings, run_experiment(settings, address=address))
    if json:
        print_text((page.parent / "result.json").read_text(encoding="utf-8"))
        return
    console.print(page.read_text(encoding="utf-8"), markup=False)
    console.print(f"tables and plot: {page.parent}", markup=False)
