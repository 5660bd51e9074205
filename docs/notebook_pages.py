"""Runs the notebooks and writes each as a page with its output: `python docs/notebook_pages.py [NAME]`.

The notebooks themselves are stored without outputs; the pages in docs/notebooks and their pictures are made here.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "notebooks"
LINES = 40  # of one output; the middle of a longer one is left out
TABLE = ("\u250f", "\u2521")  # how lines of a table begin that are drawn with what bars are drawn with, too
PROGRESS = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|^.*\r(?!\n)|^.*ipywidgets.*$", re.M
)  # Ray misses widgets: not our matter


def page_of(name: str) -> str:
    """Run a notebook; its page, with pictures written beside it."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return rendered(name, book.cells)


def rendered(name: str, cells: list[Any]) -> str:
    """Markdown of cells and of what they gave; pictures go to docs/images."""
    parts = [
        f"<!-- made by docs/notebook_pages.py from docs/notebooks/{name}.ipynb, which `make test-long` runs too -->"
    ]
    pictures = 0
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in joined(cell.outputs):
            data = output.get("data", {})
            kind = next((k for k in ("image/jpeg", "image/png") if k in data), None)
            if kind:
                pictures += 1
                file = f"notebook_{name}_{pictures}.jpg"
                (FOLDER.parent / "images" / file).write_bytes(small(base64.b64decode(data[kind])))
                parts.append(f"![output of the cell above](../images/{file})")
            elif said := shown(output.get("text") or data.get("text/plain") or ""):
                parts.append(f"```text\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def joined(outputs: list[Any]) -> list[Any]:
    """What a cell printed as one output, and warnings left out."""
    said = "".join(o["text"] for o in outputs if o.get("name") == "stdout")
    return [*([{"text": said}] if said else []), *(o for o in outputs if "data" in o)]


def shown(text: str) -> str:
    """An output's text, without the terminal's codes and bars, without this run's own folder, and not too long."""
    text = re.sub(r"/tmp/tmp\w+", "/tmp/here", PROGRESS.sub("", text)).strip("\n")
    lines = [line.rstrip() for line in text.splitlines() if "\u2501" not in line or line.startswith(TABLE)]
    if len(lines) > LINES:
        lines = [*lines[: LINES // 2], "...", *lines[-LINES // 2 :]]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n").replace("```", "'''")


def small(picture: bytes) -> bytes:
    """A picture of at most 720 pixels across, as JPEG."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((720, 720))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=80)
    return held.getvalue()


if __name__ == "__main__":
    for given in sys.argv[1:] or sorted(p.stem for p in FOLDER.glob("*.ipynb")):
        (FOLDER / f"{given}.md").write_text(page_of(given), encoding="utf-8")
