"""YAML from files that we did not write: no objects, no depth that the parser takes minutes for."""

from __future__ import annotations

import re
from typing import Any

import yaml

DEPTH_LIMIT = 64
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BRACKET = re.compile(r"[\[\]{}]")


def parse_yaml(text: str) -> Any:
    """The value; raises yaml.YAMLError, also for nesting deeper than `DEPTH_LIMIT`, whose square PyYAML's time is."""
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        if depth > DEPTH_LIMIT:
            raise yaml.YAMLError(f"nested deeper than {DEPTH_LIMIT} levels")
    if re.search(r"(?:[-?:][ \t]+){64}", text):
        raise yaml.YAMLError(f"nested deeper than {DEPTH_LIMIT} levels in one line")
    return yaml.load(text, Loader=_LOADER)
