"""What an export under way knows: the run, what goes out of it, and where the images go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from s2st_aug.arrays import Box
from s2st_aug.errors import CheckFailed
from s2st_aug.export.images import is_as_stored, orientation_tag, painted, transcoded, variant_suffix
from s2st_aug.export.options import ExportOptions
from s2st_aug.export.output import OutputFolder
from s2st_aug.export.selection import Selection, Variant
from s2st_aug.formats import orientation_of, read_scenes
from s2st_aug.formats.base import DatasetFormat, Placed, WriteContext
from s2st_aug.records.scene import LINES, Scene, SceneObject
from s2st_aug.storage.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportContext(WriteContext):
    """One export: what a format's writer is given, and what the export alone needs."""

    run: RunFolder
    selection: Selection
    output: OutputFolder
    options: ExportOptions
    names: dict[str, str] = field(default_factory=dict)  # scene -> its name in an export to another format
    marks: dict[str, str] = field(default_factory=dict)  # domain -> what the names of its variants have more
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
                f"{self.root}: {left} scenes of the run are no longer in split {self.split!r} of the dataset"
            )

    def refuse_other_labels(self, scene: Scene, objects: Sequence[SceneObject]) -> None:
        """Raises CheckFailed where the scene's labels are not those that the run judged."""
        other = self.selection.labels.difference(scene.scene_id, objects) if self.selection.labels else None
        if other is not None:
            raise CheckFailed(
                f"{scene.scene_id}: its labels are not those that the run was made from: {other}; put them back, or"
                " make a new run"
            )

    def variant_suffix(self, scene: Scene) -> str:
        """The suffix of the scene's variants, with its dot."""
        return variant_suffix(scene.image, self.options.image_format)

    def hidden(self, variant: Variant, target: DatasetFormat, objects: Iterable[SceneObject]) -> tuple[Box, ...]:
        """The boxes to paint over, of labels that the target has no way to ignore; told in the report.

        Crowds of the source are left out of real images too, and not painted in either: their writers tell of them.
        """
        if target.holds_ignored or not variant.ignored:
            return ()
        boxes = tuple(
            o.bbox for o in objects if o.object_id in variant.ignored and not o.crowd and o.bbox[2] > o.bbox[0]
        )
        hides = self.options.lost == "paint"
        done = "its box is grey in the variant's copy" if hides else "what shows of it becomes background"
        why = f"{target.title} has no region to ignore: the line is left out, {done}"
        self.losses.add("label to ignore", why, variant.scene_id, len(boxes))
        return boxes if hides else ()

    def place_source(self, scene: Scene, name: str, suffix: str | None = None) -> None:
        """The real image under a name of the export: its bytes, or, for another file type, its pixels.

        A `suffix` is given in a conversion. An image with an orientation tag is then written anew, without the tag and
        in the pixels that its labels are in: formats differ in whether they apply such a tag.
        """
        path, sha256 = f"{self.root}/{scene.image}", self.selection.sources.get(scene.scene_id)
        if scene.split == self.split:
            self.images[name] = Placed(scene.scene_id, "real")
        if suffix is None or (is_as_stored(scene.image, suffix) and orientation_tag(path) == 1):
            self.output.place(name, path, sha256)
        else:
            turn = orientation_of(self.card, self.root, scene)
            work = partial(transcoded, Path(path), sha256, Path(path), suffix, {}, orientation=turn)
            self.output.later(name, self.transcoding.submit(work))

    def place_variant(
        self,
        scene: Scene,
        variant: Variant,
        name: str,
        suffix: str,
        objects: tuple[SceneObject, ...] = (),
        hidden: tuple[Box, ...] = (),
        *,
        as_source: bool = True,
    ) -> None:
        """The synthetic image under a name of the export, in the file type of a suffix and its source's quality.

        `hidden` are boxes to paint over, but for what the scene's `objects` that hold cover. Where the real image keeps
        its orientation tag (`as_source`) and labels are in stored pixels, the variant carries the same tag, so that
        both open alike, and labels fit both or none.
        """
        self.images[name] = Placed(scene.scene_id, variant.domain)
        path, sha256 = f"{self.run.path}/{variant.image}", variant.image_sha256  # it was checked when it was selected
        source = f"{self.root}/{scene.image}"
        tag = orientation_tag(source) if as_source else 1
        tag = tag if tag != 1 and orientation_of(self.card, self.root, scene) == "ignore" else 1
        if is_as_stored(variant.image, suffix) and not hidden and tag == 1:
            self.output.place(name, path, sha256)
            return
        kept = tuple(o.bbox for o in objects if o.object_id not in variant.ignored and o.kind not in LINES)
        paint = partial(painted, hidden=hidden, kept=kept) if hidden else None
        work = partial(transcoded, Path(path), sha256, Path(source), suffix, paint=paint, tag=tag)
        self.output.later(name, self.transcoding.submit(work))
