"""Which file in a folder is the picture of a scene in a domain, by a pattern of names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from s2st_aug.errors import ConfigError
from s2st_aug.formats.names import IMAGE_SUFFIXES, flat_name, list_files
from s2st_aug.records.scene import Scene

PATTERN = "{scene}__{domain}.png"
ANY_SUFFIX = ".*"
_FIELD = re.compile(r"\{(\w*)\}")


def checked_pattern(pattern: str) -> str:
    """The pattern; raises ValueError for one that is no relative path with {scene}."""
    path, unknown = PurePosixPath(pattern), set(_FIELD.findall(pattern)) - {"scene", "domain"}
    if unknown or "{scene}" not in pattern or path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a relative path with {scene}, and {domain} unless there is one domain alone")
    return pattern


@dataclass(frozen=True, slots=True)
class Pictures:
    """A folder of pictures and the pattern of their names."""

    folder: Path
    pattern: str

    def find(self, scene: Scene, domain: str) -> str | None:
        """The picture's name below the folder, of the first spelling of the scene that there is a file of."""
        return next((name for name in self.names(scene, domain) if (self.folder / name).is_file()), None)

    def names(self, scene: Scene, domain: str) -> Iterator[str]:
        """What a scene's picture may be called, the fullest name first."""
        short = scene.scene_id.removeprefix(f"{scene.split}/")
        stem = PurePosixPath(scene.image).stem
        for spelled in dict.fromkeys((scene.scene_id, short, flat_name(short), PurePosixPath(short).name, stem)):
            name = self.pattern.replace("{scene}", spelled).replace("{domain}", domain)
            if not name.endswith(ANY_SUFFIX):
                yield name
                continue
            bare = name.removesuffix(ANY_SUFFIX)
            yield from (bare + cased for suffix in sorted(IMAGE_SUFFIXES) for cased in (suffix, suffix.upper()))

    def listed(self) -> list[str]:
        """Every image file below the folder; raises ConfigError where there is no folder, or none in it."""
        if not self.folder.is_dir():
            raise ConfigError(f"pictures: no such folder: {self.folder}")
        if not (names := list(list_files(self.folder, IMAGE_SUFFIXES))):
            raise ConfigError(f"pictures: no image file below {self.folder}")
        return names

    def matching(self, domains: Sequence[str]) -> list[str]:
        """The image files whose names the pattern can mean."""
        parts = {"scene": ".+", "domain": "|".join(map(re.escape, domains))}
        any_suffix = self.pattern.endswith(ANY_SUFFIX)
        pieces = re.split(r"\{(\w+)\}", self.pattern.removesuffix(ANY_SUFFIX) if any_suffix else self.pattern)
        text = "".join(f"(?:{parts[p]})" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
        whole = re.compile(text + (r"\.[^./]+" if any_suffix else ""))
        return [name for name in self.listed() if whole.fullmatch(name)]
