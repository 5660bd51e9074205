"""What an export could not express: listed with numbers and a first example, never dropped in silence."""

from __future__ import annotations

import json
from collections import Counter


class LossReport:
    """Counts what was left out, by what and why."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, what: str, why: str, where: str, count: int = 1) -> None:
        """`count` things of one kind in one scene."""
        if count:
            self._counts[what, why] += count
            self._first.setdefault((what, why), where)

    def count(self, what: str) -> int:
        """How many things of one kind are listed, whatever the reason."""
        return sum(count for (kind, _), count in self._counts.items() if kind == what)

    def __len__(self) -> int:
        return len(self._counts)

    def as_json(self, source: str, target: str) -> bytes:
        """The report as a file."""
        entries = [
            {"what": k[0], "why": k[1], "count": n, "first": self._first[k]} for k, n in sorted(self._counts.items())
        ]
        return (
            json.dumps({"from": source, "to": target, "losses": entries}, indent=1, ensure_ascii=False) + "\n"
        ).encode()
