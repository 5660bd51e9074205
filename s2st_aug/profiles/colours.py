"""What a domain's photos look like in colour alone: what the photometric methods are told of a target.

`Colours` are mean CIELAB quantile functions by horizontal band. They come from reference photos, or from a profile,
which keeps those of its references. Profiles that ship were built before that: theirs lie in `colours/` beside them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import safe_open

from s2st_aug.arrays import AnyImage
from s2st_aug.errors import ProfileError
from s2st_aug.images import resize, to_lab
from s2st_aug.records.profile import DomainProfile
from s2st_aug.validation.strength import BANDS, QUANTILES

log = logging.getLogger(__name__)

LEVELS = np.linspace(0, 1, 256)
THUMB = (160, 96)
STORE = "colours"
"""the folder of the shipped profiles' colours, beside them"""


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """What is known of a domain's colours.

    Mean CIELAB quantile functions by horizontal band, `bands 3 levels`, at these levels of [0, 1].
    """

    quantiles: np.ndarray
    levels: np.ndarray


def colours_of(photos: Iterable[AnyImage]) -> Colours:
    """The target's colours from its references, at least one."""
    return Colours(np.mean([band_quantiles(to_lab(resize(p, THUMB)), LEVELS) for p in photos], axis=0), LEVELS)


def band_quantiles(lab: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantile functions of each horizontal band and channel of a CIELAB image, `bands 3 levels`."""
    return np.stack([np.quantile(band.reshape(-1, 3), levels, axis=0).T for band in np.array_split(lab, BANDS)])


def profile_colours(profile: DomainProfile) -> Colours:
    """The colours of a profile's references; raises ProfileError without any.

    A profile that was built before these were kept has five quantiles of the photos it held out; both ends go on as the
    nearest quarter does.
    """
    if profile.colours is not None:
        return Colours(profile.colours.astype(np.float64), LEVELS)
    if profile.features is None:
        raise ProfileError(
            f"the profile {profile.name!r} holds no colours of its photos; name a folder of some: method.references=DIR"
        )
    log.warning("profile %r: five quantiles stand for its colours; build it anew for all of them", profile.name)
    inner = profile.features.mean(0)[: BANDS * 3 * len(QUANTILES)].reshape(BANDS, 3, -1).astype(np.float64)
    low = inner[..., :1] - (inner[..., 1:2] - inner[..., :1]) * 0.25  # 0.05 of the levels, where a quarter is 0.2 wide
    high = inner[..., -1:] + (inner[..., -1:] - inner[..., -2:-1]) * 0.25
    return Colours(np.concatenate([low, inner, high], -1), np.array([0.0, *QUANTILES, 1.0]))


def save_stored_colours(profile: Path, sha256: str, found: Colours) -> None:
    """Keep the colours of a profile whose own bytes must stay, beside it."""
    place = profile.parent / STORE / profile.name
    place.parent.mkdir(exist_ok=True)
    metadata = {"profile_sha256": json.dumps(sha256)}
    place.write_bytes(safetensors.numpy.save({"colours": found.quantiles.astype(np.float32)}, metadata=metadata))


def stored_colours(profile: Path, sha256: str) -> np.ndarray | None:
    """The colours kept beside a profile, `bands 3 levels`; None where there are none of these bytes' profile."""
    place = profile.parent / STORE / profile.name
    if not place.is_file():
        return None
    with safe_open(place, framework="numpy") as file:
        same = json.loads((file.metadata() or {}).get("profile_sha256", '""')) == sha256
        return file.get_tensor("colours") if same else None
