"""mkdocs hooks: tables that are made from the code, so that they cannot drift from it.

`<!-- commands -->` becomes the list of commands, `<!-- config -->` every key of a run's config,
`<!-- validation -->` the thresholds, `<!-- measured NAME -->` the figures of docs/measured/NAME.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

MARKER = re.compile(r"<!-- (commands|config|validation|measured)(?: ([\w.-]+))? -->")
MEASURED = Path(__file__).parent / "measured"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every marker of a page."""
    return MARKER.sub(lambda m: TABLES[m.group(1)](m.group(2)), markdown)


def commands(_: str | None) -> str:
    """The command line, from the table that registers it."""
    from s2st_aug.cli import COMMANDS

    return table(("command", "what"), ((f"`s2st-aug {name}`", line) for name, (_, line) in COMMANDS.items()))


def config(_: str | None) -> str:
    """Every key of a run's config with its type, default and meaning."""
    from s2st_aug.config import AugmentConfig

    return table(("key", "type", "default", "what"), fields(AugmentConfig))


def validation(_: str | None) -> str:
    """The thresholds of the gates."""
    from s2st_aug.validation.settings import ValidationSettings

    return table(("key", "type", "default", "what"), fields(ValidationSettings))


def measured(name: str | None) -> str:
    """A suite's figures as they were written by pipelines/benchmark.py."""
    path = MEASURED / f"{name}.json"
    if not path.is_file():
        return f"Not measured yet: `python pipelines/benchmark.py --suite {name} --json docs/measured/{name}.json`."
    stored = json.loads(path.read_text())
    figures = stored["figures"] if isinstance(stored, dict) else stored
    about = f"Measured {stored.get('date', '')} on {stored.get('machine', '')}.\n\n" if isinstance(stored, dict) else ""
    words = {True: "holds", False: "**falls short**", None: "undecided"}
    rows = ((f"`{f['name']}`", value(f), str(f["goal"]), words[f["holds"]], str(f["n"]), f["why"]) for f in figures)
    return about + table(("figure", "value", "goal", "", "n", "why"), rows)


def value(figure: dict[str, Any]) -> str:
    """A figure's value with its unit and interval."""
    if figure["value"] is None:
        return "n/a"
    between = " ({:.3g} to {:.3g})".format(*figure["interval"]) if figure["interval"] else ""
    return f"{figure['value']:.4g} {figure['unit']}{between}"


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """A pydantic model's keys, nested ones with dots."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
            continue
        required = field.default is PydanticUndefined and field.default_factory is None
        default = "required" if required else f"`{field.get_default(call_default_factory=True)}`"
        shown = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind).replace("typing.", "")
        yield f"`{prefix}{name}`", f"`{shown}`", default, field.description or ""


def table(head: tuple[str, ...], rows: Any) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(str(c).replace("|", "\\|").split()) for c in row) + " |" for row in rows]
    return "\n".join(lines)


TABLES = {"commands": commands, "config": config, "validation": validation, "measured": measured}
