"""CamVid's id masks as a Cityscapes tree, so that `augment` and the gates see its labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from s2st_aug.gain.config import Photos
from s2st_aug.gain.segmentation import list_photos, read_mask

# sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist, void -> Cityscapes label ids
TO_CITYSCAPES = np.array([23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 25, 0], np.uint8)


def write_cityscapes(photos: Photos, out: Path, *, every: int = 1) -> int:
    """`out/leftImg8bit/train/camvid/...` and `out/gtFine/...` of every n-th photo; gives their number.

    Masks are renumbered.
    """
    images, labels = out / "leftImg8bit" / "train" / "camvid", out / "gtFine" / "train" / "camvid"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    paths = list_photos(photos)[::every]
    for path in paths:
        shutil.copyfile(path, images / f"{path.stem}_leftImg8bit{path.suffix}")
        cv2.imwrite(str(labels / f"{path.stem}_gtFine_labelIds.png"), TO_CITYSCAPES[read_mask(photos, path.stem)])
    return len(paths)
