"""What every command shares: exit codes, the one-line error, logging set-up, a console that is quiet when piped."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from s2st_aug.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_STOPPED, EXIT_USAGE, S2STError, did_you_mean

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

KEYBOARD_INTERRUPT = 130  # what typer makes of Ctrl-C
STORAGE_FAULTS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ESTALE", "ENODEV", "ENXIO", "ETIMEDOUT", "EREMOTEIO", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN")
    if hasattr(errno, name)
)
"""What a disk or a share answers that is not well: nothing that the user wrote on the command line"""
log = logging.getLogger("s2st_aug")


def in_any_locale() -> None:
    """Names of files and classes may hold any letter, whatever the locale: called once, before anything is read.

    A process whose file names are not UTF-8 (`LC_ALL=C` without Python's UTF-8 mode) starts again in that mode. What
    the terminal has no letter for is shown as `\\xe9`.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        shown = getattr(sys.stdout, "encoding", None) or "ascii"
        told = {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{shown}:backslashreplace"}  # for the processes of workers too
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], {**os.environ, **told})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_group(group: TyperGroup, argv: list[str] | None) -> int:
    """Run the command line; gives the exit code back, and every error as one line on stderr.

    SIGTERM ends a command as Ctrl-C does, so that it lets go of what it holds; a run that drains has its own answer.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with interrupted_by_term() as heard:
        try:
            code = group.main(args=argv, prog_name="s2st-aug", standalone_mode=False)
        except Exception as error:
            log.debug("traceback", exc_info=True)
            return fail(*explain(error))
    if code == KEYBOARD_INTERRUPT:
        return fail(f"stopped by {'SIGTERM' if heard else 'Ctrl-C'}; the same command resumes", EXIT_STOPPED)
    return code if isinstance(code, int) else EXIT_OK


@contextmanager
def interrupted_by_term() -> Iterator[list[int]]:
    """SIGTERM raises KeyboardInterrupt while the block runs, in the main thread; the signals that came."""
    heard: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def explain(error: Exception) -> tuple[str, int]:
    """An exception as one line and its exit code (docs/reference/promises.md#exit-codes)."""
    if isinstance(error, S2STError):
        return str(error), error.exit_code
    if isinstance(error, Abort):
        return "stopped", EXIT_STOPPED
    if isinstance(error, TyperException):
        return usage_line(error), EXIT_USAGE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.filename or error.strerror}); make room, and the same command resumes",
            EXIT_STOPPED,
        )
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # what pathlib makes of ELOOP
        return str(error), EXIT_USAGE
    if isinstance(error, OSError) and error.errno in STORAGE_FAULTS:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}; the disk or share does not answer, the same command resumes", EXIT_STOPPED
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):  # a place that was named: read-only, ...
        return f"{error.strerror or type(error).__name__}: {error.filename or error}", EXIT_USAGE
    if is_broken_ray(error):
        what = f"{type(error).__name__}: {' '.join(str(error).splitlines()[:1])}"
        return f"Ray broke down ({what}); what is committed is kept, and the same command resumes", EXIT_STOPPED
    return f"unexpected {type(error).__name__}: {error}; the same command with -v shows where", EXIT_SOME_FAILED


def is_broken_ray(error: Exception) -> bool:
    """Whether Ray itself failed, by a node or process of its own that died, and not what it was given to run."""
    known = sys.modules.get("ray.exceptions")  # never imported: no command but a run's is made to wait for it
    return known is not None and isinstance(error, known.RayError) and not isinstance(error, known.RayTaskError)


def usage_line(error: TyperException) -> str:
    """A usage error with the nearest option's name and where to read more."""
    message = error.format_message().rstrip(".")
    wrong, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if context is None:
        return message
    if wrong and message.startswith("No such option"):
        options = [o for p in context.command.get_params(context) for o in p.opts if o.startswith("--")]
        message = f"no such option {wrong}{did_you_mean(wrong, options)}"
    return f"{message} (usage: {context.command_path} --help)"


def be_verbose() -> None:
    """Log the package's own progress, and tracebacks of errors."""
    log.setLevel(logging.DEBUG)
    logging.getLogger().setLevel(logging.INFO)


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time as Unix seconds, level, logger and message; the traceback where there is one."""
        told = {
            "event": "log",
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def log_as_json() -> None:
    """From now on every log record on stderr is one line of JSON."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())


def logs_json() -> bool:
    """Whether `log_as_json` was called."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def fail(message: str, code: int) -> int:
    """Print one error line and give the exit code back."""
    if logs_json():
        sys.stderr.write(json.dumps({"event": "error", "message": " ".join(message.split()), "exit_code": code}) + "\n")
        return code
    err.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())))
    return code


def print_json(value: Any) -> None:
    """One JSON document on stdout, for scripts: no colour, no wrapping."""
    shows_all = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print_text(json.dumps(value, indent=2, ensure_ascii=not shows_all, default=str))


def print_text(text: str) -> None:
    """Text on stdout as it is."""
    sys.stdout.write(text + "\n")
