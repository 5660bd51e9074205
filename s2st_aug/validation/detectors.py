"""Detectors behind two small protocols: objects in the variant that neither the labels nor the source have.

A `Detector` looks at one image, and what it finds in the source is known. A `PairDetector` looks at both at once.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import cv2
import numpy as np

from s2st_aug.arrays import Box, Image
from s2st_aug.errors import MissingDependency, ModelError
from s2st_aug.records.scene import LINES, SceneObject
from s2st_aug.records.verdicts import Hallucination

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Layout = Literal["yolox", "yolov5", "yolov8"]
STRIDES = (8, 16, 32)
SHIPPED = ("street-mini-detector",)  # our own, trained on rendered streets alone
LEAST_OVERLAP = 0.3  # IoU from which a detection is one that is known already
INSIDE = 0.6  # share of a detection inside a known box from which it is a part of that one
COCO_STREET = {
    0: "person",
    1: "bicycle",
    2: "car",
    3: "motorcycle",
    5: "bus",
    6: "train",
    7: "truck",
    9: "traffic light",
    11: "stop sign",
}


@dataclass(frozen=True, slots=True)
class Detection:
    """One box, xyxy in the image's pixels, with its category and score in [0, 1]."""

    bbox: Box
    category: str
    score: float


class Detector(Protocol):
    """Anything that finds objects in an RGB image."""

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """Detections, highest score first."""
        ...


@runtime_checkable
class PairDetector(Protocol):
    """Anything that finds objects in one RGB image that another of the same street does not show."""

    def detect_new(self, source: Image, picture: Image) -> tuple[Detection, ...]:
        """What stands in the picture and not in the source, both of one size, highest score first."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _OnnxFile:
    """A YOLO- or YOLOX-style ONNX file through onnxruntime; `names` maps class numbers, others are dropped."""

    session: InferenceSession
    size: tuple[int, int]  # w, h
    names: dict[int, str]
    least: float

    def _boxed(self, image: Image) -> tuple[np.ndarray, float]:
        """The image as the network takes it, `3 h w` float32, grey beside and below it, and its scale."""
        k = min(self.size[0] / image.shape[1], self.size[1] / image.shape[0])
        small = cv2.resize(image, (max(1, round(image.shape[1] * k)), max(1, round(image.shape[0] * k))))
        padded = np.full((self.size[1], self.size[0], 3), 114, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small
        shape = self.session.get_outputs()[0].shape
        is_yolox = layout_of((int(shape[1]), int(shape[2])), self.size) == "yolox"
        # YOLOX takes BGR in 0..255, the YOLO family RGB in 0..1
        pixels = padded[..., ::-1].astype(np.float32) if is_yolox else padded.astype(np.float32) / 255
        return pixels.transpose(2, 0, 1), k

    def _found(self, pixels: np.ndarray, k: float) -> tuple[Detection, ...]:
        """Detections after non-maximum suppression at IoU 0.5."""
        name = self.session.get_inputs()[0].name
        out = np.asarray(self.session.run(None, {name: np.ascontiguousarray(pixels[None])})[0])[0]
        return self._kept(decoded(out, self.size), k)

    def _kept(self, found: tuple[np.ndarray, np.ndarray], k: float) -> tuple[Detection, ...]:
        boxes, scores = found
        best = scores.argmax(1)
        score = scores[np.arange(len(scores)), best]
        at = np.flatnonzero((score >= self.least) & np.isin(best, list(self.names)))
        corners = np.concatenate([boxes[at, :2] - boxes[at, 2:] / 2, boxes[at, 2:]], 1) / k
        kept = cv2.dnn.NMSBoxes(corners.tolist(), score[at].tolist(), self.least, 0.5)
        rows = [(corners[i], self.names[int(best[at[i]])], float(score[at[i]])) for i in np.asarray(kept, int).ravel()]
        return tuple(
            Detection((float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])), n, s) for b, n, s in rows
        )


class OnnxDetector(_OnnxFile):
    """A file whose input has three channels: one image."""

    __slots__ = ()

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """Detections after non-maximum suppression at IoU 0.5."""
        return self._found(*self._boxed(image))


class OnnxPairDetector(_OnnxFile):
    """A file whose input has six channels: the source's three, then the picture's."""

    __slots__ = ()

    def detect_new(self, source: Image, picture: Image) -> tuple[Detection, ...]:
        """What stands in the picture and not in the source, after non-maximum suppression at IoU 0.5."""
        (before, _), (after, k) = self._boxed(source), self._boxed(picture)
        return self._found(np.concatenate([before, after]), k)


def layout_of(shape: tuple[int, int], size: tuple[int, int]) -> Layout:
    """The family of an output `a b`: YOLOX has one row a grid cell, YOLOv5 three, YOLOv8 has them as columns."""
    cells = sum((size[0] // s) * (size[1] // s) for s in STRIDES)
    if shape[0] == cells:
        return "yolox"
    if shape[0] == 3 * cells:
        return "yolov5"
    if shape[1] == cells:
        return "yolov8"
    raise ModelError(
        f"detector output {shape[0]}x{shape[1]} fits no YOLO layout for an input of {size[0]}x{size[1]} "
        f"({cells} grid cells); export the detector as YOLOv5, YOLOv8 or YOLOX does"
    )


def decoded(out: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes `n 4` (cx cy w h, input pixels) and class scores `n c` from a detector's output `a b`."""
    layout = layout_of((out.shape[0], out.shape[1]), size)
    if layout == "yolov8":
        return out[:4].T, out[4:].T
    boxes, scores = out[:, :4], out[:, 4:5] * out[:, 5:]
    return (_on_grid(boxes, size) if layout == "yolox" else boxes), scores


