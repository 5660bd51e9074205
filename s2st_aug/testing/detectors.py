"""Public fake at the detector seam: answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s2st_aug.arrays import Image
from s2st_aug.validation.detectors import Detection


@dataclass(frozen=True, slots=True)
class FakeDetector:
    """Answers what `answer` says of an image."""

    answer: Callable[[Image], Sequence[Detection]]

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """The prepared answer."""
        return tuple(self.answer(image))
