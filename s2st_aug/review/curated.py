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

import numpy as np

from s2st_aug.errors import UsageError, did_you_mean
from s2st_aug.formats.run_lengths import encode

SPLIT = "train"
KINDS = ("Detections", "Polylines", "Detection", "Polyline")
USUAL = "ground_truth"


@dataclass(frozen=True, slots=True)
class Curated:
    """What was written: images and labels, and how many labels COCO cannot say."""

    root: Path
    images: int
    labels: int
    left_out: int  # open lines
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


def write_dataset(view: Any, folder: Path, field: str | None = None) -> Curated:
    """Write the view below `folder`, in the order of its samples; again for the same view the same bytes.

    Of a grouped view the active slice counts. Raises UsageError for what is no image on this machine, and where the
    folder holds another view's dataset.
    """
    labels = label_field(view, field)
    names = _names([(s.id, s.filepath) for s in view.select_fields()])
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    categories: dict[str, int] = {}
    left_out = 0
    for number, sample in enumerate(view.iter_samples(), 1):
        width, height = _size(sample)
        content["images"].append({"id": number, "file_name": names[sample.id], "width": width, "height": height})
        for label in _labels(sample, labels):
            shape = _shape(label, (width, height))
            if shape is None:
                left_out += 1
                continue
            kind = categories.setdefault(str(label.label), len(categories) + 1)
            own = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": kind, "iscrowd": 0}
            content["annotations"].append(own | shape | {"fiftyone_id": str(label.id)})
    if not content["images"]:
        raise UsageError("the FiftyOne view holds no sample")
    content["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    _write(folder, content, {names[s.id]: Path(s.filepath) for s in view.select_fields()})
    return Curated(folder, len(content["images"]), len(content["annotations"]), left_out, labels)


def _write(folder: Path, content: Mapping[str, Any], images: Mapping[str, Path]) -> None:
    annotations = folder / f"annotations/instances_{SPLIT}.json"
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    if annotations.exists() and annotations.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{folder} holds another state of this view; move it away and name another run folder, as a run keeps "
            "the scenes and labels that it was planned with"
        )
    annotations.parent.mkdir(parents=True, exist_ok=True)
    for name, path in images.items():
        link = folder / f"images/{SPLIT}" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path.absolute())
    annotations.write_text(text, encoding="utf-8")


def _names(samples: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A file name for each sample: its own, with its id before it where another's stem is the same."""
    stems = Counter(Path(path).stem for _, path in samples)
    return {
        sample: Path(path).name if stems[Path(path).stem] == 1 else f"{sample}_{Path(path).name}"
        for sample, path in samples
    }


def _size(sample: Any) -> tuple[int, int]:
    """Width and height in pixels, from the metadata or the file."""
    metadata = sample.metadata
    if metadata is not None and metadata.width and metadata.height:
        return metadata.width, metadata.height
    from PIL import Image

    try:
        with Image.open(sample.filepath) as image:
            return image.size
    except OSError as error:
        raise UsageError(f"{sample.filepath}: no image on this machine ({error.strerror or 'not readable'})") from None


def _labels(sample: Any, field: str | None) -> Iterator[Any]:
    found = sample[field] if field else None
    if found is None:
        return
    lists = [getattr(found, name) for name in ("detections", "polylines") if hasattr(found, name)]
    yield from (lists[0] or ()) if lists else (found,)


def _shape(label: Any, size: tuple[int, int]) -> dict[str, Any] | None:
    """A label's box, area and outline or mask in pixels; None for an open line, which COCO has no word for."""
    width, height = size
    if hasattr(label, "points"):
        if not label.closed:
            return None
        outlines = [np.asarray(part, np.float64) * size for part in label.points]
        every = np.concatenate(outlines)
        low, high = every.min(0), every.max(0)
        box = [*low.tolist(), *(high - low).tolist()]
        return {"bbox": box, "area": box[2] * box[3], "segmentation": [part.ravel().tolist() for part in outlines]}
    x, y, w, h = (v * side for v, side in zip(label.bounding_box, (width, height, width, height), strict=True))
    if label.mask is None:
        return {"bbox": [x, y, w, h], "area": w * h}
    whole = np.zeros((height, width), bool)
    top, left = round(y), round(x)
    cut = np.asarray(label.mask, bool)[: height - top, : width - left]
    whole[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return {"bbox": [x, y, w, h], "area": int(cut.sum()), "segmentation": encode(whole)}
