"""The segmentation task: photos with id masks, a small U-Net, mIoU on real photos at their own size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError
from s2st_aug.gain.arms import changed, changes
from s2st_aug.gain.config import GainConfig, Photos, SegmentationData
from s2st_aug.gain.networks import Segmenter
from s2st_aug.gain.results import Outcome, draws
from s2st_aug.gain.training import fit, place_of, to_batch
from s2st_aug.gain.variants import TrainVariant, variants_of
from s2st_aug.images import read_image, resize

Draw = Callable[[int, np.random.Generator], tuple[Image, np.ndarray] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Photos and id masks of one split, at the training size; the stems name them."""

    stems: tuple[str, ...]
    images: tuple[Image, ...]
    masks: tuple[np.ndarray, ...]  # uint8 "h w"


def list_photos(photos: Photos) -> list[Path]:
    """The photos of a split in order of their names; raises DatasetError where there is none."""
    found = sorted(p for p in photos.images.glob(photos.prefix + "*") if photos.first <= p.stem <= photos.last)
    if not found:
        raise DatasetError(f"{photos.images}: no photo {photos.prefix}* from {photos.first!r} to {photos.last!r}")
    return found


def read_mask(photos: Photos, stem: str) -> np.ndarray:
    """The id mask of a photo, uint8 `h w`; raises DatasetError where it is missing."""
    path = (photos.labels or photos.images) / f"{stem}.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise DatasetError(f"{path}: expected an id mask with one channel")
    return mask


@functools.lru_cache(maxsize=2)  # a process of Ray's trains several arms
def load(photos: Photos, size: tuple[int, int]) -> Labelled:
    """A whole split in memory at the training size."""
    paths = list_photos(photos)
    images = tuple(resize(read_image(p), size) for p in paths)
    masks = tuple(cv2.resize(read_mask(photos, p.stem), size, interpolation=cv2.INTER_NEAREST) for p in paths)
    return Labelled(tuple(p.stem for p in paths), images, masks)


def train(config: GainConfig, arm: str, rng_key: int) -> nn.Module:
    """One arm's network after its updates."""
    data = _data(config)
    labelled = load(data.train, config.training.size)
    counterpart = _counterpart(config, data, labelled, arm)
    weights = class_weights(labelled.masks, len(data.classes))

    def build() -> nn.Module:
        return Segmenter(config.training.widths, len(data.classes))

    def loss_of(network: nn.Module, indices: np.ndarray, replaced: np.ndarray, rng: np.random.Generator) -> Tensor:
        drawn = []
        for i, r in zip(indices.tolist(), replaced, strict=True):
            image, mask = (counterpart(i, rng) if r else None) or (labelled.images[i], labelled.masks[i])
            drawn.append(_augment(image, mask, rng))
        target = torch.from_numpy(np.stack([mask[::2, ::2] for _, mask in drawn])).long()  # the network's own size
        device = place_of(network)
        logits = network(to_batch([image for image, _ in drawn], device))
        return functional.cross_entropy(logits, target.to(device), weights.to(device), ignore_index=data.void)

    return fit(build, loss_of, len(labelled.images), config, rng_key)


def measure(config: GainConfig, network: nn.Module) -> Outcome:
    """mIoU and IoU per class, in percent."""
    return evaluate(network, _data(config), config.training.size)


def _data(config: GainConfig) -> SegmentationData:
    assert config.segmentation is not None
    return config.segmentation


def class_weights(masks: Sequence[np.ndarray], classes: int) -> Tensor:
    """1 / sqrt(share of the pixels), mean 1, at most 5: rare classes are learned within few updates.

    The same for every arm.
    """
    counts = np.bincount(np.concatenate([m.ravel() for m in masks]), minlength=classes)[:classes]
    weights = 1 / np.sqrt(np.maximum(counts, 1) / max(1, counts.sum()))
    return torch.tensor(np.minimum(weights / weights.mean(), 5.0), dtype=torch.float32)


def _counterpart(config: GainConfig, data: SegmentationData, labelled: Labelled, arm: str) -> Draw:
    """What replaces image i in this arm; None where the arm has nothing for it, and the real image stays."""
    if arm == "real_only":
        return lambda i, rng: None
    if changes(arm):
        photos = [resize(read_image(p), config.training.size) for p in list_photos(data.references)]
        references = {config.domains[0]: photos}
        return lambda i, rng: (changed(arm, i, labelled.images[i], references, rng), labelled.masks[i])
    variants = variants_of(config, arm)
    return lambda i, rng: _from_run(variants, labelled, data.void, i, rng)


def _from_run(
    variants: dict[str, list[TrainVariant]], labelled: Labelled, void: int, i: int, rng: np.random.Generator
) -> tuple[Image, np.ndarray] | None:
    """A variant of image i, or of another image where i's was refused: the mix stays as planned."""
    stem = labelled.stems[i]
    if stem not in variants:
        known = sorted(variants)
        stem = known[int(rng.integers(len(known)))]
    chosen = variants[stem][int(rng.integers(len(variants[stem])))]
    mask = labelled.masks[labelled.stems.index(stem)]
    return chosen.image, mask if chosen.ignored is None else np.where(chosen.ignored, np.uint8(void), mask)


def _augment(image: Image, mask: np.ndarray, rng: np.random.Generator) -> tuple[Image, np.ndarray]:
    """The same for every arm: a random crop of 70 to 100 % of the side, and a mirror image half of the time."""
    height, width = mask.shape
    share = rng.uniform(0.7, 1.0)
    h, w = round(height * share), round(width * share)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    image = cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_NEAREST)
    return (image[:, ::-1], mask[:, ::-1]) if rng.random() < 0.5 else (image, mask)


@torch.no_grad()
def evaluate(network: nn.Module, data: SegmentationData, size: tuple[int, int]) -> Outcome:
    """IoU at the photos' own size over classes that occur in the test photos; void is left out. Resampled is mIoU."""
    classes, paths = len(data.classes), list_photos(data.test)
    confusions = np.zeros((len(paths), classes, classes), np.int64)
    for confusion, path in zip(confusions, paths, strict=True):
        truth = read_mask(data.test, path.stem)
        logits = network(to_batch([resize(read_image(path), size)], place_of(network)))
        guess = functional.interpolate(logits, size=truth.shape, mode="bilinear").argmax(1)[0].cpu().numpy()
        known = truth < classes
        pairs = truth[known].astype(int) * classes + guess[known]
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    resampled = [_intersections(confusions[chosen].sum(0), data.classes)["miou"] for chosen in draws(len(paths))]
    return Outcome(_intersections(confusions.sum(0), data.classes), {"miou": resampled})


def _intersections(confusion: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    present = confusion.sum(1) > 0
    per_class = {f"iou_{name}": 100 * float(hits[i] / union[i]) for i, name in enumerate(classes) if present[i]}
    return {"miou": float(np.mean(list(per_class.values()))), **per_class}
