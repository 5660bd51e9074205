"""The documentation names what the code has, and the code cites pages that exist: a rename breaks one of these."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from s2st_aug.records.domains import CONDITIONS

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".git", "runs", "site", "checkpoints", "dist", "build"}
PAGES = [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_NOTE = "(?:METHOD|CONTRACT|STYLE|REDESIGN)"
NOTES = re.compile(
    rf"""\({_NOTE}[ ,)]|\"{{3}}{_NOTE}\b|\b{_NOTE}(?:\.md|'s\b| \d)|\.\./sh""" r"""ared|["']sh""" r"""ared[/"']"""
)
"""Notes beside one author's checkout, which no reader can open."""


def texts() -> list[Path]:
    found = (p for s in ("py", "md", "yaml", "yml", "toml", "ipynb", "txt") for p in ROOT.rglob(f"*.{s}"))
    return sorted(p for p in found if not SKIPPED & set(p.relative_to(ROOT).parts))


def slugs(page: Path) -> set[str]:
    """The anchors of a page: of headings, as MkDocs makes them, and those that are given, also before a paragraph."""
    text = page.read_text(encoding="utf-8")
    heads = re.findall(r"^#{1,6} (.+)$", text, re.M)
    given = {m[1] for h in heads if (m := re.search(r"\{#([\w-]+)\}", h))}
    given |= set(re.findall(r'^<a id="([\w-]+)"></a>$', text, re.M))
    plain = (re.sub(r"[^\w\s-]", "", re.sub(r"\{#.*\}", "", h).replace("`", "")).strip().lower() for h in heads)
    return given | {re.sub(r"[-\s]+", "-", p) for p in plain}


def defined(path: Path) -> set[str]:
    """Names that a module, or a class in it, defines."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


def test_no_file_cites_notes_that_its_reader_cannot_open() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if NOTES.search(line)
    ]
    assert found == []


def test_every_page_that_the_code_cites_exists_with_its_anchor() -> None:
    missing = []
    for path in texts():
        for page, _, anchor in re.findall(r"\b(docs/[\w/]+\.md)(#([\w-]+))?", path.read_text(errors="replace")):
            place = ROOT / page
            if not place.is_file() or (anchor and anchor not in slugs(place)):
                missing.append(f"{path.relative_to(ROOT)}: {page}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8")))
    known = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if ".venv" not in p.parts}
    named -= {"utils.py"}  # there is none, CONTRIBUTING says
    assert {name for name in named if not any(k == name or k.endswith(f"/{name}") for k in known)} == set()


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    part = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_what_architecture_says_where_to_find_is_there() -> None:
    rows = rows_of((ROOT / "ARCHITECTURE.md").read_text(), "Where do I find")
    assert len(rows) >= 12
    files = [set(re.findall(r"`((?:\w+/)*\w+\.py)`", " ".join(row[1:]))) for row in rows]
    for row, places in zip(rows, files, strict=True):
        names = set(re.findall(r"`(\w+)`", row[2])) - {"oom_split"}
        known = {name for place in places for name in defined(ROOT / "s2st_aug" / place)}
        known |= {"FORMATS"} if not places else set()
        assert names <= known, f"{row[0]}: {names - known}"


def test_architecture_has_the_layers_that_the_import_linter_holds() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text.partition("<!-- layers -->")[2].partition("<!-- /layers -->")[0]
    shown = [
        set(re.findall(r"`(\w+)`", row.split("|")[2])) for row in table.splitlines() if re.match(r"\| \d+ \|", row)
    ]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["name"] == "layers")
    assert shown == [set(re.findall(r"\w+", layer)) for layer in layers]


def test_the_gallery_has_a_picture_and_figures_of_every_domain() -> None:
    page, stored = (ROOT / "docs/gallery.md").read_text(), json.loads((ROOT / "docs/measured/gallery.json").read_text())
    assert set(stored) == set(re.findall(r"<!-- gallery (\w+) -->", page)) == set(CONDITIONS) - {"day"}
    for domain, rows in stored.items():
        assert f"(images/gallery_{domain}.jpg)" in page
        assert (ROOT / f"docs/images/gallery_{domain}.jpg").is_file()
        assert [(r["street"], r["method"]) for r in rows] == [
            (s, m) for s in range(1, 7) for m in ("S2ST", "histogram")
        ]


def test_the_picture_of_the_path_is_drawn_from_the_code_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    from image_path import OUT, image_path

    assert OUT.read_text() == image_path(), "run: python docs/image_path.py"


def test_every_name_in_code_letters_exists() -> None:
    """Classes, functions, columns, settings and files' keys; figures whose names the suites put together aside."""
    code = "\n".join(
        p.read_text()
        for d in ("s2st_aug", "benchmarks", "pipelines", "tests", "docs")
        for p in (ROOT / d).rglob("*.py")
    )
    known, missing = set(re.findall(r"\w+", code)), []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
        for name in re.findall(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`", text):
            last = name.rpartition(".")[2]
            is_code = "_" in last or re.search(r"[a-z][A-Z]|[A-Z][a-z]+[A-Z]", last)
            if (
                is_code
                and last not in known
                and not re.match(r"recall_|shown_|fpr_|rejected_for_|lossless_|index_|sd21_seconds_|RAY_", last)
            ):
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    assert missing == []
