"""Photos with id masks for the gain experiments' tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def photos(folder: Path, count: int, level: int) -> dict[str, str]:
    """`count` photos of two halves, the lower one `level` bright, with masks of classes 0 and 1 and void 2."""
    rng = np.random.default_rng(level)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        mask = np.zeros((48, 64), np.uint8)
        mask[24:] = 1
        mask[:2] = 2
        image = np.where(mask[..., None] == 1, level, 255 - level).astype(np.uint8) + rng.integers(
            0, 9, (48, 64, 3), np.uint8
        )
        cv2.imwrite(str(folder / "images" / f"{i:05}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{i:05}.png"), mask)
    return {"images": str(folder / "images"), "labels": str(folder / "labels")}
