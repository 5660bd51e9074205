"""A FiftyOne dataset or view as a dataset on disk: its images by links, its labels in COCO's form.

What was curated in FiftyOne is translated so without an export of one's own. Labels of a dataset that lies on disk in
its own format are better read from there, as they then come back byte for byte: FiftyOne keeps relative coordinates.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from s2st_aug.arrays import Mask
from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.formats.coco.write import segmentation
from s2st_aug.records.scene import SceneObject
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import is_remote

SPLIT = "train"
KINDS = ("Detections", "Polylines", "Detection", "Polyline")
USUAL = "ground_truth"


@dataclass(frozen=True, slots=True)
class Curated:
    """What was written: images and labels, and how many labels COCO cannot say."""

    root: Path
    images: int
    labels: int
    left_out: int  # open lines, outlines without a point, boxes without a place, labels without a class
    field: str | None  # that the labels are from; None: the view has none

    @property
    def dataset(self) -> dict[str, str]:
        """The `dataset` group of a config that reads it."""
        return {"format": "coco", "root": str(self.root), "split": SPLIT}


def open_view(fo: ModuleType, name: str) -> Any:
    """A dataset by its name, or one of its saved views as `DATASET/VIEW`; raises UsageError."""
    if fo.dataset_exists(name):
        return fo.load_dataset(name)
    dataset, _, view = name.rpartition("/")
    if not dataset or not fo.dataset_exists(dataset):
        wanted = dataset or name
        raise UsageError(f"FiftyOne holds no dataset {wanted!r}{did_you_mean(wanted, fo.list_datasets())}")
    found = fo.load_dataset(dataset)
    if not found.has_saved_view(view):
        known = found.list_saved_views()
        raise UsageError(f"the FiftyOne dataset {dataset!r} has no saved view {view!r}{did_you_mean(view, known)}")
    return found.load_saved_view(view)


def label_fields(view: Any) -> list[str]:
    """The fields that hold boxes, masks or outlines, `ground_truth` first."""
    kinds = {name: getattr(f, "document_type", None) for name, f in view.get_field_schema().items()}
    known = [name for name, kind in kinds.items() if kind is not None and kind.__name__ in KINDS]
    return sorted(known, key=lambda name: name != USUAL)


def label_field(view: Any, wanted: str | None) -> str | None:
    """The field that the labels are in: the one asked for, `ground_truth`, or the only one; None where there is none.

    Raises UsageError.
    """
    known = label_fields(view)
    if wanted is not None:
        if wanted not in known:
            what = f"expected one of {', '.join(known)}" if known else "it has no boxes, masks or outlines at all"
            raise UsageError(f"no labels in the field {wanted!r}: {what}{did_you_mean(wanted, known)}")
        return wanted
    if USUAL in known or len(known) < 2:
        return USUAL if USUAL in known else next(iter(known), None)
    raise UsageError(f"several fields hold labels: {', '.join(known)}; choose one with --fiftyone-field")


def write_dataset(view: Any, run: Path | str, field: str | None = None) -> Curated:
    """Write the view as `<run>-source`, in the order of its samples; again for the same view the same bytes.

    Of a grouped view the active slice counts. Raises UsageError for a run folder in a store, for what is no image on
    this machine, and where `run` was planned with another view, or with another state of this one.
    """
    if is_remote(str(run)):
        raise UsageError(f"a FiftyOne view needs a run folder on this machine, {run} is in a store")
    if view.media_type not in ("image", "group"):
        raise UsageError(f"expected a FiftyOne view of images, this one holds {view.media_type}")
    labels = label_field(view, field)
    names = _names([(s.id, s.filepath) for s in view.select_fields()])
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    categories: dict[str, int] = {}
    left_out = 0
    for number, sample in enumerate(view.iter_samples(), 1):
        width, height = _size(sample.filepath)
        content["images"].append({"id": number, "file_name": names[sample.id], "width": width, "height": height})
        for label in _labels(sample, labels):
            found = _object(label, (width, height))
            if found is None:
                left_out += 1
                continue
            x1, y1, x2, y2 = found.bbox
            kind = categories.setdefault(found.category, len(categories) + 1)
            own = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": kind}
            own |= {"iscrowd": int(found.crowd)}
            own |= {"bbox": [x1, y1, x2 - x1, y2 - y1]} | segmentation(found)
            content["annotations"].append(own | {"fiftyone_id": found.object_id})
    if not content["images"]:
        raise UsageError("the FiftyOne view holds no sample")
    content["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    folder = Path(f"{run}-source").absolute()
    _write(folder, content, {names[s.id]: s.filepath for s in view.select_fields()}, planned=RunFolder(run).exists())
    return Curated(folder, len(content["images"]), len(content["annotations"]), left_out, labels)


def _write(folder: Path, content: Mapping[str, Any], images: Mapping[str, str], *, planned: bool) -> None:
    """Labels last and whole, so that what a kill leaves is written again."""
    annotations = folder / f"annotations/instances_{SPLIT}.json"
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    links = {folder / f"images/{SPLIT}" / name: Path(path).absolute() for name, path in images.items()}
    other = annotations.exists() and annotations.read_text(encoding="utf-8") != text
    if planned and (other or any(link.is_symlink() and link.readlink() != to for link, to in links.items())):
        raise UsageError(
            f"{folder} holds another state of this view; name another run folder, as a run keeps the scenes and labels "
            "that it was planned with"
        )
    annotations.parent.mkdir(parents=True, exist_ok=True)
    for link, to in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and not link.is_symlink():
            raise UsageError(f"{link}: expected a link that an earlier call made, this is a file of its own")
        link.unlink(missing_ok=True)
        link.symlink_to(to)
    partial = annotations.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(annotations)


def _names(samples: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A file name for each sample: its own, with its id before it where another's stem is the same."""
    stems = Counter(Path(path).stem for _, path in samples)
    return {
        sample: Path(path).name if stems[Path(path).stem] == 1 else f"{sample}_{Path(path).name}"
        for sample, path in samples
    }


