"""Prompts as a person would write them: many ways to say a condition, for photos and for rendered scenes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import numpy as np

from s2st_aug.errors import ConfigError, did_you_mean
from s2st_aug.records.domains import CONDITIONS

CONDITION_PHRASES: dict[str, tuple[str, ...]] = {
    "day": (
        "by day",
        "in daylight",
        "on a clear day",
        "on a sunny day",
        "at noon",
        "in the daytime",
        "in bright light",
        "under a blue sky",
        "in the morning",
    ),
    "dusk": (
        "at dusk",
        "at dawn",
        "in the evening",
        "after sunset",
        "at twilight",
        "in the late evening",
        "at sunset",
        "in dim light",
        "before sunrise",
    ),
    "night": (
        "at night",
        "by night",
        "after dark",
        "in the dark",
        "at midnight",
        "under street lamps",
        "in the night",
        "late at night",
        "under a dark sky",
    ),
    "rain": (
        "in the rain",
        "in heavy rain",
        "on a rainy day",
        "in wet weather",
        "during a rain shower",
        "in pouring rain",
        "with wet roads",
        "in drizzle",
    ),
    "fog": (
        "in fog",
        "in thick fog",
        "on a foggy day",
        "in mist",
        "on a misty morning",
        "in haze",
        "with low visibility",
        "in dense fog",
    ),
    "night_rain": (
        "at night in the rain",
        "on a rainy night",
        "at night with rain",
        "by night in heavy rain",
        "at night, rain",
        "after dark on a wet road",
    ),
}
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "day": ("sunny", "bright", "clear", "daytime"),
    "dusk": ("dusky", "dim", "evening", "twilight"),
    "night": ("dark", "night", "nighttime", "night-time"),
    "rain": ("rainy", "wet", "rain-soaked"),
    "fog": ("foggy", "misty", "hazy"),
    "night_rain": ("dark and rainy", "rainy night", "wet night"),
}
PLACES = (
    "a street",
    "a road",
    "a city street",
    "a town",
    "a city",
    "traffic",
    "a street with cars",
    "a road with cars and houses",
    "an urban street",
    "the road ahead",
)
MEDIA: dict[str, tuple[str, ...]] = {
    "photo": (
        "a photo of",
        "a photograph of",
        "a dash cam photo of",
        "a picture of",
        "a real photo of",
        "a camera image of",
    ),
    "scene": (
        "a rendering of",
        "a rendered scene of",
        "a synthetic image of",
        "a computer graphics image of",
        "a simulated view of",
    ),
    "": ("", "an image of", "a view of", ""),
}
_FORMS = (
    "{medium} {place} {condition}",
    "{medium} {place}, {condition}",
    "{condition}, {medium} {place}",
    "{medium} {adjective_place}",
)
_MEDIUM_SAID = 0.5  # half of the prompts leave open what kind of image it is


def write_prompt(domain: str, medium: str, rng: np.random.Generator) -> str:
    """A prompt for an image of that domain; `medium` is photo or scene, and half of the prompts keep quiet about it."""
    if domain not in CONDITION_PHRASES:
        return f"{_pick(MEDIA[medium], rng)} {_pick(PLACES, rng)}, {domain.replace('_', ' ')}".strip()
    said = medium if rng.random() < _MEDIUM_SAID else ""
    return _fill(_pick(_FORMS, rng), domain, _pick(MEDIA[said], rng), _pick(PLACES, rng), rng)


def _fill(form: str, domain: str, medium: str, place: str, rng: np.random.Generator) -> str:
    adjective = _pick(ADJECTIVES[domain], rng)
    bare = place.split(" ", 1)[1] if place.split(" ", 1)[0] in ("a", "an", "the") else place
    article = "" if bare == "traffic" else ("an " if adjective[0] in "aeiou" else "a ")
    text = form.format(
        medium=medium,
        place=place,
        condition=_pick(CONDITION_PHRASES[domain], rng),
        adjective_place=f"{article}{adjective} {bare}",
    )
    return text.strip().replace(",  ", ", ")


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def canonical_prompt(domain: str, medium: str = "") -> str:
    """The plain prompt of a domain, for profiles and examples; raises ConfigError for an unknown one.

    >>> canonical_prompt("night_rain", "photo")
    'a photo of a street at night in the rain'
    """
    if domain not in CONDITIONS:
        raise ConfigError(f"unknown domain {domain!r}{did_you_mean(domain, CONDITIONS)}")
    return f"{MEDIA[medium][0]} a street {CONDITION_PHRASES[domain][0]}".strip()


def known_words(vocabulary: Iterable[str]) -> list[str]:
    """The words of the corpus that a vocabulary (tokens in CLIP's form) holds whole, in the order of the alphabet."""
    held = set(vocabulary)
    words = {word for text in vocabulary_corpus() for word in re.findall(r"[^\W\d_]+", text.lower())}
    return sorted(word for word in words if f"{word}</w>" in held)


def vocabulary_corpus() -> list[str]:
    """Every phrase that prompts are made of: what the tokenizer learns its words from."""
    conditions = itertools.chain.from_iterable(CONDITION_PHRASES.values())
    adjectives = itertools.chain.from_iterable(ADJECTIVES.values())
    return [*conditions, *adjectives, *PLACES, *itertools.chain.from_iterable(MEDIA.values())]
