from __future__ import annotations

import errno
import importlib
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.exceptions import NodeDiedError, RayTaskError
from typer.core import TyperGroup

from s2st_aug import __version__
from s2st_aug.cli import ALIASES, COMMANDS, GROUPS, build_group, load
from s2st_aug.cli.terminal import explain, run_group
from s2st_aug.engine.options import RunSummary
from s2st_aug.errors import EXIT_SOME_FAILED, EXIT_STOPPED, CheckFailed, ConfigError, Stopped, UnreadableImage
from s2st_aug.storage.lock import read_holder
from s2st_aug.storage.progress import Snapshot
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.testing.datasets import make_config, make_dataset

PYTHON = [sys.executable, "-c", "import sys; from s2st_aug.cli import main; main(sys.argv[1:])"]


def run(*words: str) -> int:
    return run_group(build_group(), list(words))


@pytest.fixture(autouse=True)
def _quiet_again():
    level = logging.getLogger("s2st_aug").level
    yield
    logging.getLogger("s2st_aug").setLevel(level)


def test_help_names_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f" {name.split(' ')[0]} " in shown
    assert run("review", "--help") == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in ("push", "open", "pull"))


@pytest.mark.parametrize("old", ALIASES)
def test_an_older_spelling_is_the_same_command_and_is_not_listed(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert f" {old} " not in capsys.readouterr().out
    assert run(old, "--help") == 0
    said = capsys.readouterr().out.replace(old, ALIASES[old])
    assert run(ALIASES[old], "--help") == 0
    assert said.split() == capsys.readouterr().out.split()


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'ray', 'cv2', 'fiftyone'}"
    code = f"import sys; from s2st_aug.cli import build_group; build_group(); print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_explains_itself(name: str) -> None:
    group = build_group()
    *parent, leaf = name.split(" ")
    holder = group.commands[parent[0]] if parent else group
    assert isinstance(holder, TyperGroup)
    command = load(holder.commands[leaf])
    assert command.help
    assert any("--verbose" in p.opts for p in command.params)
    assert all(getattr(p, "help", None) for p in command.params if not getattr(p, "hidden", False)), name


def test_every_group_is_used() -> None:
    assert {name.split(" ")[0] for name in COMMANDS if " " in name} == set(GROUPS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["agument"], "Did you mean 'augment'?"),
        (["report", "--otu", "x"], "did you mean '--out'?"),
        (["report"], "Missing argument 'run' (usage: s2st-aug report --help)"),
        (["domain", "biuld"], "Did you mean 'build'?"),
        (["review"], "Missing command"),
        (["report", "/nowhere/at/all"], "/nowhere/at/all: not a run folder"),
        (["status", __file__], "a file; expected"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint_and_exit_2(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert hint in said.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"s2st-aug {__version__}\n"


def test_a_run_under_which_ray_breaks_down_is_stopped_and_not_a_run_with_failed_samples() -> None:
    """A raylet ended with its agent: code 1, "unexpected ActorDiedError" and six lines of Ray's own."""
    line, code = explain(NodeDiedError("the owner's node has crashed\nclass_name: MapWorker"))
    assert code == EXIT_STOPPED and "\n" not in line and "the same command resumes" in line
    assert explain(RayTaskError("f", "traceback", ValueError("x")))[1] == EXIT_SOME_FAILED  # of what Ray was given


@pytest.mark.parametrize("words", [["-v", "report", "/nowhere/at/all"], ["report", "/nowhere/at/all", "-v"]])
def test_verbose_logs_the_traceback_before_or_after_the_command(
    words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("report", "/nowhere/at/all") == 2
    assert not caplog.records
    assert run(*words) == 2
    assert caplog.records[-1].exc_info


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("two\nproblems"), 2),
        (UnreadableImage("x"), 1),
        (CheckFailed("x"), 3),
        (Stopped("x"), 4),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.yaml"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 4),
        (ZeroDivisionError("ours"), 1),
    ],
)
def test_exit_codes_are_the_contracts(error: Exception, code: int) -> None:
    assert explain(error)[1] == code


