"""Answer the paper's open questions on held-out scenes: python pipelines/ablate.py [--question Q]... [--count N]
[--preset P].

Cells are kept in docs/measured/ablations.json after each of them, and one that is there with the same settings, weights
and count is not measured again; ablations.svg is drawn from all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks.ablation import QUESTIONS, TRAINED, Cell, ablate, by_question, draw, from_json, to_json
from benchmarks.beyond import QUESTION, beyond
from s2st_aug.errors import S2STError


def measured(question: str, asked: argparse.Namespace, known: list[Cell]) -> Iterator[Cell]:
    """One question's cells, those that are known without measuring again."""
    if question == QUESTION:
        return beyond(asked.preset, asked.model, known)
    return ablate(
        [question], count=asked.count, preset=asked.preset, model=asked.model, known=known, trained=asked.trained
    )


def main() -> int:
    """Exit 0 once every cell asked for is stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question", action="append", choices=[*QUESTIONS, QUESTION], help="default: all")
    parser.add_argument("--count", type=int, default=8, help="streets; each is one variant per domain")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--model", default="street-mini")
    parser.add_argument("--trained", type=Path, default=TRAINED, help="where weights lie that are not shipped")
    parser.add_argument("--json", type=Path, default=Path("docs/measured/ablations.json"))
    asked = parser.parse_args()
    known = from_json(asked.json.read_text(encoding="utf-8")) if asked.json.is_file() else []
    cells = by_question(known)
    try:
        for question in asked.question or [*QUESTIONS, QUESTION]:
            cells[question] = []
            for cell in measured(question, asked, known):
                cells[question].append(cell)
                print(f"{question}, {cell.name}: {len(cell.rows)} variants", flush=True)
                asked.json.write_text(to_json([c for own in cells.values() for c in own]), encoding="utf-8")
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    asked.json.with_suffix(".svg").write_text(draw([c for own in cells.values() for c in own]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
