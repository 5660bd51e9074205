"""Options that several commands take: the method by name, and the random integer under its two names."""

from __future__ import annotations

from typing import Annotated

import typer

from s2st_aug.errors import UsageError

MethodName = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="s2st, histogram, reinhard, gamma, ddib, sdedit, ledits, an installed one, or package.module:Class,"
        " with default settings.",
    ),
]
KitName = Annotated[str | None, typer.Option("--kit", hidden=True, help="Former spelling of --method.")]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA if available), cpu, cuda, cuda:N or mps.")]
ClusterDevice = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps; default: the config's cluster.device.")
]
Seed = Annotated[
    list[int] | None,
    typer.Option("--seed", "--rng-key", metavar="N", help="Random seed: the same number gives the same bytes."),
]


def with_device(changes: list[str] | None, device: str | None) -> list[str]:
    """The changes to a config, with the device last: what is named on the command line goes before the file."""
    return [*(changes or []), *([f"cluster.device={device}"] if device else [])]


def one_seed(given: list[int] | None) -> int:
    """The random integer; 0 where none is given.

    Raises UsageError for two different ones: --rng-key is the same option.
    """
    if given and len(set(given)) > 1:
        raise UsageError(f"--seed (also --rng-key) was given as {' and as '.join(map(str, given))}; give it once")
    return given[0] if given else 0
