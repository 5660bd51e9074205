"""What an export under way knows: the run, what goes out of it, and where the images go."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from s2st_aug.errors import CheckFailed
from s2st_aug.export.images import ImageFormat, is_as_stored, transcoded, variant_suffix
from s2st_aug.export.output import OutputFolder
from s2st_aug.export.selection import Selection, Variant
from s2st_aug.formats import read_scenes
from s2st_aug.formats.base import WriteContext
from s2st_aug.records.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportContext(WriteContext):
    """One export: what a format's writer is given, and what the export alone needs."""

    run: Path
    selection: Selection
    output: OutputFolder
    image_format: ImageFormat | None
    transcoding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def scenes(self) -> Iterator[Scene]:
        """The scenes that go out, in the dataset's order; raises CheckFailed where one changed or is gone."""
        wanted = self.selection.scenes()
        left = len(wanted)
        for scene in read_scenes(self.card, self.root, self.split):
            if scene.scene_id not in wanted:
                continue
            left -= 1
            planned = self.selection.label_keys.get(scene.scene_id)
            found = scene.label_key.sha256 if scene.label_key else None
            if planned is not None and found is not None and planned.rpartition(":")[2] != found:
                raise CheckFailed(
                    f"{scene.scene_id}: its label record in {scene.label_file} is not the one that the run was"
                    " made from"
                )
            yield scene
        if left:
            raise CheckFailed(
                f"{self.root}: {left} scenes of the run are no longer in split {self.split!r} of the data set"
            )

    def variant_suffix(self, scene: Scene) -> str:
        """The suffix of the scene's variants, with its dot."""
        return variant_suffix(scene.image, self.image_format)

    def place_source(self, scene: Scene, name: str, suffix: str | None = None) -> None:
        """The real image under a name of the export, in the file type of a suffix (None: its own), without loss."""
        path, sha256 = self.root / scene.image, self.selection.sources[scene.scene_id]
        if suffix is None or is_as_stored(scene.image, suffix):
            self.output.place(name, path, sha256)
        else:
            self.output.later(name, self.transcoding.submit(transcoded, path, sha256 or "", path, suffix, {}))

    def place_variant(self, scene: Scene, variant: Variant, name: str, suffix: str) -> None:
        """The synthetic image under a name of the export, in the file type of a suffix and its source's quality."""
        path, sha256, source = self.run / variant.image, variant.image_sha256, self.root / scene.image
        if is_as_stored(variant.image, suffix):
            self.output.place(name, path, sha256)
        else:
            self.output.later(name, self.transcoding.submit(transcoded, path, sha256, source, suffix))
