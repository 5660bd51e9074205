"""Enter translators into Same Street: python pipelines/leaderboard.py ENTRY... [--count N] [--streets DIR].

An ENTRY is a method (`histogram`, `s2st,preset=draft`, `my_module:MyMethod`) or a folder of pictures named
`{scene}__{domain}.png`. The true render and doing nothing are entered too where they are not there yet. Entries are
kept in docs/measured/same_street.json, which docs/same_street.md shows.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not part of the installed package

from benchmarks import same_street
from s2st_aug.diffusion.device import resolve_device
from s2st_aug.errors import S2STError


def main() -> int:
    """Exit 0 once every entry is stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entries", nargs="*", metavar="ENTRY")
    parser.add_argument("--peers", action="store_true", help="every peer of S2ST at every value of its own knob too")
    parser.add_argument("--count", type=int, default=same_street.COUNT, help="the first so many streets")
    parser.add_argument("--streets", type=Path, default=Path("runs/same-street"), help="rendered here where absent")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:N or mps; seconds are told of one core")
    parser.add_argument("--json", type=Path, default=Path("docs/measured/same_street.json"))
    asked = parser.parse_args()
    try:
        device, board = resolve_device(asked.device), same_street.read_board(asked.json)
        same_street.render_streets(asked.streets)
        entered = {e.translator for e in board if e.n >= asked.count}
        ends = [end for end in (same_street.TRUTH, same_street.NOTHING) if end not in entered]
        for spec in [*ends, *asked.entries, *(same_street.peers() if asked.peers else [])]:
            name, about, make = same_street.maker(spec, device)
            rows = list(same_street.rows_of(make, same_street.streets(asked.streets, asked.count)))
            date, timed = f"{datetime.now(UTC):%Y-%m-%d}", about.startswith("version")
            board = [e for e in board if e.translator != name]
            board += same_street.entries(name, about, rows, timed=timed, date=date)
            same_street.write_board(asked.json, board)
            print(f"{name}: {len(rows)} pictures", flush=True)
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(same_street.as_markdown(board))
    return 0


if __name__ == "__main__":
    sys.exit(main())
