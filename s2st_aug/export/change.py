"""What an export changes of a scene: its name, its domain, and which labels are to be ignored."""

from __future__ import annotations

from dataclasses import dataclass

from s2st_aug.formats.cards import Adapter


@dataclass(frozen=True, slots=True)
class Change:
    """From a source to one variant of it. The real image itself has no Change."""

    domain: str
    image: str  # the variant's file name (with its video's folder), as a record names it
    ignored: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


def mark_of(domain: str, adapter: Adapter) -> str:
    """The suffix of a variant's name.

    Cityscapes' own scripts split names at `_` and count the parts, so there the mark holds none.

    >>> mark_of("night_rain", "bdd100k"), mark_of("night_rain", "cityscapes")
    ('__night_rain', '-night-rain')
    """
    return f"-{domain.replace('_', '-')}" if adapter == "cityscapes" else f"__{domain}"


def marked_stem(stem: str, mark: str, *, video: bool = False) -> str:
    """The stem with its mark: on the last part, or on the video's folder, so that a video stays whole.

    >>> marked_stem("b1/b1-0000001", "__night", video=True)
    'b1__night/b1-0000001'
    """
    if video and "/" in stem:
        folder, _, name = stem.rpartition("/")
        return f"{folder}{mark}/{name}"
    return stem + mark