def test_ctrl_c_is_exit_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("s2st_aug.storage.run_folder").RunFolder, "run_json", stop)
    assert run("report", ".") == 4
    assert "the same command resumes" in capsys.readouterr().err


def test_term_before_a_run_drains_is_exit_4_and_lets_the_folder_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planning a million scenes takes half a minute; it ended with the signal, as if killed, and the lock stayed."""
    config = make_config(make_dataset(tmp_path / "data", 1))
    path, place = tmp_path / "run.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    seen = []

    def plan(*_: object, **__: object) -> None:
        seen.append(read_holder(RunFolder(place)))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("s2st_aug.engine.augment.prepare", plan)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run("augment", str(path), "--run", str(place)) == 4
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.strip().endswith("stopped by SIGTERM; the same command resumes")
    assert seen[0] is not None and read_holder(RunFolder(place)) is None


def test_term_after_a_run_has_ended_changes_nothing_of_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(make_config(make_dataset(tmp_path / "data", 1)).model_dump(mode="json")))
    finished = RunSummary(str(tmp_path / "run"), Snapshot("finished", 2, 2, 0, 0, 1.0, 0.0, 1.0))
    monkeypatch.setattr("s2st_aug.engine.augment.augment", lambda *_: finished)
    monkeypatch.setattr("s2st_aug.cli.augment.print_summary", lambda _: signal.raise_signal(signal.SIGTERM))
    assert run("augment", str(path), "--run", str(tmp_path / "run")) == 0


def test_messages_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "/no/[bold]such[/bold]") == 2
    assert "[bold]such[/bold]" in capsys.readouterr().err


def test_a_real_process_ends_with_the_code_and_without_a_traceback() -> None:
    done = subprocess.run([*PYTHON, "report", "/nowhere/at/all"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("review p", ["push", "pull"]),
        ("tr", ["translate"]),
        ("report --re", ["--review", "--references"]),
        ("export x --format k", ["kitti"]),
    ],
)
def test_completion_completes_commands_groups_options_and_choices(words: str, found: list[str]) -> None:
    import os

    env = {
        **os.environ,
        "_S2ST_AUG_COMPLETE": "complete_bash",
        "COMP_WORDS": f"s2st-aug {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    done = subprocess.run([*PYTHON], capture_output=True, text=True, check=False, env=env)
    assert done.stdout.split() == found


def test_completion_can_be_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "--install-completion" in capsys.readouterr().out


SCRIPTED = ["translate", "preview", "status", "verify", "review push", "review pull", "report", "gain", "doctor"]


@pytest.mark.parametrize("name", SCRIPTED)
def test_commands_whose_answer_a_script_wants_take_json(name: str) -> None:
    group = build_group()
    *parent, leaf = name.split(" ")
    holder = group.commands[parent[0]] if parent else group
    assert any("--json" in p.opts for p in load(holder.commands[leaf]).params)


def test_nothing_is_told_by_colour_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A doctor's finding, as the one place with colours for good and bad, reads the same without them."""
    from rich.console import Console

    from s2st_aug.cli import doctor

    findings = [doctor.DoctorFinding("a", state, "text", "fix it") for state in doctor.WORDS]
    for colours in (True, False):
        console = Console(force_terminal=colours, no_color=not colours, color_system="truecolor" if colours else None)
        monkeypatch.setattr(doctor, "out", console)
        doctor._tell(findings)
    assert capsys.readouterr().out.count("MISSING") == 2
    assert len({word for word, _ in doctor.WORDS.values()}) == len(doctor.WORDS)


@pytest.mark.parametrize("door", COMMANDS)
def test_no_help_loses_words_in_brackets_which_the_terminal_takes_for_markup(door):
    command = build_group()
    for word in door.split():
        command = command.commands[word]
    texts = [load(command).help or "", *(getattr(p, "help", None) or "" for p in load(command).params)]
    for text in texts:
        assert not re.search(r"(?<!\\)\[[a-z/]", text), text
