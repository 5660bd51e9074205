"""Strength: how far a variant moved from the source's domain to the target's (docs/method.md#strength).

Identity 0, target about 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from s2st_aug.arrays import Image
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.profile import Discriminant
from s2st_aug.records.verdicts import StrengthNull
from s2st_aug.validation.patches import shrunk_to

WIDTH = 192  # px that features are taken at: the same for a webcam and for a 2048 px camera
BANDS = 3
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHRINKAGE = 0.3
PHOTOMETRIC = 2  # photometric changes of each source photo that count as source too
FOLDS = 5
IN_TARGET = 0.5  # of the way from source to target that must be left, else strength is null: told as target already
LEAST_ACCURACY = 0.8  # on photos of another data set, from which a discriminant may reject


def features(image: Image) -> np.ndarray:
    """Per-band CIELAB quantiles, local-gradient and bright-blob statistics; float64, any image size."""
    lab = small_lab(image)
    bands = np.array_split(lab, BANDS)
    colour = []
    for band in bands:
        channels = band.reshape(-1, 3).T
        at = np.round(np.array(QUANTILES) * (channels.shape[1] - 1)).astype(int)  # nearest rank
        colour.append(np.partition(channels, at, axis=1)[:, at].ravel())
    edges = [_edges(band[..., 0]) for band in bands]
    return np.concatenate([*colour, *edges, _blobs(lab)]).astype(np.float64)


def small_lab(image: Image) -> np.ndarray:
    """CIELAB of the image shrunk to WIDTH pixels, float32."""
    height = max(BANDS * 8, round(image.shape[0] * WIDTH / image.shape[1]))
    small = shrunk_to(image, (WIDTH, height))
    return cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def _edges(light: np.ndarray) -> np.ndarray:
    g = cv2.magnitude(
        cv2.Scharr(light, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(light, cv2.CV_32F, 0, 1, scale=1 / 32)
    )
    mean = float(g.mean())
    return np.array(
        [mean, np.partition(g.ravel(), int(0.9 * g.size))[int(0.9 * g.size)], mean / (float(light.std()) + 1)]
    )


def _blobs(lab: np.ndarray) -> np.ndarray:
    """Small bright spots: what a top-hat of 9 px leaves of L, and how warm it is."""
    light = np.ascontiguousarray(lab[..., 0])
    hat = cv2.morphologyEx(light, cv2.MORPH_TOPHAT, np.ones((9, 9), np.uint8))
    spots = hat > 20
    dark, rank = float(np.median(light)), int(0.99 * hat.size)
    warm = float(lab[..., 2][spots].mean()) if spots.any() else 0.0
    brightest = np.partition(hat.ravel(), rank)[rank]
    return np.array([np.sqrt(spots.mean()), brightest, warm, float(light.max()) - dark, hat.mean() / (dark + 5)])


def fit_discriminant(
    sources: Sequence[Image],
    targets: Sequence[Image],
    fitted_on: str,
    *,
    accuracy: float | None = None,
    shrinkage: float = SHRINKAGE,
) -> Discriminant:
    """Shrinkage LDA between photos of two domains, at least four of each.

    Darker, fainter and tinted copies of the source photos count as source, so that darkening alone is no
    translation (docs/validity.md has the numbers). Medians and the target's 5 % and 95 % points are of
    photos left out (five contiguous folds: keep a video's frames together). Raises ValueError on too few.
    """
    if min(len(sources), len(targets)) < 4:
        raise ValueError(
            f"a discriminant needs at least 4 photos of each domain; got {len(sources)} and {len(targets)}"
        )
    a, b = (np.stack([features(image) for image in images]) for images in (sources, targets))
    copies = [np.stack([features(changed(image, i, n)) for i, image in enumerate(sources)]) for n in range(PHOTOMETRIC)]
    return fit_features(a, b, fitted_on, copies=copies, accuracy=accuracy, shrinkage=shrinkage)


def changed(image: Image, *key: int) -> Image:
    """A photometric change without a change of domain: gain, gamma, colourfulness and tint, drawn from `key`."""
    rng = numpy_generator(0, "photometric", *map(str, key))
    x = (image / 255.0) ** np.exp(rng.uniform(np.log(0.6), np.log(4))) * np.exp(rng.uniform(np.log(0.2), 0.1))
    grey = x.mean(-1, keepdims=True)
    x = (grey + (x - grey) * rng.uniform(0.2, 1.1)) * rng.uniform(0.85, 1.1, 3)
    return (255 * np.clip(x, 0, 1)).astype(np.uint8)


def fit_features(
    sources: np.ndarray,
    targets: np.ndarray,
    fitted_on: str,
    *,
    copies: Sequence[np.ndarray] = (),
    accuracy: float | None = None,
    shrinkage: float = SHRINKAGE,
) -> Discriminant:
    """`fit_discriminant` on feature rows `n features`; `copies` are rows of changed sources, in the sources' order."""
    mean, scale, weights, bias = _lda(np.concatenate([sources, *copies]), targets, shrinkage)
    f_source, f_target = _left_out(sources, targets, copies, shrinkage)
    low, middle, high = np.quantile(f_target, [0.05, 0.5, 0.95])
    return Discriminant(
        weights,
        mean,
        scale,
        bias,
        float(np.median(f_source)),
        float(middle),
        float(low),
        float(high),
        accuracy,
        fitted_on,
    )


def _lda(a: np.ndarray, b: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """w = ((1 - s) C + s I)^-1 (mean_b - mean_a) on standardised features; f is -1 and 1 at the two means."""
    everything = np.concatenate([a, b])
    mean, scale = everything.mean(0), everything.std(0) + 1e-6
    za, zb = (a - mean) / scale, (b - mean) / scale
    within = (np.cov(za.T, bias=True) + np.cov(zb.T, bias=True)) / 2
    weights = np.linalg.solve((1 - shrinkage) * within + shrinkage * np.eye(len(mean)), zb.mean(0) - za.mean(0))
    fa, fb = float(za.mean(0) @ weights), float(zb.mean(0) @ weights)
    weights = weights * 2 / (fb - fa) if fb > fa else weights
    return mean, scale, weights, -float((za.mean(0) + zb.mean(0)) @ weights) / 2


def _left_out(
    a: np.ndarray, b: np.ndarray, copies: Sequence[np.ndarray], shrinkage: float
) -> tuple[np.ndarray, np.ndarray]:
    """f of every source and target row, each from a fit that has not seen its fold."""
    fold_a, fold_b = (np.arange(len(rows)) * FOLDS // len(rows) for rows in (a, b))
    f_a, f_b = np.empty(len(a)), np.empty(len(b))
    for fold in range(FOLDS):
        kept = [rows[fold_a != fold] for rows in (a, *copies)]
        if not len(kept[0]) or (fold_b == fold).all():
            continue
        mean, scale, weights, bias = _lda(np.concatenate(kept), b[fold_b != fold], shrinkage)
        f_a[fold_a == fold] = (a[fold_a == fold] - mean) / scale @ weights + bias
        f_b[fold_b == fold] = (b[fold_b == fold] - mean) / scale @ weights + bias
    return f_a, f_b


def position(image: Image, discriminant: Discriminant) -> float:
    """f(image): about -1 in the source domain and 1 in the target domain."""
    return position_of(features(image), discriminant)


def position_of(row: np.ndarray, discriminant: Discriminant) -> float:
    """f of a feature row."""
    return float((row - discriminant.mean) / discriminant.scale @ discriminant.weights + discriminant.bias)


def accuracy(discriminant: Discriminant, sources: Sequence[Image], targets: Sequence[Image]) -> float:
    """Balanced accuracy at the middle between the two medians, on photos of another data set."""
    middle = (discriminant.source_median + discriminant.target_median) / 2
    right = [
        np.mean([position(i, discriminant) < middle for i in sources]),
        np.mean([position(i, discriminant) >= middle for i in targets]),
    ]
    return float(np.mean(right))


def ungated(discriminant: Discriminant) -> StrengthNull | None:
    """Why a strength by this discriminant rejects nothing; None where it may."""
    if discriminant.accuracy is None:
        return "accuracy_unknown"
    return None if discriminant.accuracy >= LEAST_ACCURACY else "accuracy_low"


def strength(source: Image, variant: Image, discriminant: Discriminant) -> float | None:
    """(f(variant) - f(source)) / (target median - f(source)); None where the source already lies in the target."""
    return strength_between(position(source, discriminant), position(variant, discriminant), discriminant)


def strength_between(f_source: float, f_variant: float, discriminant: Discriminant) -> float | None:
    """`strength` from two positions."""
    way = discriminant.target_median - f_source
    whole = discriminant.target_median - discriminant.source_median
    if not np.isfinite([f_source, f_variant, way]).all() or way <= max(IN_TARGET * whole, 1e-6):
        return None
    return float((f_variant - f_source) / way)
