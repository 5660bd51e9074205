"""What every command shares: exit codes, the one-line error, logging set-up, a console that is quiet when piped."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click
from rich.console import Console

from s2st_aug.errors import EXIT_STOPPED, EXIT_USAGE, S2STError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def run_group(group: Any, argv: list[str] | None) -> int:
    """Run a click group; returns the exit code, prints errors as one line on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        code = group.main(args=argv, prog_name="s2st-aug", standalone_mode=False)
    except S2STError as error:
        return fail(str(error), error.exit_code)
    except click.exceptions.Abort:
        return fail("stopped", EXIT_STOPPED)
    except click.ClickException as error:
        return fail(error.format_message(), EXIT_USAGE)
    except KeyboardInterrupt:
        return fail("stopped by Ctrl-C; the same command resumes", EXIT_STOPPED)
    return code if isinstance(code, int) else 0


def fail(message: str, code: int) -> int:
    """Print one error line and give the exit code back."""
    err.print(f"[bold red]error:[/] {' '.join(message.split())}", markup=True)
    return code
