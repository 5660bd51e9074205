"""One translated image and what it cost: what every method gives back, and the checks, the engine and the API take."""

from __future__ import annotations

from dataclasses import dataclass

from s2st_aug.arrays import Image

RESAMPLED = "resampled: "
"""how a note begins that says a picture had another size than its source"""


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """One variant at its source's exact size, and what it cost; `raw` is the image before the detail step.

    Evaluations are of the network; a shared inversion counts in equal parts for the image's domains. A method without
    such a step, or without a network, gives the image itself as `raw`, zeros, and None for `inversion_steps`.
    """

    image: Image
    raw: Image
    st_iterations: int = 0
    to_iterations: int = 0
    forward_evals: float = 0.0
    backward_evals: float = 0.0
    inversion_steps: int | None = None
    notes: tuple[str, ...] = ()
    """what the row's reasons should say of how it came about, such as `resampled: 512x288 to 1280x720`"""
