"""The conditions and domains that the product knows by name."""

from __future__ import annotations

from typing import Literal, get_args

ConditionName = Literal["day", "dusk", "night", "rain", "fog", "night_rain"]
CONDITIONS: tuple[ConditionName, ...] = get_args(ConditionName)
DOMAINS: tuple[ConditionName, ...] = tuple(c for c in CONDITIONS if c != "day")

BDD_ATTRIBUTES: dict[str, dict[str, str]] = {
    "dusk": {"timeofday": "dawn/dusk"},
    "night": {"timeofday": "night"},
    "rain": {"weather": "rainy"},
    "fog": {"weather": "foggy"},
    "night_rain": {"timeofday": "night", "weather": "rainy"},
}
"""What a domain changes in a BDD100K record's image attributes (docs/reference/promises.md#labels)."""
