"""The detection task: a small CenterNet on labelled scenes, AP through pycocotools by test set, class and size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError
from s2st_aug.formats import load_card, orientation_of, read_objects, read_scenes
from s2st_aug.gain.arms import changed, changes, with_true_lights
from s2st_aug.gain.boxes import Boxes, average_precision, decode, loss, targets
from s2st_aug.gain.config import ORACLES, DetectionData, GainConfig
from s2st_aug.gain.networks import CenterNet
from s2st_aug.gain.results import Measures, Outcome
from s2st_aug.gain.segmentation import list_photos
from s2st_aug.gain.training import fit, place_of, to_batch
from s2st_aug.gain.variants import TrainVariant, stem_of, variants_of
from s2st_aug.images import read_image, read_photo, resize

OBJECT_CROPS = 0.75  # share of the crops that are laid around an object
Draw = Callable[[int, np.random.Generator], tuple[Image, Boxes] | None]


@dataclass(frozen=True, slots=True, eq=False)
class BoxedScenes:
    """Scenes of one split at the training size; `scales` leads from source pixels there."""

    stems: tuple[str, ...]
    images: tuple[Image, ...]
    boxes: tuple[Boxes, ...]
    scales: tuple[tuple[float, float], ...]


def load(data: DetectionData, root: Path, split: str, size: tuple[int, int]) -> BoxedScenes:
    """A whole split in memory at the training size."""
    return _load(data.format, data.classes, root, split, size)


@functools.lru_cache(maxsize=8)  # a process of Ray's trains several arms
def _load(format_: str, classes: tuple[str, ...], root: Path, split: str, size: tuple[int, int]) -> BoxedScenes:
    card = load_card(format_)
    stems, images, boxes, scales = [], [], [], []
    for scene in read_scenes(card, root, split):
        image = read_photo(root / scene.image, orientation=orientation_of(card, root, scene)).rgb
        scale = size[0] / image.shape[1], size[1] / image.shape[0]
        objects = [
            o
            for o in read_objects(card, root, scene)
            if o.kind == "box" and o.category in classes and not o.crowd and not o.unsound
        ]
        xyxy = np.array([o.bbox for o in objects], np.float64).reshape(-1, 4)
        labels = np.array([classes.index(o.category) for o in objects], np.int64)
        stems.append(stem_of(scene.image))
        images.append(resize(image, size))
        boxes.append(Boxes(xyxy, labels, np.zeros((0, 4))).scaled(*scale))
        scales.append(scale)
    return BoxedScenes(tuple(stems), tuple(images), tuple(boxes), tuple(scales))


def train(config: GainConfig, arm: str, rng_key: int) -> nn.Module:
    """One arm's network after its updates."""
    data, settings = _data(config), config.training
    scenes = load(data, data.train, data.split, settings.size)
    counterpart = _counterpart(config, data, scenes, arm)

    def build() -> nn.Module:
        return CenterNet(settings.widths, len(data.classes), settings.cell)

    def loss_of(network: nn.Module, indices: np.ndarray, replaced: np.ndarray, rng: np.random.Generator) -> Tensor:
        pairs: list[tuple[Image, Boxes]] = [
            (counterpart(i, rng) if r else None) or (scenes.images[i], scenes.boxes[i])
            for i, r in zip(indices.tolist(), replaced, strict=True)
        ]
        drawn = [_augment(*pair, settings.crop, rng) for pair in pairs]
        made = [targets(boxes, settings.crop or settings.size, len(data.classes), settings.cell) for _, boxes in drawn]
        device = place_of(network)
        heat, geometry, weight = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*made, strict=True))
        logits, guessed = network(to_batch([image for image, _ in drawn], device))
        return loss(logits, guessed, heat, geometry, weight)

    return fit(build, loss_of, len(scenes.images), config, rng_key)


def measure(config: GainConfig, network: nn.Module) -> Outcome:
    """AP in percent: `ap` is the mean over the test sets of the config's domains (over all, where none bears such a
    name), the rest is by test set, class and size.
    """
    data, settings = _data(config), config.training
    by_set = {}
    for name, root in data.test.items():
        scenes = load(data, root, data.test_split, settings.size)
        by_set[name] = evaluate(network, scenes, data.classes, settings.cell)
    meant = [name for name in by_set if name in config.domains] or list(by_set)
    measures: Measures = {}
    for key in ("ap", "ap_traffic light"):
        if all(key in by_set[name].measures for name in meant):
            measures[key] = float(np.mean([by_set[name].measures[key] for name in meant]))
    for name, own in by_set.items():
        measures |= {f"{name}_{key}": value for key, value in own.measures.items()}
    resampled = {f"{name}_{key}": values for name, own in by_set.items() for key, values in own.resampled.items()}
    return Outcome(measures, {"ap": np.mean([resampled[f"{n}_ap"] for n in meant], axis=0).tolist()} | resampled)