def _size(path: str) -> tuple[int, int]:
    """Width and height in pixels as they are stored; FiftyOne's labels are of the picture as it is shown."""
    from PIL import Image
    from PIL.ExifTags import Base

    try:
        with Image.open(path) as image:
            size, turned = image.size, image.getexif().get(Base.Orientation, 1) != 1
    except OSError as error:
        raise UsageError(f"{path}: no image on this machine ({error.strerror or 'not readable'})") from None
    if turned:
        raise UsageError(
            f"{path}: turned or mirrored by its EXIF orientation; expected pixels stored as they are shown"
        )
    return size


def _labels(sample: Any, field: str | None) -> Iterator[Any]:
    found = sample[field] if field else None
    if found is None:
        return
    lists = [getattr(found, name) for name in ("detections", "polylines") if hasattr(found, name)]
    yield from (lists[0] or ()) if lists else (found,)


def _object(label: Any, size: tuple[int, int]) -> SceneObject | None:
    """A label in pixels; None for an open line, which COCO has no word for, and for one without a class or a place.

    FiftyOne's own importer keeps COCO's `iscrowd` as an attribute of that name.
    """
    width, height = size
    if label.label is None:
        return None
    crowd = bool(label.get_attribute_value("iscrowd", False))
    if hasattr(label, "points"):
        outlines = tuple(np.asarray(part, np.float64) * size for part in label.points if len(part))
        if not label.closed or not outlines or not all(np.isfinite(part).all() for part in outlines):
            return None
        every = np.concatenate(outlines)
        (x1, y1), (x2, y2) = every.min(0).tolist(), every.max(0).tolist()
        return SceneObject(str(label.id), "polygon", str(label.label), (x1, y1, x2, y2), outlines, crowd=crowd)
    if label.bounding_box is None or len(label.bounding_box) != 4 or not np.isfinite(label.bounding_box).all():
        return None
    x, y, w, h = (v * side for v, side in zip(label.bounding_box, (width, height, width, height), strict=True))
    mask = _mask(label.get_mask(), (x, y, w, h), size) if label.has_mask else None
    return SceneObject(str(label.id), "box", str(label.label), (x, y, x + w, y + h), mask=mask, crowd=crowd)


def _mask(mask: np.ndarray, box: Sequence[float], size: tuple[int, int]) -> Mask:
    """An instance mask stretched over its box, as FiftyOne shows it: bool, of the image's `size` (w, h)."""
    x, y, w, h = (round(v) for v in box)
    drawn = cv2.resize((mask > 0).astype(np.uint8), (max(w, 1), max(h, 1)), interpolation=cv2.INTER_NEAREST) > 0
    whole = np.zeros(size[::-1], bool)
    inside = whole[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
    inside[:] = drawn[max(-y, 0) :, max(-x, 0) :][: inside.shape[0], : inside.shape[1]]
    return whole
