"""CenterNet's targets, loss and decoding (arXiv 1904.07850), and AP through pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from s2st_aug.gain.results import Outcome, draws

LEAST_SEEN = 0.5  # share of a box that a crop must hold; one of which it holds less is not judged
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes of one image: xyxy `n 4` in pixels, class numbers `n`, and regions that are not judged `m 4`."""

    xyxy: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray

    def scaled(self, x: float, y: float) -> Boxes:
        """All coordinates times (x, y)."""
        factor = np.array([x, y, x, y])
        return Boxes(self.xyxy * factor, self.classes, self.ignored * factor)

    def cropped(self, x: int, y: int, size: tuple[int, int]) -> Boxes:
        """What a crop of (width, height) at (x, y) holds; boxes of which little is left are not judged there."""
        low, high = np.array([x, y, x, y]), np.array([*size, *size])
        inside, ignored = ((b - low).clip(0, high) for b in (self.xyxy, self.ignored))
        seen = _area(inside) / np.maximum(_area(self.xyxy), 1e-9)
        kept, cut = seen >= LEAST_SEEN, (seen > 0) & (seen < LEAST_SEEN)
        ignored = np.concatenate([ignored[_area(ignored) > 0], inside[cut]])
        return Boxes(inside[kept], self.classes[kept], ignored)

    def mirrored(self, width: int) -> Boxes:
        """The mirror image."""
        return Boxes(_mirror(self.xyxy, width), self.classes, _mirror(self.ignored, width))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _mirror(boxes: np.ndarray, width: int) -> np.ndarray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def targets(
    boxes: Boxes, size: tuple[int, int], classes: int, cell: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heatmap `k h w` with Gaussians, geometry `4 h w`, weight `h w` (0 where nothing is judged)."""
    w, h = size[0] // cell, size[1] // cell
    heat, geometry, weight = (
        np.zeros((classes, h, w), np.float32),
        np.zeros((4, h, w), np.float32),
        np.ones((h, w), np.float32),
    )
    for x1, y1, x2, y2 in (boxes.ignored / cell).round().astype(int).clip(0):
        weight[y1 : y2 + 1, x1 : x2 + 1] = 0
    rows, columns = np.ogrid[:h, :w]
    for (x1, y1, x2, y2), label in zip(boxes.xyxy / cell, boxes.classes, strict=True):
        cx, cy, bw, bh = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, 0.5), max(y2 - y1, 0.5)
        column, row = min(int(cx), w - 1), min(int(cy), h - 1)
        sx, sy = max(bw / 6, 0.6), max(bh / 6, 0.6)
        bump = np.exp(-((columns - column) ** 2) / (2 * sx**2) - ((rows - row) ** 2) / (2 * sy**2))
        heat[label] = np.maximum(heat[label], bump)
        geometry[:, row, column] = np.log(bw), np.log(bh), cx - column, cy - row
        weight[row, column] = 1
    return heat, geometry, weight


def loss(
    logits: Float[Tensor, "b k h w"],
    geometry: Float[Tensor, "b 4 h w"],
    heat: Float[Tensor, "b k h w"],
    wanted: Float[Tensor, "b 4 h w"],
    weight: Float[Tensor, "b h w"],
) -> Tensor:
    """CenterNet eq. 1 (penalty-reduced focal loss) plus L1 of size and offset at the centres."""
    centre = (heat > 0.999).float()
    positive = centre * (1 - logits.sigmoid()) ** 2 * functional.logsigmoid(logits)
    negative = (1 - centre) * (1 - heat) ** 4 * logits.sigmoid() ** 2 * functional.logsigmoid(-logits)
    count = centre.sum().clamp(min=1)
    focal = -((positive + negative) * weight[:, None]).sum() / count
    at_centre = centre.amax(1, keepdim=True)
    return focal + (at_centre * (geometry - wanted).abs()).sum() / count


def decode(
    logits: Float[Tensor, "1 k h w"], geometry: Float[Tensor, "1 4 h w"], cell: int = 2, top: int = 100
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Peaks as boxes xyxy `n 4` in pixels, class numbers `n`, scores `n`."""
    scores = logits.sigmoid()
    peaks = scores * (functional.max_pool2d(scores, 3, 1, 1) == scores)
    k, h, w = peaks.shape[1:]
    score, index = peaks.flatten().topk(min(top, k * h * w))
    label, row, column = index // (h * w), index % (h * w) // w, index % w
    bw, bh, dx, dy = geometry[0, :, row, column]
    cx, cy, bw, bh = column + dx, row + dy, bw.exp(), bh.exp()
    boxes = torch.stack([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2], 1) * cell
    return boxes.numpy(), label.numpy(), score.numpy()


def average_precision(
    truths: Sequence[Boxes], found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], classes: Sequence[str]
) -> Outcome:
    """COCO AP in percent: overall, by size, and by class; sizes are pycocotools' areas in pixels of the test image.

    Resampled are the overall AP and that of each class.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, guessed = COCO(), _detections(found)
        truth.dataset = _ground_truth(truths, classes)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(guessed) if guessed else COCO(), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        measures = {n: 100 * float(value) for n, value in zip(NAMES, evaluation.stats, strict=False) if value >= 0}
        return Outcome(measures | _by_class(evaluation, classes), _resampled(evaluation, len(truths), classes))


def _by_class(evaluation: Any, classes: Sequence[str]) -> dict[str, float]:
    found = {}
    for i, name in enumerate(classes):
        precision = evaluation.eval["precision"][:, :, i, 0, -1]  # iou, recall; all sizes, 100 detections
        if (precision >= 0).any():
            found[f"ap_{name}"] = 100 * float(precision[precision >= 0].mean())
    return found


def _resampled(evaluation: Any, images: int, classes: Sequence[str]) -> dict[str, list[float]]:
    """AP on draws of the images: what was matched image by image stays, and is gathered anew."""
    matched = np.array(evaluation.evalImgs, dtype=object).reshape(len(classes), -1, images)[:, 0]  # all sizes
    for settings in (evaluation.params, evaluation._paramsEval):
        settings.areaRng, settings.areaRngLbl, settings.maxDets = settings.areaRng[:1], settings.areaRngLbl[:1], [100]
    values: dict[str, list[float]] = {"ap": [], **{f"ap_{name}": [] for name in classes}}
    for chosen in draws(images):
        evaluation.evalImgs = matched[:, chosen].ravel().tolist()
        evaluation.accumulate()
        precision = evaluation.eval["precision"]
        own = _by_class(evaluation, classes) | {"ap": 100 * float(precision[precision >= 0].mean())}
        for name, known in values.items():
            known.append(own.get(name, float("nan")))
    return {name: known for name, known in values.items() if not np.isnan(known).any()}


def _ground_truth(truths: Sequence[Boxes], classes: Sequence[str]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, boxes in enumerate(truths, start=1):
        for (x1, y1, x2, y2), label in zip(boxes.xyxy.tolist(), boxes.classes.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            own = {"id": len(annotations) + 1, "image_id": image_id, "category_id": label + 1}
            annotations.append(own | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    return {
        "images": [{"id": i} for i in range(1, len(truths) + 1)],
        "annotations": annotations,
        "categories": categories,
    }


def _detections(found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for image_id, (boxes, labels, scores) in enumerate(found, start=1)
        for (x1, y1, x2, y2), label, score in zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True)
    ]
