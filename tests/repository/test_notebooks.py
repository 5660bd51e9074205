"""The notebooks are run whole, on the embedded model; they are stored without outputs, and their pages with them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert [c for c in book.cells if c.cell_type == "code" and (c.outputs or c.execution_count)] == []


@pytest.mark.parametrize("path", [p for p in BOOKS if p.with_suffix(".md").is_file()], ids=lambda p: p.stem)
def test_a_page_has_the_cells_of_its_notebook_with_their_output(path: Path) -> None:
    import nbformat

    page = path.with_suffix(".md").read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    shown = [f"```python\n{c.source}\n```" if c.cell_type == "code" else c.source for c in cells]
    assert [cell for cell in shown if cell not in page] == [], "run: python docs/notebook_pages.py"
    assert page.count("```text") + page.count("![output") >= 3
    pictures = re.findall(r"\]\(\.\./images/(\S+?)\)", page)
    assert all((ROOT / "docs/images" / name).is_file() for name in pictures)
    assert f"notebooks/{path.stem}.md" in (ROOT / "mkdocs.yml").read_text()


def test_an_output_is_shown_without_codes_of_the_terminal_and_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from notebook_pages import shown

    assert shown("10 %\r20 %\r\x1b[1mdone\x1b[0m in /tmp/tmpab12_x/run\n") == "done in /tmp/here/run"
    table = "\u250f\u2501\u2501\u2513\n\u2503 a\u2503\n\u2521\u2501\u2501\u2529"
    assert shown(f"{table}\n\n\n\n\u2501\u2501\u2501 50 %\nx") == f"{table}\n\nx"
    long = shown("\n".join(map(str, range(100)))).splitlines()
    assert (len(long), long[0], long[20], long[-1]) == (41, "0", "...", "99")


@pytest.mark.slow
@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_notebooks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    said = "".join(o.get("text", "") for c in book.cells if c.cell_type == "code" for o in c.outputs)
    assert "error:" not in said