def _data(config: GainConfig) -> DetectionData:
    assert config.detection is not None
    return config.detection


@torch.no_grad()
def evaluate(network: nn.Module, scenes: BoxedScenes, classes: tuple[str, ...], cell: int = 2) -> Outcome:
    """AP on one test set, at the training size."""
    found = []
    for image in scenes.images:
        logits, geometry = network(to_batch([image], place_of(network)))
        found.append(decode(logits.cpu(), geometry.cpu(), cell=cell))
    return average_precision(scenes.boxes, found, classes)


def _counterpart(config: GainConfig, data: DetectionData, scenes: BoxedScenes, arm: str) -> Draw:
    if arm == "real_only":
        return lambda i, rng: None
    if changes(arm):
        references = _references(config, data)
        return lambda i, rng: (changed(arm, i, scenes.images[i], references, rng), scenes.boxes[i])
    if arm in ORACLES:
        return _from_truth(config, data, scenes, arm)
    variants = variants_of(config, arm)
    return lambda i, rng: _from_run(variants, scenes, i, rng)


def _references(config: GainConfig, data: DetectionData) -> dict[str, list[Image]]:
    return {
        domain: [resize(read_image(p), config.training.size) for p in list_photos(data.references[domain])]
        for domain in config.domains
    }


def _from_truth(config: GainConfig, data: DetectionData, scenes: BoxedScenes, arm: str) -> Draw:
    """The oracles: the scene's own true render, or its lights alone over a colour transfer."""
    truths = {d: load(data, data.truths[d], data.split, config.training.size) for d in config.domains}
    for domain, truth in truths.items():
        if truth.stems != scenes.stems:
            raise DatasetError(f"{data.truths[domain]}: expected the names of {data.train}, as aligned renders have")
    if arm == "true_render":
        return lambda i, rng: (truths[config.domains[rng.integers(len(truths))]].images[i], scenes.boxes[i])
    references = _references(config, data)

    def draw(i: int, rng: np.random.Generator) -> tuple[Image, Boxes]:
        domain = config.domains[rng.integers(len(truths))]
        own = {domain: references[domain]}
        transferred = changed("colour_transfer", i, scenes.images[i], own, rng)
        return with_true_lights(transferred, truths[domain].images[i]), scenes.boxes[i]

    return draw


def _from_run(
    variants: dict[str, list[TrainVariant]], scenes: BoxedScenes, i: int, rng: np.random.Generator
) -> tuple[Image, Boxes]:
    """A variant of scene i, or of another scene where i's were refused: the mix stays as planned."""
    known = sorted(variants)
    stem = scenes.stems[i] if scenes.stems[i] in variants else known[int(rng.integers(len(known)))]
    chosen = variants[stem][int(rng.integers(len(variants[stem])))]
    own = scenes.stems.index(stem)
    boxes, ignored = (
        scenes.boxes[own],
        np.array(chosen.ignored_boxes, np.float64).reshape(-1, 4) * np.tile(scenes.scales[own], 2),
    )
    kept = ~_among(boxes.xyxy, ignored)
    return chosen.image, Boxes(boxes.xyxy[kept], boxes.classes[kept], ignored)


def _among(boxes: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Which boxes are among the ignored ones, to a hundredth of a pixel."""
    if not len(boxes) or not len(ignored):
        return np.zeros(len(boxes), bool)
    return (np.abs(boxes[:, None] - ignored[None]).max(-1) < 0.01).any(1)


def _augment(
    image: Image, boxes: Boxes, crop: tuple[int, int] | None, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "crop_h crop_w 3"], Boxes]:
    """The same for every arm: a crop, where crops are asked for, and a mirror image half of the time."""
    if crop is not None:
        x, y = _corner(image, boxes, crop, rng)
        image, boxes = image[y : y + crop[1], x : x + crop[0]], boxes.cropped(x, y, crop)
    return (image[:, ::-1], boxes.mirrored(image.shape[1])) if rng.random() < 0.5 else (image, boxes)


def _corner(image: Image, boxes: Boxes, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Where a crop begins: in three of four it holds the middle of an
    object of any class alike, else it lies anywhere.
    """
    free = np.array([image.shape[1] - crop[0], image.shape[0] - crop[1]])
    corner = rng.integers(free + 1)
    if rng.random() < OBJECT_CROPS and len(boxes.classes):
        one = rng.choice(np.flatnonzero(boxes.classes == rng.choice(np.unique(boxes.classes))))
        middle = boxes.xyxy[one].reshape(2, 2).mean(0)
        corner = np.clip(middle - rng.uniform(0.1, 0.9, 2) * crop, 0, free)
    return int(corner[0]), int(corner[1])
