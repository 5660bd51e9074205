"""What every writer is given: the source, what goes out of it, and where."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from s2st_aug.errors import CheckFailed
from s2st_aug.export.change import mark_of
from s2st_aug.export.images import ImageFormat, is_as_stored, transcoded, variant_suffix
from s2st_aug.export.losses import Losses
from s2st_aug.export.output import OutputFolder
from s2st_aug.export.selection import Selection, Variant
from s2st_aug.formats import Card, read_scenes
from s2st_aug.records.scene import Scene


@dataclass(frozen=True, slots=True)
class Job:
    """One export under way."""

    card: Card
    root: Path  # of the source data set
    run: Path
    split: str
    selection: Selection
    output: OutputFolder
    image_format: ImageFormat | None
    losses: Losses = field(default_factory=Losses)
    transcoding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def scenes(self) -> Iterator[Scene]:
        """The scenes that go out, in the data set's order; raises CheckFailed where one changed or went since the run."""
        wanted = self.selection.scenes()
        left = len(wanted)
        for scene in read_scenes(self.card, self.root, self.split):
            if scene.scene_id in wanted:
                left -= 1
                self._same_record(scene)
                yield scene
        if left:
            raise CheckFailed(
                f"{self.root}: {left} scenes of the run are no longer in split {self.split!r} of the data set"
            )

    def _same_record(self, scene: Scene) -> None:
        planned = self.selection.label_keys.get(scene.scene_id)
        found = str(scene.label_key) if scene.label_key else None
        if planned is not None and found is not None and planned.rpartition(":")[2] != found.rpartition(":")[2]:
            raise CheckFailed(
                f"{scene.scene_id}: its label record in {scene.label_file} is not the one that the run was made from"
            )

    def mark(self, variant: Variant, adapter: str) -> str:
        """The suffix of the variant's name in the target format."""
        return mark_of(variant.domain, adapter)  # type: ignore[arg-type]

    def place_source(self, scene: Scene, name: str) -> None:
        """The real image under a name of the export."""
        self.output.place(name, self.root / scene.image, self.selection.sources[scene.scene_id])

    def suffix(self, scene: Scene) -> str:
        """The suffix of the scene's variants."""
        return variant_suffix(scene.image, self.image_format)

    def place_variant(self, scene: Scene, variant: Variant, name: str) -> None:
        """The synthetic image under a name of the export, in the source's file type."""
        self.place_variant_as(scene, variant, name, self.suffix(scene))

    def place_variant_as(self, scene: Scene, variant: Variant, name: str, suffix: str) -> None:
        """The synthetic image in the file type of a suffix."""
        if is_as_stored(variant.image, suffix):
            self.output.place(name, self.run / variant.image, variant.image_sha256)
            return
        source = self.root / scene.image
        self.output.later(
            name, self.transcoding.submit(transcoded, self.run / variant.image, variant.image_sha256, source, suffix)
        )

    def place_source_as(self, scene: Scene, name: str, suffix: str) -> None:
        """The real image in the file type of a suffix; without loss, where that is another than its own."""
        path, sha256 = self.root / scene.image, self.selection.sources[scene.scene_id]
        if is_as_stored(scene.image, suffix):
            self.output.place(name, path, sha256)
        else:
            self.output.later(name, self.transcoding.submit(transcoded, path, sha256 or "", path, suffix, {}))

    def write(self, target: str) -> None:
        """Everything that goes out, in the source's own format or in another, and the report of what could not be expressed."""
        try:
            self._write(target)
        finally:
            self.transcoding.shutdown(cancel_futures=True)

    def _write(self, target: str) -> None:
        from s2st_aug.export.convert import export_converted
        from s2st_aug.export.native import export_native
        from s2st_aug.export.native_coco import export_coco
        from s2st_aug.export.whole import finish_kitti, finish_yolo

        if target != self.card.adapter:
            export_converted(self, target)
        elif target == "coco":
            export_coco(self)
        else:
            export_native(self)
        if target == self.card.adapter == "yolo":
            finish_yolo(self.output, self.root, self.split)
        if target == self.card.adapter == "kitti":
            finish_kitti(self.output, self.split)
        self.output.write("loss_report.json", self.losses.as_json(self.card.adapter, target))
        self.output.settle()
