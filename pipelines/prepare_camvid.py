"""CamVid's training photos of a gain config as a Cityscapes tree: python
pipelines/prepare_camvid.py CONFIG OUT [EVERY].
"""

from __future__ import annotations

import sys
from pathlib import Path

from s2st_aug.gain.camvid import write_cityscapes
from s2st_aug.gain.config import load_config

if __name__ == "__main__":
    config = load_config(Path(sys.argv[1]))
    if config.segmentation is None:
        sys.exit(f"{sys.argv[1]}: no section `segmentation`")
    every = int(sys.argv[3]) if len(sys.argv) > 3 else 1  # every n-th photo of the video
    print(f"{write_cityscapes(config.segmentation.train, Path(sys.argv[2]), every=every)} photos in {sys.argv[2]}")