def _on_grid(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """YOLOX's raw offsets and log sizes on their grid."""
    grids = [
        np.stack(np.meshgrid(np.arange(size[0] // s), np.arange(size[1] // s)), -1).reshape(-1, 2) for s in STRIDES
    ]
    stride = np.concatenate([np.full((len(g), 1), s) for g, s in zip(grids, STRIDES, strict=True)])
    return np.concatenate([(boxes[:, :2] + np.concatenate(grids)) * stride, np.exp(boxes[:, 2:]) * stride], 1)


def find_detector(name: str) -> Path:
    """The file of a shipped detector by its name, or the path itself."""
    if name not in SHIPPED:
        return Path(name).expanduser()
    return Path(str(files("s2st_aug").joinpath("weights", name, "detector.onnx")))


@lru_cache(maxsize=4)
def load_detector(path: str, least: float = 0.5) -> OnnxDetector | OnnxPairDetector:
    """A shipped detector by name, or an ONNX file, on one thread: of pairs where its input has six channels.

    Raises ModelError on a missing or foreign file, MissingDependency without onnxruntime. Class names are read from the
    file's `names` metadata (as the YOLO family writes it), else COCO's street classes are taken.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("detectors need onnxruntime: pip install 's2st-aug[detect]'") from error
    file = find_detector(path)
    if not file.is_file():
        raise ModelError(f"no detector at {path}: expected {', '.join(SHIPPED)} or a YOLO- or YOLOX-style ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path} is no ONNX model that onnxruntime can read: {str(error).splitlines()[0]}") from error
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(v, int) for v in shape[2:]) or shape[1] not in (3, 6):
        raise ModelError(
            f"{path}: expected an input of fixed size 1x3xHxW (an image) or 1x6xHxW (source and variant), got {shape}"
        )
    text = session.get_modelmeta().custom_metadata_map.get("names")
    names = {int(k): str(v) for k, v in ast.literal_eval(text).items()} if text else COCO_STREET
    kind = OnnxPairDetector if shape[1] == 6 else OnnxDetector
    return kind(session, (shape[3], shape[2]), names, least)


def hallucinated_objects(
    detector: Detector | PairDetector, source: Image, variant: Image, raw: Image, objects: Sequence[SceneObject]
) -> tuple[Hallucination, ...]:
    """Boxes in the variant that neither labels nor the source have, and that lie in none of theirs.

    A detector of pairs looks at `raw`, what the model itself painted: the detail step lays the source over it.
    """
    known = [o.bbox for o in objects if o.kind not in LINES]
    if isinstance(detector, PairDetector):
        found = detector.detect_new(source, raw)
    else:
        known += [d.bbox for d in detector.detect(source)]
        found = detector.detect(variant)

    def is_known(box: Box) -> bool:
        area = max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)
        return any(overlap(box, b) >= LEAST_OVERLAP or _shared(box, b) / area >= INSIDE for b in known)

    return tuple(Hallucination(d.bbox, d.category, d.score) for d in found if not is_known(d.bbox))


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes have in common."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(w, 0.0) * max(h, 0.0)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    shared = _shared(a, b)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / whole if whole > 0 else 0.0
