"""A planned scene's files as a worker sees them: read, checked against the plan, decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.config.augment import DatasetConfig
from s2st_aug.engine.remote_dataset import fetched
from s2st_aug.errors import AbsentImage, LabelError, SampleError, SourceChanged, UnreadableImage
from s2st_aug.formats import Card, orientation_of, read_objects
from s2st_aug.formats.pixels import Orientation
from s2st_aug.images import PLAIN, Photo, file_bytes, read_photo, sha256_bytes
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Failure
from s2st_aug.storage.plan import PlannedScene

BLANK = (64, 64, 3)


@dataclass(frozen=True, slots=True, eq=False)
class SourceScene:
    """A scene's pixels, bytes' hash and labels; or, with `failure`, a blank slot in its batch."""

    photo: Photo | None
    sha256: str | None
    objects: tuple[SceneObject, ...] = ()
    failure: Failure | None = None
    orientation: Orientation = "ignore"
    """how the pixels of the photo, and of pictures made from it, lie: upright, or as they are stored"""

    @property
    def rgb(self) -> Image:
        """The photo's pixels; only where there is one."""
        assert self.photo is not None
        return self.photo.rgb

    def blanked(self, failure: Failure | None) -> SourceScene:
        """The same slot with black pixels of the same shape."""
        photo = None if self.photo is None else Photo(np.zeros_like(self.photo.rgb), PLAIN)
        return SourceScene(photo, self.sha256, (), failure, self.orientation)


class SourceReader:
    """Reads the scenes of one dataset, from this machine's folder or from an object store, where nothing stays here."""

    def __init__(self, dataset: DatasetConfig, card: Card) -> None:
        self._root, self._card = dataset.root, card

    def __call__(self, planned: PlannedScene) -> SourceScene:
        """As `read_source`."""
        try:
            with fetched(self._root, planned.scene) as folder:
                return read_source(folder, self._card, planned)
        except OSError as error:
            failure = failure_of(UnreadableImage(f"{planned.scene.image}: {reason_of(error)}"))
            return SourceScene(None, None, (), failure)


def photos_of(sources: Sequence[SourceScene]) -> list[Image]:
    """The pixels of a batch; an unreadable slot is black, in the shape of the batch's first readable one."""
    shape = next((s.photo.rgb.shape for s in sources if s.photo is not None), BLANK)
    return [np.zeros(shape, np.uint8) if s.photo is None else s.photo.rgb for s in sources]


def read_source(root: Path, card: Card, planned: PlannedScene) -> SourceScene:
    """Never raises for a bad sample: `failure` says what is wrong with it."""
    digest: str | None = None
    try:
        data = _read_planned(root, planned)
        digest = sha256_bytes(data)
        if planned.sha256 not in (None, digest):
            raise SourceChanged(
                f"{planned.scene.image}: its contents changed since it was planned; --check-sources plans it anew"
            )
        orientation = orientation_of(card, root, planned.scene)
        photo = read_photo(data, name=planned.scene.image, orientation=orientation)
        check_label(root, planned)
        return SourceScene(photo, digest, read_objects(card, root, planned.scene), orientation=orientation)
    except (SampleError, MemoryError) as error:
        return SourceScene(None, digest, (), failure_of(error))
    except OSError as error:
        return SourceScene(None, digest, (), Failure("unreadable_image", reason_of(error)))
    except Exception as error:
        return SourceScene(None, digest, (), failure_of(LabelError(f"{planned.scene.label_file}: {reason_of(error)}")))


def failure_of(error: BaseException) -> Failure:
    """An exception as the failure of one sample."""
    named = error.failure if isinstance(error, SampleError) else "error"
    return Failure("out_of_memory" if isinstance(error, MemoryError) else named, reason_of(error))


def reason_of(error: BaseException) -> str:
    """`<class>: <message>` on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def _read_planned(root: Path, planned: PlannedScene) -> bytes:
    path = root / planned.scene.image
    try:
        stat, data = path.stat(), file_bytes(path)
    except OSError as error:
        kind = AbsentImage if isinstance(error, FileNotFoundError) else UnreadableImage
        raise kind(f"{planned.scene.image}: cannot be read ({error.strerror or type(error).__name__})") from None
    if (
        planned.sha256 is None
        and planned.size is not None
        and (stat.st_size, stat.st_mtime_ns) != (planned.size, planned.mtime_ns)
    ):
        raise SourceChanged(f"{planned.scene.image}: changed since it was planned; --check-sources plans it anew")
    return data


def check_label(root: Path, planned: PlannedScene) -> None:
    """The label record's bytes are the planned ones; raises SourceChanged or LabelError."""
    scene = planned.scene
    if scene.label_file is None or scene.label_key is None:
        return
    try:
        with (root / scene.label_file).open("rb") as file:
            file.seek(scene.label_key.start)
            record = file.read(scene.label_key.length)
    except OSError as error:
        raise LabelError(f"{scene.label_file}: cannot be read ({error.strerror or type(error).__name__})") from None
    if hashlib.sha256(record).hexdigest() != scene.label_key.sha256:
        raise SourceChanged(f"{scene.label_file}: the record of {scene.scene_id} changed since it was planned")
