"""A domain profile: what a target domain is, for one model. Built once, stored as one small safetensors file."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

SUFFIX = ".safetensors"
"""of the file that a profile is stored in"""
NO_LATENTS = np.zeros((0, 0, 0), np.float32)
"""latents and seeds of a profile that was built without a model"""


def is_name(text: str) -> bool:
    """True for what can name a domain, as a part of file names: no separators, control characters or leading dot."""
    return re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", text) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """Linear f(features) between source and target photos, for `strength` (docs/method.md#strength).

    f(x) = weights . (features(x) - mean) / scale + bias. `target_median` is the median of f over
    the target's own held-out references, `source_median` over the source's.
    """

    weights: np.ndarray  # n
    mean: np.ndarray  # n
    scale: np.ndarray  # n
    bias: float
    source_median: float
    target_median: float
    target_low: float  # the target's own 5 % and 95 % points of f: gates are two-sided
    target_high: float
    accuracy: float | None  # across data sets
    fitted_on: str  # "photos: permissive", "scenes", ...


@dataclass(frozen=True, slots=True, eq=False)
class DomainProfile:
    """Reference statistics of a target domain in latent and seed space, eta, and the discriminant.

    Quantile functions stand for histograms (the L1 between cumulative histograms is the L1 between
    quantile functions): shape `band view quantile`, at the model's own scale; band 0 is the whole
    image, then the horizontal bands from the top. The views are the latent channels and, behind them,
    their principal directions. `eta` maps a source domain to weights `band view` of mean 1.

    A profile built without a model (`model_sha256` is empty) has no latents, seeds and eta: the images' own statistics
    are all that it holds.
    """

    name: str
    prompt: str
    source_prompt: str
    model_sha256: str
    latents: np.ndarray  # "bands views quantiles"
    seeds: np.ndarray  # "bands views quantiles"
    eta: dict[str, np.ndarray]  # source domain -> "bands views"
    eta_seeds: dict[str, np.ndarray]
    references: tuple[str, ...]  # ids
    references_sha256: tuple[str, ...]
    discriminant: Discriminant | None
    sha256: str  # of the file's bytes; "" before it is written
    views: np.ndarray | None = (
        None  # "views channels": what the statistics see, rows over latent channels; None: the channels themselves
    )
    seed_abar: float = 0.0047  # cumulative alpha of the level that the seeds were taken at
    features: np.ndarray | None = (
        None  # "photos n": of the held-out photos, what a discriminant against this domain is fitted on
    )
    colours: np.ndarray | None = None  # "bands 3 levels": the references' mean CIELAB quantile functions, by band
